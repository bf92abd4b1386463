"""Live events over real gunicorn: who is let in, what they hear, and what a guest cannot do (S03, S04, S22, S23)."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import requests
import websocket

from api.live.clients import MOST_CLIENTS, MOST_REQUESTS, MOST_SESSIONS
from api.live.engine import LONGEST_MESSAGE
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.live import CHANNEL, SYNC_FAILED, SYNCED
from tests.eventually import eventually
from tests.listening import VIEWER, Listener, Teller
from tests.serving import Served, serve

FOREIGN = ["https://evil.example", "null", "http://localhost.evil", "file://", "http://", "http://[", "", "evil", "*"]

Listen = Callable[..., Listener]


@pytest.fixture(scope="module")
def served(valkey_server: EmbeddedValkey, servers_dir: Path) -> Iterator[Served]:
    valkey_server.start()
    with serve(servers_dir / "live", valkey_server.url) as served:
        yield served


@pytest.fixture
def own(valkey_server: EmbeddedValkey, servers_dir: Path, redis_url: str) -> Iterator[Served]:
    """A server for one test alone: after a storm it is busy for a while."""
    with serve(servers_dir / f"live-{uuid4().hex[:8]}", valkey_server.url) as served:
        yield served


@pytest.fixture
def listen(served: Served, redis_url: str) -> Iterator[Listen]:
    """Make clients, which leave at the end."""
    made: list[Listener] = []

    def make() -> Listener:
        made.append(Listener(served.url))
        return made[-1]

    yield make
    for listener in made:
        listener.leave()


@pytest.fixture
def tell(redis_url: str) -> Teller:
    return Teller(redis_url)


@pytest.fixture
def guest(served: Served, redis_url: str) -> Iterator[websocket.WebSocket]:
    """One who has opened a websocket and has not said who they are."""
    guest = served.open_websocket()
    guest.recv()
    yield guest
    guest.close()


def last_word(guest: websocket.WebSocket) -> str:
    """Return what comes next, or nothing when the connection is closed; fail when it stays open and silent."""
    try:
        return str(guest.recv())
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        return ""


# --- Who hears what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transports", [None, ["websocket"], ["polling"]])
@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_those_who_may_read_hear_both_events(
    role: str, transports: list[str] | None, listen: Listen, tell: Teller
) -> None:
    listen().connect().attune(tell)
    listener = listen().connect({"token": f"{role}-token"}, transports=transports)
    tell("sync.completed")
    tell("sync.failed")
    (synced, of_success), (failed, of_failure) = listener.news(2)
    job = {"signupId": "s-1", "jobId": "j-1", "syncPhase": "initial", "operatorId": "op-1"}
    assert (synced, failed) == (SYNCED, SYNC_FAILED)
    assert of_success == job | {"contactId": "c-1", "mock": False, "at": of_success["at"]}
    assert of_failure == job | {"errorType": "other", "exhaustedRetries": False, "at": of_failure["at"]}


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "unauthorized"),
        ({}, "unauthorized"),
        ({"token": ""}, "unauthorized"),
        ({"token": None}, "unauthorized"),
        ({"token": 5}, "unauthorized"),
        ({"token": ["viewer-token"]}, "unauthorized"),
        ({"token": "viewer-toke"}, "unauthorized"),
        ({"token": "VIEWER-TOKEN"}, "unauthorized"),
        ({"token": "Bearer viewer-token"}, "unauthorized"),
        ({"token": "\ud800"}, "unauthorized"),
        ({"TOKEN": "viewer-token"}, "unauthorized"),
        ("viewer-token", "unauthorized"),
        (["viewer-token"], "unauthorized"),
        ({"token": "app-token"}, "forbidden"),
    ],
)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_anybody_else_is_refused_with_a_reason(auth: Any, code: str, transport: str, listen: Listen) -> None:
    listener = listen()
    assert listener.refused(auth, transports=[transport], retry=False)["code"] == code
    assert listener.heard == []


def test_a_token_in_the_address_or_a_header_is_none(listen: Listen) -> None:
    refused = listen().refused(None, path="/?token=viewer-token&access_token=viewer-token")
    assert refused["code"] == "unauthorized"
    assert listen().refused(None, headers={"Authorization": "Bearer viewer-token"})["code"] == "unauthorized"


def test_wrong_tokens_are_limited_and_the_right_one_is_not(listen: Listen) -> None:
    codes = [listen().refused({"token": f"wrong-{number}"}, retry=False)["code"] for number in range(22)]
    assert codes == ["unauthorized"] * 20 + ["rate_limited"] * 2
    assert listen().connect().client.connected


def test_there_is_no_other_namespace(listen: Listen) -> None:
    listener = listen()
    with pytest.raises(Exception, match="/admin"):
        listener.connect(VIEWER, namespaces=["/admin"])


def test_who_has_not_said_who_they_are_hears_nothing(guest: websocket.WebSocket, listen: Listen, tell: Teller) -> None:
    listen().connect().attune(tell)
    guest.send('40{"token":"app-token"}')
    assert '"code":"forbidden"' in str(guest.recv())
    tell()
    assert last_word(guest) == ""


@contextmanager
def telling(tell: Teller) -> Iterator[None]:
    """Tell on and on while the body runs."""
    over = threading.Event()

    def tell_on() -> None:
        while not over.is_set():
            tell()

    thread = threading.Thread(target=tell_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_nobody_hears_anything_while_being_refused(served: Served, listen: Listen, tell: Teller) -> None:
    listen().connect().attune(tell)
    with telling(tell):
        heard = [served.refused_frames('40{"token":"app-token"}') for _ in range(15)]
    assert not [frame for frames in heard for frame in frames if frame.startswith("42")]


def test_a_session_may_say_once_who_it_is(guest: websocket.WebSocket) -> None:
    guest.send('40{"token":"wrong"}')
    assert '"unauthorized"' in str(guest.recv())
    guest.send('40{"token":"viewer-token"}')
    assert '"forbidden"' in str(guest.recv())


# --- Where a request comes from ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_is_refused(origin: str, served: Served) -> None:
    answer = served.knock(Origin=origin)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        served.open_websocket(origin=origin)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_of_the_same_origin_is_served(scheme: str, served: Served) -> None:
    assert served.knock(Origin=f"{scheme}://127.0.0.1:{served.port}").status_code == 200


def test_another_host_in_a_forwarded_header_is_not_believed(served: Served) -> None:
    answer = served.knock(Origin="https://evil.example", X_Forwarded_Host="evil.example", X_Forwarded_Proto="https")
    assert answer.status_code == 403


def test_no_answer_lets_another_origin_read_it(served: Served) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    same = served.knock(Origin=served.url, **asked)
    preflight = requests.options(
        f"{served.url}/socket.io/", headers={"Origin": "https://evil.example", **asked}, timeout=10
    )
    assert (same.status_code, preflight.status_code) == (200, 405)
    assert not [name for name in (*same.headers, *preflight.headers) if name.lower().startswith("access-control")]


# --- What answers look like -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", "EIO=4&transport=polling", 200),
        ("GET", "EIO=3&transport=polling", 400),
        ("GET", "EIO=4&transport=carrier-pigeon", 400),
        ("GET", "EIO=4&transport=websocket", 400),
        ("GET", "EIO=4&transport=polling&sid=CANARY", 400),
        ("POST", "EIO=4&transport=polling&sid=CANARY", 400),
        ("GET", "EIO=4&transport=polling&j=0", 400),
        ("GET", "", 400),
        ("PUT", "EIO=4&transport=polling", 405),
        ("DELETE", "EIO=4&transport=polling", 405),
    ],
)
def test_every_answer_has_the_headers_of_the_others(method: str, query: str, status: int, served: Served) -> None:
    answer = requests.request(method, f"{served.url}/socket.io/?{query}", timeout=10)
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert len(answer.headers["X-Request-Id"]) == 32
    if status != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "CANARY" not in answer.text


# --- What a guest cannot do -------------------------------------------------------------------------------------------


def test_what_a_client_says_is_ignored(listen: Listen, tell: Teller, served: Served) -> None:
    listener, other = listen().connect(), listen().connect().attune(tell)
    for event in (SYNCED, "connect", "disconnect", "join", "message"):
        listener.client.emit(event, {"canary": "CANARY"})
    listener.client.emit("binary", b"CANARY")
    tell()
    assert [event for event, _ in other.news(1)] == [SYNCED]
    assert "CANARY" not in json.dumps(other.heard) + served.log


@pytest.mark.parametrize("size", [LONGEST_MESSAGE + 1, 50_000_000])
def test_a_large_message_ends_the_connection_and_costs_no_memory(
    size: int, guest: websocket.WebSocket, served: Served
) -> None:
    before = served.memory
    with suppress(OSError, websocket.WebSocketConnectionClosedException):
        send_in_parts(guest, size)
    assert last_word(guest) == ""
    assert served.memory - before < 20_000_000


def send_in_parts(guest: websocket.WebSocket, size: int) -> None:
    """Send one message, most of it at a time when the server knows that it is too large, and read on until it closes."""
    for start in range(0, size, 1_000_000):
        part = "4" * min(1_000_000, size - start)
        guest.send_frame(websocket.ABNF(opcode=0 if start else 1, mask_value=1, data=part))
    while guest.recv():
        continue


def test_a_large_post_is_refused(served: Served) -> None:
    [session_id] = open_sessions(served, 1)
    query = f"EIO=4&transport=polling&sid={session_id}"
    answer = requests.post(f"{served.url}/socket.io/?{query}", data=b"4" * (LONGEST_MESSAGE + 1), timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body", ["4" * (LONGEST_MESSAGE + 1), "9", "b4AAAA", "4[", "{", "\x1e" * 100, "451-[]", "4" * 99]
)
def test_nonsense_is_answered_at_once_and_holds_no_thread(body: str, served: Served) -> None:
    session = json.loads(served.knock().text[1:])
    answer = requests.post(
        f"{served.url}/socket.io/?EIO=4&transport=polling&sid={session['sid']}", data=body, timeout=3
    )
    assert answer.status_code in {200, 400}
    assert "Traceback" not in served.log


@pytest.mark.parametrize("missing", ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection", "Host"])
def test_half_a_handshake_is_refused(missing: str, served: Served) -> None:
    lines = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if name != missing)
    answer = served.say(f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{head}\r\n".encode(), seconds=2)
    assert answer.startswith(b"HTTP/1.1 400")
    assert "Traceback" not in served.log


def test_a_guest_who_says_nothing_is_shown_out(served: Served) -> None:
    """This one answers the server's pings, and does not close when told to."""
    guest = served.open_websocket()
    assert str(guest.recv()).startswith("0{")
    connection = guest.sock
    assert connection is not None
    eventually(lambda: connection.recv(1_000) == b"", seconds=10)
    connection.close()


