"""What every answer carries, whatever it says: a request id, headers that keep browsers out, and a line in the log.

The id is also in every line that is logged while the request is handled, whoever logs it.
"""

import re
import time
from collections.abc import Iterable
from typing import Final
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from flask import Flask, Response, current_app, g, request
from structlog.contextvars import bound_contextvars

from cio_tasks.settings import Settings

REQUEST_ID: Final = "ciosync.request_id"
"""Where the WSGI environment holds the id of its request."""
SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ONLY_TLS: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year. Without subdomains, which are not ours to decide on."""

log: Final = structlog.stdlib.get_logger("api")


class RequestIds:
    """WSGI middleware that gives every request an id: the sender's, if it is sane, else a new one.

    It is the outermost, since Engine.IO answers without Flask; and what it binds to the thread goes with the request.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request under its id."""
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        environ[REQUEST_ID] = sent if SANE_ID.fullmatch(sent) else uuid4().hex
        with bound_contextvars(request_id=environ[REQUEST_ID]):
            return self._app(environ, start_response)


def wrap_answers(app: Flask, settings: Settings) -> None:
    """Give every answer of `app` its envelope, errors included."""
    app.config["ONLY_TLS"] = settings.env == "production"
    app.before_request(_start_clock)
    app.after_request(_add_headers)
    app.after_request(_log_access)


def request_id() -> str:
    """Return the id of the current request."""
    return str(request.environ[REQUEST_ID])


def _start_clock() -> None:
    g.started = time.monotonic()


def _add_headers(response: Response) -> Response:
    for name, value in envelope().items():
        response.headers.setdefault(name, value)
    return response


def envelope() -> dict[str, str]:
    """Return the headers that the answer to the current request gets unless it has its own.

    In production a proxy takes the TLS off, and whether this process hears of that depends on how it is set up.
    """
    is_tls = request.is_secure or current_app.config["ONLY_TLS"]
    return {**HEADERS, **(ONLY_TLS if is_tls else {}), "X-Request-Id": request_id()}


def _log_access(response: Response) -> Response:
    """Log the rule of the route, not the path: no query string, no id, and nothing that the sender made up."""
    log.info(
        "request",
        method=request.method if request.url_rule else "?",
        route=request.url_rule.rule if request.url_rule else "unmatched",
        status=response.status_code,
        duration_ms=round((time.monotonic() - g.get("started", time.monotonic())) * 1000),
        caller=g.caller.name if "caller" in g else None,
    )
    return response
