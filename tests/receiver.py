"""Somebody who receives webhooks over real HTTP, remembers what came, and answers as the test says."""

import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

NO_LINGER = struct.pack("ii", 1, 0)
Answer = int | str
"""A status, or `hang`, `eof`, `reset`, `rubbish`, `drip`."""


@dataclass(frozen=True)
class Received:
    """One request as it came; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Listens on a port of its own inside a `with` block; gives `answers` in turn, then 200 to everything."""

    def __init__(self, *answers: Answer) -> None:
        self.received: list[Received] = []
        self._answers = deque(answers)
        self._left = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, *answers: Answer) -> None:
        """Give these answers next."""
        self._answers.extend(answers)

    def bodies(self) -> list[bytes]:
        return [one.body for one in self.received]

    def headers(self, name: str) -> list[str]:
        return [one.headers[name] for one in self.received]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = receiver._answers.popleft() if receiver._answers else 200
                receiver.received.append(Received(self.path, headers, body))
                receiver._give(self, answer)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _give(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.close_connection = True
        match answer:
            case int():
                self._head(handler, answer, [("Location", self.url)] if 300 <= answer < 400 else [])
            case "hang":
                self._left.wait(30)
            case "drip":
                self._drip(handler)
            case "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                handler.connection.close()
            case "rubbish":
                handler.wfile.write(b"this is no HTTP at all\r\n\r\n")

    def _head(self, handler: BaseHTTPRequestHandler, status: int, headers: Iterable[tuple[str, str]]) -> None:
        handler.send_response(status)
        for name, value in [*headers, ("Content-Length", "0")]:
            handler.send_header(name, value)
        handler.end_headers()

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer well and for ever, a byte at a time."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self._left.wait(0.05):
            try:
                handler.wfile.write(b".")
                handler.wfile.flush()
            except OSError:
                return
