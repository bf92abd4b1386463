"""Each mode of the proxy, tried on a server that answers with what it was asked."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from tests.chaos.proxy import Fault, FaultProxy, Mode
from tests.eventually import eventually


class Echo(StreamRequestHandler):
    """Sends every line back, and remembers it."""

    def handle(self) -> None:
        for line in self.rfile:
            self.server.heard.append(line)  # type: ignore[attr-defined]
            self.wfile.write(line)


class EchoServer(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Echo)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.server_address[1])) as proxy:
        yield proxy


def dial(proxy: FaultProxy) -> Any:
    """Return an open connection through the proxy."""
    return closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=3))


def ask(connection: socket.socket, line: bytes = b"hello\n") -> bytes:
    """Send a line and return what comes back before the connection ends, half a second passes, or the line is whole."""
    connection.sendall(line)
    connection.settimeout(0.5)
    answer = b""
    while len(answer) < len(line) and (piece := connection.recv(100)):
        answer += piece
    return answer


def dial_and_ask(proxy: FaultProxy) -> bytes:
    with dial(proxy) as connection:
        return ask(connection)


def test_bytes_pass_both_ways(proxy: FaultProxy) -> None:
    with dial(proxy) as connection:
        assert [ask(connection), ask(connection, b"again\n")] == [b"hello\n", b"again\n"]


def test_a_unix_socket_can_be_the_target(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server, FaultProxy(tmp_path / "s") as proxy:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with dial(proxy) as connection:
            connection.sendall(b"hello\n")
            accepted, _ = server.accept()
            assert accepted.recv(100) == b"hello\n"
            accepted.close()


def test_refused_means_that_nobody_listens_until_it_heals(proxy: FaultProxy) -> None:
    with dial(proxy) as open_before:
        ask(open_before)
        proxy.use(Fault(mode=Mode.REFUSE))
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        with pytest.raises(ConnectionResetError):
            ask(open_before)
    proxy.heal()
    with dial(proxy) as connection:
        assert ask(connection) == b"hello\n"


def test_a_black_hole_swallows_on_old_and_new_connections(proxy: FaultProxy, server: EchoServer) -> None:
    with dial(proxy) as old:
        ask(old)
        proxy.use(Fault(mode=Mode.BLACKHOLE))
        for connection in (old, dial(proxy).thing):
            with pytest.raises(TimeoutError):
                ask(connection, b"lost\n")
        assert server.heard == [b"hello\n"]
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            ask(old)


def test_reset_strikes_old_and_new_connections(proxy: FaultProxy) -> None:
    with dial(proxy) as old:
        ask(old)
        proxy.use(Fault(mode=Mode.RESET))
        with pytest.raises(ConnectionResetError):
            ask(old)
        with pytest.raises(ConnectionResetError):
            dial_and_ask(proxy)


def test_half_closed_tells_the_client_that_no_more_comes(proxy: FaultProxy) -> None:
    proxy.use(Fault(mode=Mode.HALF_CLOSE))
    with dial(proxy) as connection:
        assert ask(connection) == b"hello\n"
        assert connection.recv(1) == b""
        connection.sendall(b"still open this way\n")


def test_delayed_answers_come_late(proxy: FaultProxy) -> None:
    proxy.use(Fault(mode=Mode.DELAY, seconds=0.3))
    with dial(proxy) as connection:
        started = time.monotonic()
        assert ask(connection) == b"hello\n"
        assert time.monotonic() - started >= 0.3


def test_trickled_answers_come_byte_by_byte_until_it_heals(proxy: FaultProxy) -> None:
    proxy.use(Fault(mode=Mode.TRICKLE, bytes_per_second=20))
    with dial(proxy) as connection:
        connection.sendall(b"hello, world\n")
        assert connection.recv(100) == b"h"
        proxy.heal()
        got = eventually(lambda: connection.recv(100, socket.MSG_PEEK), lambda seen: seen.endswith(b"world\n"))
        assert got.startswith((b"ello", b"llo"))


@pytest.mark.parametrize("after", [0, 3])
def test_an_answer_is_cut_after_so_many_bytes(proxy: FaultProxy, after: int) -> None:
    proxy.use(Fault(mode=Mode.CUT_ANSWER, after_bytes=after, times=1))
    with dial(proxy) as connection:
        connection.sendall(b"hello\n")
        assert b"".join(until_reset(connection)) in {b"hello\n"[:after], b""}  # a reset may overtake what was sent
    assert proxy.struck == 1
    with dial(proxy) as connection:
        assert ask(connection) == b"hello\n"


def test_a_request_is_cut_after_so_many_bytes(proxy: FaultProxy, server: EchoServer) -> None:
    proxy.use(Fault(mode=Mode.CUT_REQUEST, after_bytes=8))
    with dial(proxy) as connection:
        ask(connection)
        connection.sendall(b"world\n")
        assert b"".join(until_reset(connection)) == b""
    eventually(lambda: server.heard == [b"hello\n", b"wo"])


def test_what_has_the_pattern_is_carried_out_and_not_answered(proxy: FaultProxy, server: EchoServer) -> None:
    proxy.use(Fault(mode=Mode.CUT_ON_PATTERN, pattern=b"COMMIT", times=1))
    with dial(proxy) as connection:
        assert ask(connection, b"BEGIN\n") == b"BEGIN\n"
        connection.sendall(b"COMMIT\n")
        assert b"".join(until_reset(connection)) == b""
    assert server.heard == [b"BEGIN\n", b"COMMIT\n"]
    with dial(proxy) as connection:
        assert ask(connection, b"COMMIT\n") == b"COMMIT\n"


def test_a_pattern_in_two_pieces_is_seen(proxy: FaultProxy, server: EchoServer) -> None:
    proxy.use(Fault(mode=Mode.CUT_ON_PATTERN, pattern=b"COMMIT"))
    with dial(proxy) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask(connection, b"first\nCOM"[:6])
        connection.sendall(b"COM")
        eventually(lambda: proxy.connections == 1)
        connection.sendall(b"MIT\n")
        assert b"".join(until_reset(connection)) == b""
    assert server.heard == [b"first\n", b"COMMIT\n"]


def test_one_byte_is_turned_round(proxy: FaultProxy) -> None:
    proxy.use(Fault(mode=Mode.CORRUPT, after_bytes=1, times=1))
    with dial(proxy) as connection:
        assert ask(connection) == b"h" + bytes([ord("e") ^ 0xFF]) + b"llo\n"
        assert ask(connection) == b"hello\n"


def test_more_connections_than_the_limit_are_reset(proxy: FaultProxy) -> None:
    proxy.use(Fault(mode=Mode.LIMIT, connections=1))
    with dial(proxy) as first:
        assert ask(first) == b"hello\n"
        with pytest.raises(ConnectionResetError):
            dial_and_ask(proxy)
        assert ask(first) == b"hello\n"


def test_a_server_that_is_gone_looks_like_a_reset(proxy: FaultProxy, server: EchoServer) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionResetError):
        dial_and_ask(proxy)


def test_nothing_is_left(server: EchoServer) -> None:
    threads = threading.active_count()
    with FaultProxy(("127.0.0.1", server.server_address[1])) as proxy:
        proxy.use(Fault(mode=Mode.BLACKHOLE))
        with dial(proxy) as connection:
            connection.sendall(b"lost\n")
            eventually(lambda: proxy.connections == 1)
    eventually(lambda: threading.active_count() <= threads)
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)


def until_reset(connection: socket.socket) -> Iterator[bytes]:
    """Yield what comes until the other side resets the connection."""
    connection.settimeout(3)
    try:
        while piece := connection.recv(100):
            yield piece
    except ConnectionResetError:
        return
    raise AssertionError("it was closed and not reset")
