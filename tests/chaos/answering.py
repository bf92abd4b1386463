"""A server that answers each request as it is told, for the tests of those who call."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Api(ThreadingHTTPServer):
    """Answers each request with the next status of a list, the last one for ever; 0 answers nothing."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.statuses = [201]
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Idempotency-Key", ""), body))
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == 0:
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"id": "s1"}')

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
