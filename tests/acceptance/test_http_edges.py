"""Bodies and requests as no client sends them, to real gunicorn: refused soon, at the cost of nothing (S28, S29, S31)."""

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from api.bodies import BODY_BYTES
from cio_tasks.embedded import EmbeddedValkey
from tests.eventually import eventually
from tests.serving import HOST, Served, read_all, serve

SOON = 10.0
BODY = b'{"customer": {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace"}, "operatorId": "op-1"}'
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def served(valkey_server: EmbeddedValkey, servers_dir: Path) -> Iterator[Served]:
    valkey_server.start()
    with serve(servers_dir / "edges", valkey_server.url) as served:
        yield served


def post(*headers: str, target: str = "/api/v1/signups", host: str = "x") -> bytes:
    """Return the head of a request that may submit a signup."""
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "Authorization: Bearer app-token"]
    return "\r\n".join([*lines, "Content-Type: application/json", *headers, "", ""]).encode("latin-1")


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answer)]


# --- Bodies -----------------------------------------------------------------------------------------------------------


def test_a_whole_body_is_read(served: Served) -> None:
    """It goes as far as the database, which is not there."""
    assert statuses(served.say(post(f"Content-Length: {len(BODY)}", "Connection: close"), BODY)) == [503]
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert statuses(served.say(post("Transfer-Encoding: chunked", "Connection: close"), chunk)) == [503]


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("Content-Length: 1000001", b"x" * 1_000_001, 413),
        (f"Content-Length: {BODY_BYTES + 1}", b"x" * (BODY_BYTES + 1), 413),
        ("Content-Length: 99999999999999999999", b"x", 413),
        ("Content-Encoding: gzip\r\nContent-Length: 1000", gzip.compress(b"0" * 1_000_000)[:1000].ljust(1000), 415),
        ("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 0", b"", 400),
        ("Content-Length: -1", b"", 400),
        ("Content-Length: +5", b"{}   ", 400),
        ("Content-Length: 0x5", b"{}   ", 400),
        ("Content-Length: 5_0", b"{}   ", 400),
        ("Content-Length: 1e3", b"{}   ", 400),
        ("Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", b"-5\r\n{}   \r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", b"ffffffffffffffffffff\r\n{}", 400),
        ("Transfer-Encoding: chunked", b"5\r\n{}   XX0\r\n\r\n", 400),
    ],
)
def test_a_body_that_is_too_large_or_wrongly_measured_is_refused(
    head: str, body: bytes, status: int, served: Served
) -> None:
    with socket.create_connection((HOST, served.port), timeout=SOON) as connection:
        with suppress(OSError):  # refused before all of it was sent
            connection.sendall(post(head))
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
        assert statuses(read_all(connection)) == [status]


@pytest.mark.parametrize("announced", [len(BODY) + 1, 50_000])
def test_a_body_that_ends_before_its_announced_length_is_refused(announced: int, served: Served) -> None:
    with socket.create_connection((HOST, served.port), timeout=SOON) as connection:
        connection.sendall(post(f"Content-Length: {announced}") + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert statuses(read_all(connection)) == [400]


@pytest.mark.parametrize("head", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_given_up(head: str, served: Served) -> None:
    with socket.create_connection((HOST, served.port), timeout=SOON) as connection:
        connection.sendall(post(head) + b"c350\r\n" * head.startswith("Transfer"))
        drip = Repeating(connection, b"x", seconds=0.5)
        answer = read_all(connection)
        drip.stop()
    assert statuses(answer) == [408]
    assert b'"code":"timeout"' in answer.replace(b'": ', b'":')


def test_a_body_without_end_is_refused_and_costs_no_memory(served: Served) -> None:
    before, chunk = served.memory, b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with socket.create_connection((HOST, served.port), timeout=SOON) as connection:
        connection.sendall(post("Transfer-Encoding: chunked"))
        flood = Repeating(connection, chunk, seconds=0)
        answer = read_all(connection)
        flood.stop()
    assert statuses(answer) == [413]
    assert served.memory - before < 20_000_000


def test_many_who_drip_are_given_up_together(served: Served) -> None:
    """As many as there are threads: nobody else is served meanwhile, and everybody is afterwards."""
    connections = [socket.create_connection((HOST, served.port), timeout=SOON) for _ in range(32)]
    for connection in connections:
        connection.sendall(post("Content-Length: 50000") + b"x")
    answers = [statuses(read_all(connection)) for connection in connections]
    assert answers == [[408]] * 32
    eventually(lambda: served.is_alive_within(1))


class Repeating:
    """Sends the same again and again until it is stopped or nobody takes it."""

    def __init__(self, connection: socket.socket, content: bytes, *, seconds: float) -> None:
        self._connection, self._content, self._seconds = connection, content, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._connection.sendall(self._content)
            except OSError:
                return


# --- Requests in requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", b"27\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
        (f"Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}", SMUGGLED),
        (f"Content-Length: 0, {len(SMUGGLED)}", SMUGGLED),
        ("Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: chunked, identity", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: identity, chunked, chunked", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding : chunked", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding:\x0bchunked", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + SMUGGLED),
        ("X: y\r\n Content-Length: 0", SMUGGLED),
        ("X: y\nContent-Length: 0", SMUGGLED),
        ("X: y\rContent-Length: 0", SMUGGLED),
        ("X: \x00", SMUGGLED),
        ("Content_Length: 5\r\nContent-Length : 0", SMUGGLED),
    ],
)
def test_a_request_that_could_be_two_is_refused_and_the_connection_closed(
    head: str, body: bytes, served: Served
) -> None:
    answer = served.say(post(head), body, seconds=SOON)
    assert statuses(answer) in ([400], [501])
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "line", ["GET /healthz HTTP/9.9", "GET /healthz", "GET  /healthz HTTP/1.1", "\x16\x03\x01\x02", "G\x00T / HTTP/1.1"]
)
def test_a_line_that_is_no_request_is_refused(line: str, served: Served) -> None:
    answer = served.say(f"{line}\r\nHost: x\r\n\r\n".encode("latin-1"), seconds=SOON)
    assert statuses(answer) in ([400], [])


def test_an_endless_address_is_refused(served: Served) -> None:
    answer = served.say(b"GET /" + b"a" * 64_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", seconds=SOON)
    assert statuses(answer) == [414]


@pytest.mark.parametrize("count", [200, 20_000])
def test_endless_headers_are_refused(count: int, served: Served) -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(count))
    assert statuses(served.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n", seconds=SOON)) == [431]


@pytest.mark.parametrize(
    "request_line", ["GET http://evil.example/healthz HTTP/1.1", "GET //evil.example/healthz HTTP/1.1"]
)
def test_a_foreign_host_is_in_no_answer(request_line: str, served: Served) -> None:
    head = f"{request_line}\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"
    answer = served.say(head.encode(), seconds=SOON)
    assert statuses(answer)[0] in {200, 404}
    assert b"evil" not in answer


def test_no_answer_tells_the_version_of_the_server(served: Served) -> None:
    answers = [
        served.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        served.say(b"nonsense\r\n\r\n"),
    ]
    for answer in answers:
        assert not re.search(rb"gunicorn/\d|Python/\d|Werkzeug|Traceback", answer)


def test_nothing_of_this_makes_the_server_log_a_trace(served: Served) -> None:
    assert "Traceback" not in served.log
