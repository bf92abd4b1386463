"""What can go wrong below HTTP, by real sockets: each failure comes back as a value, and every call ends in time."""

import gzip
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

import pytest
import requests

from cio_tasks.customerio import CustomerIO
from cio_tasks.customerio.deadline import DeadlineAdapter, deadline
from cio_tasks.customerio.pace import Pace
from cio_tasks.customerio.replies import read_reply
from cio_tasks.customerio.transport import BODY_LIMIT, Reply, Transport
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.outcomes import Delivered, ErrorType, RetryLater
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.eventually import eventually
from tests.factories import Factory

CREDENTIALS = ("SECRETCANARY-site", "SECRETCANARY-key")
BATCH = "/api/v2/batch"
pytestmark = pytest.mark.timeout(30)
SLACK = 2.0
"""Seconds that a busy machine may add to a bound."""

Script = Callable[[socket.socket, threading.Event], None]


class Peer(socketserver.ThreadingTCPServer):
    """A server that reads whole requests, answers each as its script says, and counts connections."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client left, which is what some tests are about."""


class _Conversation(socketserver.StreamRequestHandler):
    server: Peer

    def handle(self) -> None:
        self.server.connections += 1
        while request := self._read():
            self.server.requests.append(request)
            self.server.script(self.connection, self.server.closing)

    def _read(self) -> bytes:
        """Return the next request, or nothing when the client has left."""
        head, size = b"", 0
        while (line := self.rfile.readline()) not in {b"", b"\r\n"}:
            head += line
            size += int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else 0
        return head + line + self.rfile.read(size) if head else b""