def test_there_are_only_so_many_clients(listen: Listen, served: Served) -> None:
    clients = [eventually_in(listen) for _ in range(MOST_CLIENTS)]
    assert listen().refused(VIEWER, retry=False) == {"status": 503, "code": "busy"}
    assert served.is_alive_within(1)
    clients[0].leave()
    assert eventually_in(listen).client.connected


def eventually_in(listen: Listen) -> Listener:
    """Connect, as a client does that tries again: those before it may not have left yet."""

    def attempt() -> Listener | None:
        listener = listen()
        try:
            return listener.connect(transports=["websocket"])
        except Exception:  # noqa: BLE001 - refused, and which class says so is the library's affair
            listener.leave()
            return None

    found = eventually(attempt, seconds=15, every=0.5)
    assert found is not None
    return found


def test_a_storm_of_guests_leaves_threads_for_everybody_else(own: Served) -> None:
    guests = []
    for _ in range(3 * MOST_SESSIONS):
        with suppress(websocket.WebSocketBadStatusException):
            guests.append(own.open_websocket())
    assert 0 < len(guests) <= MOST_SESSIONS
    assert own.is_alive_within(1)
    for guest in guests:
        guest.close()
    eventually(lambda: own.knock().status_code == 200)


def test_a_storm_of_sessions_is_told_to_come_back(own: Served) -> None:
    answers = [own.knock() for _ in range(MOST_SESSIONS + 1)]
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (503, "busy")
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_session_waits_once(served: Served) -> None:
    [session_id] = open_sessions(served, 1)
    with ThreadPoolExecutor(5) as threads:
        codes = [answer.status_code for answer in threads.map(lambda _: served.knock(sid=session_id), range(5))]
    assert sorted(codes) == [200, 400, 400, 400, 400]


