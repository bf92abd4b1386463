"""How long a sender may take with a body, and that all of it arrived.

Gunicorn's threads read a body without a deadline: 32 senders of one byte a second each would be all that this process
serves. It also passes a body on as whole that ended before its announced length.
"""

import io
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import ClientDisconnected, RequestTimeout
from werkzeug.wsgi import get_content_length

BODY_SECONDS: Final = 8.0
"""The longest that a body may take from the first read to the last byte."""


class Patience:
    """WSGI middleware that gives every body a deadline and holds it to its announced length."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request with its body so bounded."""
        return self._app({**environ, "wsgi.input": Body(environ)}, start_response)


class Body(io.RawIOBase):
    """The body of one request.

    Reading it raises `RequestTimeout` when its time is up, and `ClientDisconnected` when it is shorter than announced.
    """

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._stream: Any = environ["wsgi.input"]
        self._socket = cast("socket.socket | None", environ.get("gunicorn.socket"))
        self._owed = get_content_length(environ)
        self._until: float | None = None
        self._is_late = False

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as much as fits, and return how much that was; 0 at the end."""
        size = len(buffer) if self._owed is None else min(len(buffer), self._owed)
        data = self._read_in_time(size) if size else b""
        if self._owed is not None:
            self._owed -= len(data)
            if size and not data:
                raise ClientDisconnected
        buffer[: len(data)] = data
        return len(data)

    def _read_in_time(self, size: int) -> bytes:
        """Read while a clock runs that ends the reading: the server's loop over the socket knows no deadline."""
        self._until = self._until or time.monotonic() + BODY_SECONDS
        clock = threading.Timer(max(self._until - time.monotonic(), 0), self._stop_reading)
        clock.daemon = True
        clock.start()
        try:
            data: bytes = self._stream.read(size)
        except Exception as error:
            raise (RequestTimeout if self._is_late else ClientDisconnected) from error
        finally:
            clock.cancel()
        if self._is_late:
            raise RequestTimeout
        return data

    def _stop_reading(self) -> None:
        """Make the socket say that nothing more will come; the answer can still be sent."""
        self._is_late = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not the socket's own `shutdown`: one with TLS would go on in plain text.
                socket.socket.shutdown(self._socket, socket.SHUT_RD)
