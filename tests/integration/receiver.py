"""A receiver of alerts over real HTTP, that keeps what it was sent and answers as a test wants."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of this machine for as long as a `with` block runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.headers_back: dict[str, str] = {}
        self.hangs = threading.Event()
        self.hangs.set()
        self.taken: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.credentials: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/SECRETCANARY?key=SECRETCANARY"

    def states(self, alert: str) -> list[str]:
        """Return what was told of one alert, in order."""
        return [body["state"] for body in self.taken if body["alert"] == alert]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        self.server.credentials.append(self.headers["Authorization"])
        self.server.hangs.wait(30)
        if self.server.status in range(200, 300):
            self.server.taken.append(body)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": "0", **self.server.headers_back}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
