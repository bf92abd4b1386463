"""A receiver on this machine that answers every webhook at once and hands it on."""

import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
MOST_BODY: Final = 1_000_000
MOST_WAITING: Final = 1_000
"""Webhooks that are kept until they are told and forwarded; beyond that the sender is asked to come again."""
SENDER_SECONDS: Final = 10
"""How long a sender may be silent in the middle of a request."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One webhook as it came: raw, and believed by nobody yet."""

    at: datetime
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header, whatever the case of its name."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


class Listener:
    """Listens on the loopback inside a `with` block; `port` 0 takes a free one. Raises OSError when it is taken."""

    def __init__(self, port: int) -> None:
        self._server = _Server((HOST, port))
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def incoming(self) -> Iterator[Incoming]:
        """Yield the webhooks as they come, for ever."""
        while True:
            yield self._server.waiting.get()

    @property
    def waiting(self) -> int:
        """How many have come and were not yielded."""
        return self._server.waiting.qsize()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.waiting: queue.Queue[Incoming] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    """Takes what is posted, to whatever path, and answers before anybody looks at it."""

    server: _Server
    timeout = SENDER_SECONDS

    def do_POST(self) -> None:
        """Answer, then hand the webhook on: whoever ends after the last one does not cut its answer off."""
        status, incoming = self._take()
        self._answer(status)
        if incoming is not None:
            self.server.waiting.put(incoming)

    def do_GET(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED)

    def _take(self) -> tuple[HTTPStatus, Incoming | None]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,15}", length, re.ASCII):
            return HTTPStatus.LENGTH_REQUIRED, None
        if int(length) > MOST_BODY:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return HTTPStatus.BAD_REQUEST, None
        if self.server.waiting.qsize() >= MOST_WAITING:
            return HTTPStatus.SERVICE_UNAVAILABLE, None
        return HTTPStatus.OK, Incoming(datetime.now(UTC), dict(self.headers.items()), body)

    def _answer(self, status: HTTPStatus) -> None:
        content = b"{}\n" if status is HTTPStatus.OK else f"{status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status is HTTPStatus.OK else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        return "ciosync"

    def log_message(self, *_: object) -> None:
        """Say nothing: a path or a header may hold anything."""