def test_a_storm_of_requests_leaves_threads_for_everybody_else(own: Served) -> None:
    """Every session waits by a poll and asks for a websocket as well."""
    session_ids, refused = open_sessions(own, MOST_SESSIONS), []
    with ThreadPoolExecutor(MOST_SESSIONS) as threads:
        polls = [threads.submit(own.knock, sid=session_id) for session_id in session_ids]
        for session_id in session_ids:
            try:
                own.open_websocket(sid=session_id)
            except websocket.WebSocketBadStatusException as error:
                refused.append(error.status_code)
        assert own.is_alive_within(1)
    assert len(refused) >= 2 * MOST_SESSIONS - MOST_REQUESTS
    assert set(refused) == {503}
    assert {poll.result().status_code for poll in polls} == {200}


def open_sessions(served: Served, count: int) -> list[str]:
    """Return the ids of new sessions, once those of the tests before are gone."""
    answers = [
        eventually(served.knock, lambda answer: answer.status_code == 200, seconds=10, every=0.5) for _ in range(count)
    ]
    return [json.loads(answer.text[1:])["sid"] for answer in answers]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "disconnect"},
        {"method": "emit", "event": "CANARY"},
        {"data": [{"canary": "CANARY"}]},
        {"data": [{"signupId": "s", "email": "CANARY"}]},
        {"data": "CANARY"},
    ],
)
def test_what_else_is_written_to_redis_is_not_passed_on(
    change: dict[str, Any], listen: Listen, tell: Teller, redis_url: str
) -> None:
    listener = listen().connect().attune(tell)
    message = {"method": "emit", "event": SYNCED, "data": [{}], "namespace": "/", "room": None, **change}
    with redis.Redis.from_url(redis_url) as client:
        for content in (json.dumps(message), "{", "[]", "5", "[" * 100_000, b"\xff", json.dumps([message])):
            client.publish(CHANNEL, content)
    tell()
    assert len(listener.news(1)) == 1
    assert "CANARY" not in json.dumps(listener.heard)


def test_no_log_line_holds_a_token(listen: Listen, served: Served) -> None:
    open_sessions(served, 1)
    listen().connect()
    listen().refused({"token": "CANARYTOKEN"}, retry=False)
    assert "live_client_came" in served.log
    assert not [word for word in ("viewer-token", "CANARYTOKEN", "Traceback") if word in served.log], served.log
