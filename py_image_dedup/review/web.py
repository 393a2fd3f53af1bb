"""The server: which address is which page, and how it listens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
from waitress import wasyncore
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from py_image_dedup.errors import ConfigError, DedupError
from py_image_dedup.review.gate import Gate
from py_image_dedup.review.pages import Pages
from py_image_dedup.words import counted, megabytes

_THREADS = 4
_LARGEST_FORM = 64 << 10  # bytes


View = Callable[..., Any]


def make_app(pages: Pages) -> flask.Flask:
    """Put the application together."""
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = _LARGEST_FORM
    app.url_map.strict_slashes = False
    app.jinja_env.filters["counted"] = counted
    app.jinja_env.filters["megabytes"] = megabytes
    app.jinja_env.globals["csrf"] = lambda: pages.guard.csrf
    app.jinja_env.globals["busy"] = lambda: pages.jobs.running
    Gate(app, pages.guard)
    app.register_error_handler(DedupError, pages.failed)
    app.register_error_handler(HTTPException, _refused)
    for rule, view in _pages(pages).items():
        app.add_url_rule(rule, view.__name__, view, methods=["GET"])
    for rule, view in _forms(pages).items():
        app.add_url_rule(rule, view.__name__, view, methods=["POST"])
    return app


def _pages(pages: Pages) -> dict[str, View]:
    """Return what is only looked at, by address."""
    return {
        "/": pages.groups,
        "/group/<int:number>": pages.group,
        "/group/<int:number>/loupe/<int:position>": pages.loupe,
        "/picture/<int:number>.<int:position>": pages.picture,
        "/overview": pages.overview,
        "/apply": pages.apply,
        "/job": pages.job,
        "/job.json": pages.job_state,
        "/history": pages.history,
        "/history/<name>": pages.run,
    }


def _forms(pages: Pages) -> dict[str, View]:
    """Return what changes something, by address."""
    return {
        "/choose": pages.choose,
        "/prefer": pages.prefer,
        "/save_preference": pages.save_preference,
        "/rehearse": pages.rehearse,
        "/carry_out": pages.carry_out,
        "/stop": pages.stop,
        "/history/<name>/undo": pages.undo,
    }


def _refused(error: HTTPException) -> tuple[str, int]:
    return flask.render_template("message.html", message=error.description, group=None), error.code or 500


def _reason(error: OSError) -> str:
    """Return what the system says, without the address that Python adds."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


class Server:
    """Listens until it is closed; `run` serves until the process is told to end."""

    def __init__(self, app: flask.Flask, host: str, port: int) -> None:
        """Take the address; :class:`ConfigError` if it can't be had."""
        logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of many pictures waiting, at the end too
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ConfigError(
                f"the page can't be offered on {host} port {port}: {_reason(error)}; see review.host and review.port"
            ) from None
        self.port: int = listening.getsockname()[1]
        self._open: dict[int, Any] = {}
        self._server: Any = create_server(
            app,
            map=self._open,
            sockets=[listening],
            threads=_THREADS,
            ident=None,
            connection_limit=100,
            channel_timeout=60,
            max_request_body_size=_LARGEST_FORM,
            max_request_header_size=_LARGEST_FORM,
        )

    def run(self) -> None:
        """Serve until interrupted, and listen no longer.

        The loop has a thread of its own: what interrupts this one can't leave a connection half accepted or closed.
        """
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(self._server.run)
            try:
                serving.result()
            finally:
                self._server.task_dispatcher.shutdown()
                self._server.trigger.pull_trigger(self.close)  # by the loop, which ends when nothing is open

    def close(self) -> None:
        """Listen no longer."""
        wasyncore.close_all(self._open, ignore_all=True)
