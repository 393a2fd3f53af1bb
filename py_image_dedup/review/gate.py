"""The gate that every request goes through and every answer leaves by."""

from __future__ import annotations

from typing import Final

import flask
from werkzeug.wrappers import Response

from py_image_dedup.review.guard import HEADERS, Guard

_COOKIE: Final = "py-image-dedup"
_OPEN = frozenset({"login", "static"})
"""What may be asked for before one has logged in."""


class Gate:
    """Lets nobody ask who must not, and tells browsers what they must not do."""

    def __init__(self, app: flask.Flask, guard: Guard) -> None:
        self._guard = guard
        app.before_request(self._check)
        app.after_request(self._seal)
        app.add_url_rule("/login", "login", self.login, methods=["GET", "POST"])

    def login(self) -> Response | tuple[str, int]:
        """Ask for the token."""
        asked = flask.request.method == "POST"
        if asked and self._guard.is_token(flask.request.form.get("token", "")):
            return self._let_in()
        return flask.render_template("login.html", failed=asked), 401 if asked else 200

    def _check(self) -> Response | None:
        """Answer in place of the page where it must not be seen."""
        changes = flask.request.method not in {"GET", "HEAD", "OPTIONS"}
        if refusal := self._stranger(changes=changes):
            return _plain(*refusal)
        if flask.request.endpoint in _OPEN:
            return None
        if not self._guard.lets_in(flask.request.cookies.get(_COOKIE, "")):
            return self._not_let_in(changes=changes)
        if changes and not self._guard.knows_csrf(flask.request.form.get("csrf", "")):
            return _plain("This form is old or not of this server: go back and load the page again.", 403)
        return None

    def _stranger(self, *, changes: bool) -> tuple[str, int] | None:
        """Tell why a request is no business of ours."""
        headers = dict(flask.request.headers.items())
        if not self._guard.knows_name(headers.get("Host", "")):
            return "This server is not known by that name; see the key review.names.", 421
        if self._guard.is_from_elsewhere(headers) or (changes and not self._guard.may_change(headers)):
            return "Another site asked for this.", 403
        return None

    def _not_let_in(self, *, changes: bool) -> Response:
        if changes:
            return _plain("Log in first.", 401)
        given = flask.request.args.get("token", "")
        if given and self._guard.is_token(given):
            return self._let_in()
        return flask.redirect(flask.url_for("login"), 303)

    def _let_in(self) -> Response:
        answer = flask.redirect(flask.url_for("groups"), 303)
        answer.set_cookie(_COOKIE, self._guard.session, httponly=True, samesite="Strict")
        return answer

    def _seal(self, answer: flask.Response) -> flask.Response:
        answer.headers.update(HEADERS)
        if "Cache-Control" not in answer.headers:
            answer.headers["Cache-Control"] = "no-store"
        return answer


def _plain(words: str, code: int) -> Response:
    return flask.Response(f"{words}\n", code, content_type="text/plain; charset=utf-8")
