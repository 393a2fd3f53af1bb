"""The settings of workers on other machines; :mod:`~py_image_dedup.config.table` has all others."""

from __future__ import annotations

from py_image_dedup.config import paths
from py_image_dedup.config import values as v
from py_image_dedup.config.entry import Entry

REMOTE = (
    Entry(
        key="remote.mode",
        parse=v.choice("never", "auto", "always"),
        default="never",
        example="auto",
        meaning="Whether pictures are sent to workers: never; auto, when that is faster or this machine is busy, hot "
        "or short of memory; always.",
    ),
    Entry(
        key="remote.broker_url",
        parse=v.broker,
        example="redis://localhost:6379/0",
        hide=v.hide_login,
        meaning="Where jobs wait for workers: redis://, rediss:// (TLS), amqp:// or amqps://, with a login if need be.",
    ),
    Entry(
        key="remote.broker_url_file",
        parse=paths.readable_file,
        example="/run/secrets/broker_url",
        meaning="A file that holds remote.broker_url, in place of it.",
    ),
    Entry(
        key="remote.result_url",
        parse=v.redis,
        otherwise="remote.broker_url",
        example="redis://localhost:6379/0",
        hide=v.hide_login,
        meaning="The Redis that holds the bytes of pictures, and the answers.",
    ),
    Entry(
        key="remote.ca_file",
        parse=paths.readable_file,
        example="/etc/ssl/certs/broker-ca.pem",
        meaning="The certificate (PEM) of the authority that signed the broker's.",
    ),
    Entry(
        key="remote.timeout",
        parse=v.some_time,
        default="60s",
        meaning="How long to wait for an answer before a picture is described here.",
    ),
    Entry(
        key="remote.max_file_size",
        parse=v.size,
        default="32MB",
        meaning="Larger files are described here, whatever the mode.",
    ),
    Entry(
        key="remote.in_flight",
        parse=v.size,
        default="64MB",
        meaning="How many bytes of pictures may be on their way at the same time.",
    ),
    Entry(
        key="remote.max_load",
        parse=v.fraction,
        default="0.7",
        meaning="Mode auto: the share of all cores that other programs may take before pictures are sent away, 0 to 1.",
    ),
    Entry(
        key="remote.min_memory",
        parse=v.size,
        default="200MB",
        meaning="Mode auto: with less memory available pictures are sent away.",
    ),
    Entry(
        key="remote.max_temperature",
        parse=v.whole(0, 200),
        default="75",
        meaning="Mode auto: from this temperature of the processor on, in degrees Celsius, pictures are sent away.",
    ),
    Entry(
        key="remote.time_limit",
        parse=v.some_time,
        default="30s",
        meaning="Worker: how long one picture may take before the process that works on it is ended.",
    ),
    Entry(
        key="remote.memory_limit",
        parse=v.size,
        default="1GB",
        meaning="Worker: a process that took more memory is replaced by a new one.",
    ),
)