def says(answer: bytes, *, then_close: bool = False) -> Script:
    """Answer every request with these bytes."""

    def script(connection: socket.socket, _closing: threading.Event) -> None:
        connection.sendall(answer)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def drips(head: bytes, drop: bytes, every: float = 0.02) -> Script:
    """Send `head`, then `drop` again and again until somebody leaves."""

    def script(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(head)
        while not closing.wait(every):
            connection.sendall(drop)

    return script


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def transport(url: str, total: float = 5) -> Transport:
    return Transport(url, auth=CREDENTIALS, total=timedelta(seconds=total), user_agent="ciosync tests")


def send(url: str, total: float = 5) -> Reply:
    return transport(url, total).send("POST", BATCH, b'{"batch":[]}')


def assert_retried(reply: Reply, code: str) -> None:
    outcome = read_reply(reply, size=1).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.code) == (ErrorType.NETWORK, code)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port that listens, accepts nobody and has no room left to wait in."""
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield int(server.getsockname()[1])


# --- the request ------------------------------------------------------------------------------------------------------


def test_request_says_who_asks_what_it_holds_and_how_it_is_called() -> None:
    with Peer(says(http(b"{}"))) as peer:
        reply = send(peer.url)
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")

    assert lines[0] == f"POST {BATCH} HTTP/1.1"
    assert body == b'{"batch":[]}'
    assert {
        f"X-Request-Id: {reply.request_id}",
        "User-Agent: ciosync tests",
        "Content-Type: application/json; charset=utf-8",
        "Authorization: Basic U0VDUkVUQ0FOQVJZLXNpdGU6U0VDUkVUQ0FOQVJZLWtleQ==",
    } <= set(lines)


def test_every_request_has_an_id_of_its_own() -> None:
    with Peer(says(http(b"{}"))) as peer:
        client = transport(peer.url)
        ids = {client.send("GET", "/").request_id for _ in range(3)}
    sent = b"".join(peer.requests).decode()

    assert len(ids) == 3
    assert all(f"X-Request-Id: {number}\r\n" in sent for number in ids)


@pytest.mark.parametrize(
    "answer", [http(b"{}\n"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_connection_is_kept_for_the_next_request(answer: bytes) -> None:
    with Peer(says(answer)) as peer:
        client = transport(peer.url)
        statuses = [client.send("GET", "/").status for _ in range(5)]

    assert (statuses, len(peer.requests), peer.connections) == ([200] * 5, 5, 1)


def test_connection_is_kept_after_an_answer_that_says_no() -> None:
    with Peer(says(http(b"{}", status="503 Busy"))) as peer:
        client = transport(peer.url)
        statuses = [client.send("GET", "/").status for _ in range(2)]

    assert (statuses, peer.connections) == ([503, 503], 1)


def test_connection_is_dropped_after_a_failure() -> None:
    answers = iter([http(b"{}"), b"nonsense\r\n\r\n", http(b"{}"), http(b"{}")])
    with Peer(lambda connection, _: connection.sendall(next(answers))) as peer:
        client = transport(peer.url)
        failures = [client.send("GET", "/").failure for _ in range(4)]

    assert (failures, peer.connections) == ([None, "not_http", None, None], 2)


def test_threads_have_connections_of_their_own() -> None:
    with Peer(says(http(b"{}"))) as peer:
        client = transport(peer.url)
        threads = [threading.Thread(target=client.send, args=("GET", "/")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (len(peer.requests), peer.connections) == (4, 4)


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.row("A6")
def test_refused_connection_is_a_network_failure(closed_port: int) -> None:
    assert_retried(send(f"http://127.0.0.1:{closed_port}"), "connection_refused")


@pytest.mark.row("A6")
def test_name_that_does_not_exist_is_a_network_failure() -> None:
    assert_retried(send("http://customerio.invalid"), "dns")


@pytest.mark.row("A6")
@pytest.mark.parametrize("outage", ["reset", "refuse"])
def test_lost_connection_is_a_network_failure(fake: FakeCustomerIO, outage: str) -> None:
    fake.scenario = Scenario.model_validate({"outage": outage})

    assert_retried(send(fake.url), "connection_reset")


@pytest.mark.row("A6")
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        http(b"not gzip", "Content-Encoding: gzip"),
        http(b"{}")[:-1],
    ],
    ids=["ssh", "tls", "no status", "200 headers", "endless header", "bad chunk", "not gzip", "cut short"],
)
def test_answer_that_is_not_http_is_a_network_failure(answer: bytes) -> None:
    with Peer(says(answer, then_close=True)) as peer:
        assert_retried(send(peer.url), "not_http")


@pytest.mark.row("A6")
@pytest.mark.parametrize("lengths", ["Content-Length: 1, 2", "Content-Length: many", "Content-Length: -5"])
def test_impossible_length_does_no_harm(lengths: str) -> None:
    with Peer(says(f"HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n".encode(), then_close=True)) as peer:
        reply = send(peer.url)

    assert isinstance(read_reply(reply, size=1).outcome, (Delivered, RetryLater))


@pytest.mark.parametrize("url", ["http://" + "x" * 70 + ".example", "http://127.0.0.1:99999", "http://[::1", "http://"])
def test_impossible_address_is_a_value_too(url: str) -> None:
    assert send(url).failure is not None


def test_nothing_of_a_failure_shows_the_address_or_the_credentials(closed_port: int) -> None:
    reply = send(f"http://127.0.0.1:{closed_port}")

    assert "SECRETCANARY" not in repr(reply)
    assert str(closed_port) not in repr(reply)


# --- an answer that is not Customer.io's ------------------------------------------------------------------------------


@pytest.mark.row("A6")
@pytest.mark.parametrize("body", [b"<html>Welcome to the hotel</html>", b'{"errors":[', b"OK", b"[]"])
def test_200_with_a_strange_body_is_a_retry_and_not_a_success(body: bytes) -> None:
    with Peer(says(http(body))) as peer:
        assert_retried(send(peer.url), "not_customerio")


@pytest.mark.row("A6")
def test_200_with_truncated_json_is_a_retry_and_not_a_success(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(truncated_json=True)

    assert_retried(transport(fake.url).send("GET", "/api/v1/accounts/region"), "not_customerio")


def test_body_is_read_up_to_its_limit_and_no_further(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(padding_bytes=5_000_000)
    reply = transport(fake.url).send("GET", "/api/v1/accounts/region")

    assert (reply.status, len(reply.body)) == (200, BODY_LIMIT)
    assert json.loads(reply.body)["region"] == "us"


def test_small_body_that_unpacks_to_a_huge_one_is_read_up_to_its_limit() -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    with Peer(says(http(bomb, "Content-Encoding: gzip"))) as peer:
        reply = send(peer.url)

    assert (reply.status, len(reply.body)) == (200, BODY_LIMIT)


def test_list_of_refusals_beyond_the_limit_is_not_taken_for_a_success() -> None:
    errors = [{"batch_index": n, "reason": "invalid", "message": "x" * 200} for n in range(400)]
    with Peer(says(http(json.dumps({"errors": errors}).encode(), status="207 Multi-Status"))) as peer:
        result = read_reply(send(peer.url), size=800)

    assert not any(isinstance(result.of(index), Delivered) for index in range(800))
    assert result.splittable


@pytest.mark.parametrize("odd", ["\x00", "\ud800"])
@pytest.mark.parametrize("field", ["reason", "message"])
def test_odd_character_in_a_refusal_keeps_no_job_of_the_batch_from_being_recorded(
    runtime: Runtime, make: Factory, field: str, odd: str
) -> None:
    signups = [make.signup() for _ in range(3)]
    refusal = json.dumps({"errors": [{"batch_index": 0, field: odd}]}).encode()
    with Peer(says(http(refusal, status="207 Multi-Status"))) as peer:
        client = CustomerIO(transport(peer.url), Pace(100, redis_url=None))
        process_due(Runtime(runtime.settings, runtime.sessions, client, "worker"), limit=10)

    assert sorted(make.job(signup).status for signup in signups) == ["completed", "completed", "failed"]


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.row("A6")
def test_hanging_server_is_left_when_the_time_is_up(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="hang")
    reply = send(fake.url, total=0.5)

    assert_retried(reply, "timeout")
    assert 0.4 < reply.elapsed.total_seconds() < 0.5 + SLACK
    assert fake.ledger.count() == 1


@pytest.mark.row("A6")
def test_answer_that_drips_byte_by_byte_is_left_when_the_time_is_up(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(drip_seconds_per_byte=0.02)
    reply = send(fake.url, total=0.5)

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 0.5 + SLACK


@pytest.mark.row("A6")
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status line", "headers", "continue", "body with length", "last body", "body without length", "chunks"],
)
def test_call_ends_in_time_whatever_part_of_the_answer_drips(head: bytes, drop: bytes) -> None:
    with Peer(drips(head, drop)) as peer:
        reply = send(peer.url, total=0.3)

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 0.3 + SLACK


def test_connection_that_nobody_accepts_is_given_up_after_two_seconds(full_port: int) -> None:
    reply = send(f"http://127.0.0.1:{full_port}")

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 2 + SLACK


def test_call_after_a_timeout_starts_afresh(fake: FakeCustomerIO) -> None:
    client = transport(fake.url, total=0.4)
    fake.scenario = Scenario(outage="hang")
    first = client.send("GET", "/api/v1/accounts/region")
    fake.scenario = Scenario()

    assert first.failure == "timeout"
    assert client.send("GET", "/api/v1/accounts/region").status == 200


def test_time_of_one_call_does_not_end_a_later_one() -> None:
    with Peer(says(http(b"{}"))) as peer:
        client = transport(peer.url, total=1)
        first, began = client.send("GET", "/"), time.monotonic()
        eventually(lambda: time.monotonic() > began + 1.1)
        second = client.send("GET", "/")

    assert (first.status, second.status, peer.connections) == (200, 200, 1)


def test_request_whose_time_is_up_before_it_begins_is_not_sent(fake: FakeCustomerIO) -> None:
    """A name server may take longer than the whole call was given, and nothing can interrupt it."""
    with requests.Session() as session, deadline(timedelta(0)) as limit:
        session.mount("http://", DeadlineAdapter())
        eventually(lambda: limit.passed)
        with pytest.raises(requests.RequestException):
            session.get(f"{fake.url}/api/v1/accounts/region", auth=CREDENTIALS, timeout=5)

    assert fake.ledger.count() == 0


def test_deadline_holds_through_a_proxy_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b" ")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        reply = send("http://track.customerio.invalid", total=0.3)

    assert_retried(reply, "timeout")
    assert reply.elapsed.total_seconds() < 0.3 + SLACK / 2
