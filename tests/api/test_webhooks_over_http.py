"""The receiver behind its real server: what arrives in pieces, too long, or not as HTTP has it."""

import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from cio_tasks.cli.stack import answers, inherited
from cio_tasks.models import WebhookEvent
from cio_tasks.processes import Supervisor, free_port
from tests.api.conftest import Counts
from tests.api.webhook_sender import BODY, HOOK, SECRET, SIGNATURE, TIMESTAMP, signed
from tests.factories import Factory
from tests.rules import tree

CountRows = Callable[[], Counts]

MEGABYTE = 1_000_000
LENGTH = "Content-Length"
GUNICORN = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "1", "--threads", "8", "--no-control-socket"]


@dataclass(frozen=True)
class Api:
    """The API under gunicorn."""

    port: int

    def post(self, headers: dict[str, str], body: bytes, *, method: str = "POST") -> int:
        """Send these very bytes and no more, and return the status of the answer."""
        lines = [f"{method} {HOOK} HTTP/1.1", "Host: ciosync", "Content-Type: application/json", "Connection: close"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""])
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            try:
                connection.sendall(head.encode("latin-1") + body)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # answered before it was all sent
            return int(connection.makefile("rb").readline().split()[1])

    def post_chunks(self, body: bytes, size: int = 10_000) -> int:
        """Send a signed body in chunks."""
        return self.post(signed(body) | {"Transfer-Encoding": "chunked"}, chunks(body, size))


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in [*pieces, b""])


def lengthy(body: bytes, length: int | None = None) -> dict[str, str]:
    return signed(body) | {LENGTH: str(len(body) if length is None else length)}


@pytest.fixture
def api(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    port = free_port()
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CUSTOMERIO_WEBHOOK_SECRET": SECRET}
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(
            "api",
            [*GUNICORN, "-b", f"127.0.0.1:{port}", "api.wsgi:app"],
            env=inherited() | own,
            cwd=tree.ROOT,
            ready=lambda: answers(f"http://127.0.0.1:{port}/readyz"),
            ready_timeout=timedelta(seconds=60),
        )
        yield Api(port)


def test_what_comes_over_the_wire(api: Api, make: Factory) -> None:
    stored = {
        "whole": api.post(lengthy(BODY), BODY),
        "in chunks": api.post_chunks(BODY, 7),
        "a megabyte in chunks": api.post_chunks(b"x" * MEGABYTE),
        "blanks around a header": api.post(lengthy(b"y") | {SIGNATURE: f"  {signed(b'y')[SIGNATURE]} \t"}, b"y"),
    }
    assert stored == dict.fromkeys(stored, 200)
    assert {row.body for row in make.all(WebhookEvent)} == {BODY, b"x" * MEGABYTE, b"y"}


def refused(api: Api) -> Iterator[tuple[str, set[int], int]]:
    right, large, post = lengthy(BODY), b"x" * (MEGABYTE + 1), api.post
    chunked = signed(BODY) | {"Transfer-Encoding": "chunked"}
    yield "too long in chunks", {413}, api.post_chunks(large)
    yield "far too long in chunks", {413}, api.post_chunks(large * 8)
    yield "too long", {413}, post(lengthy(large), large)
    yield "too long by its own account", {413}, post(lengthy(BODY, 10**12), BODY)
    yield "signed twice", {401}, post(right | {SIGNATURE.lower(): right[SIGNATURE]}, BODY)
    yield "signed by an underscore", {401}, post(renamed(right, "X_CIO_Signature"), BODY)
    yield "not ASCII", {401}, post(right | {SIGNATURE: "\xff\xfe" * 32}, BODY)
    yield "UTF-8", {401}, post(right | {TIMESTAMP: "１７０".encode().decode("latin-1")}, BODY)  # noqa: RUF001
    yield "a long header", {400, 431}, post(right | {SIGNATURE: "0" * MEGABYTE}, BODY)
    yield "shorter than it says", {400, 401}, post(lengthy(BODY, 10_000), BODY)
    yield "longer than it says", {401}, post(lengthy(BODY, 10), BODY)
    yield "a chunk of no size", {400}, post(chunked, b"zz\r\nabc\r\n0\r\n\r\n")
    yield "a chunk cut off", {400}, post(chunked, b"ff\r\nabc")
    yield "a chunk that does not end", {400}, post(chunked, b"3\r\nabcd\r\n0\r\n\r\n")
    yield "compressed", {415}, post(right | {"Content-Encoding": "gzip"}, BODY)
    yield "read", {405}, post({}, b"", method="GET")
    yield "put", {405}, post(right, BODY, method="PUT")


def renamed(headers: dict[str, str], name: str) -> dict[str, str]:
    return {name if known == SIGNATURE else known: value for known, value in headers.items()}


@pytest.fixture
def count_rows(count_rows: CountRows) -> CountRows:
    """Count all rows but the counters: the API adds them to their table in its own time."""
    return lambda: {table: n for table, n in count_rows().items() if table != "customerio_counters"}


def test_what_does_not_come_in(api: Api, count_rows: CountRows) -> None:
    before = count_rows()
    wrong = [(case, status) for case, right, status in refused(api) if status not in right]
    assert wrong == []
    assert count_rows() == before
