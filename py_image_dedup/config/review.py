"""The settings of the review page; :mod:`~py_image_dedup.config.table` has all others."""

from __future__ import annotations

from py_image_dedup.config import paths
from py_image_dedup.config import values as v
from py_image_dedup.config.entry import Entry

REVIEW = (
    Entry(
        key="review.host",
        parse=v.host,
        default="127.0.0.1",
        meaning="The address that the page is offered on; 0.0.0.0 for all, as in a container. Others than those of "
        "this machine itself ask for a token.",
    ),
    Entry(
        key="review.port",
        parse=v.whole(0, 65535),
        default="8090",
        meaning="The port that the page is offered on; 0 for any that is free.",
    ),
    Entry(
        key="review.token",
        parse=v.token,
        hide=lambda _: v.HIDDEN,
        otherwise="none on this machine itself, else a new one at each start, which is printed",
        example="a secret",
        meaning="What a person must know who wants to see the page.",
    ),
    Entry(
        key="review.token_file",
        parse=paths.readable_file,
        example="/run/secrets/review_token",
        meaning="A file that holds the token, to be given in place of it.",
    ),
    Entry(
        key="review.names",
        parse=v.host,
        split=v.split_commas,
        default=(),
        otherwise="none",
        example=("nas.local",),
        meaning="Names by which the page is called besides review.host and addresses, as by a proxy before it.",
    ),
)
