"""What every answer carries, whatever it says: a request id, headers that keep browsers out, and a line in the log."""

import re
import time
from typing import Final
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}

log: Final = structlog.stdlib.get_logger("api")


def wrap_answers(app: Flask) -> None:
    """Give every answer of `app` its envelope, errors included."""
    app.before_request(_start_clock)
    app.after_request(_add_headers)
    app.after_request(_log_access)


def request_id() -> str:
    """Return the id of the current request: the sender's, if it is sane, else a new one."""
    if "request_id" not in g:
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if SANE_ID.fullmatch(sent) else uuid4().hex
    return str(g.request_id)


def _start_clock() -> None:
    g.started = time.monotonic()


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request_id()
    return response


def _log_access(response: Response) -> Response:
    """Log the rule of the route, not the path: no query string, no id, and nothing that the sender made up."""
    log.info(
        "request",
        method=request.method if request.url_rule else "?",
        route=request.url_rule.rule if request.url_rule else "unmatched",
        status=response.status_code,
        duration_ms=round((time.monotonic() - g.get("started", time.monotonic())) * 1000),
        request_id=request_id(),
        caller=g.caller.name if "caller" in g else None,
    )
    return response
