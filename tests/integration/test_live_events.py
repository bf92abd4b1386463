"""Live events as a real subscriber of the Socket.IO channel receives them (rows E4, E5)."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import socketio
from sqlalchemy.orm import Session

from cio_tasks import counters, events
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.live import CHANNEL, LAST_WORDS, LOST, SYNC_FAILED, SYNCED, LiveEvents
from cio_tasks.outbox import MOST_WAITING
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.eventually import eventually
from tests.factories import Factory

FACTS = {"signup_id": "s-1", "job_id": "j-1", "phase": "initial", "operator_id": "op-1"}
COMPLETED = {**FACTS, "contact_id": "c-1", "mock": False}
FAILED = {**FACTS, "error_type": "other", "error_code": "http_403", "http_status": 403, "exhausted_retries": False}

Message = dict[str, Any]
TellTo = Callable[[str], LiveEvents]


class Subscriber:
    """One who listens on the channel of Flask-SocketIO."""

    def __init__(self, redis_url: str) -> None:
        self._client = redis.Redis.from_url(redis_url)
        self._channel = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._channel.subscribe(CHANNEL)
        self._channel.get_message(timeout=5)
        self.messages: list[Message] = []

    def receive(self, count: int = 1) -> list[Message]:
        """Return the messages once there are so many."""
        return eventually(self._read, lambda messages: len(messages) >= count, seconds=5)

    def _read(self) -> list[Message]:
        while message := self._channel.get_message(timeout=0.05):
            published = json.loads(message["data"])
            self.messages.append({**published, "data": published["data"][0]})
        return self.messages

    def close(self) -> None:
        self._channel.close()
        self._client.close()


@pytest.fixture
def subscriber(redis_url: str) -> Iterator[Subscriber]:
    subscriber = Subscriber(redis_url)
    yield subscriber
    subscriber.close()


@pytest.fixture
def live(redis_url: str) -> Iterator[LiveEvents]:
    """Live events of everything that is told during the test."""
    live = LiveEvents(redis_url)
    events.listen(live)
    yield live
    events.unlisten(live)
    live.close()


@pytest.mark.row("E4")
def test_completed_job_is_published(live: LiveEvents, subscriber: Subscriber) -> None:
    events.emit("sync.completed", **COMPLETED)
    (message,) = subscriber.receive()
    at = datetime.fromisoformat(message["data"].pop("at"))

    assert (message["method"], message["event"], message["namespace"]) == ("emit", SYNCED, "/")
    assert message["data"] == {
        "signupId": "s-1",
        "jobId": "j-1",
        "syncPhase": "initial",
        "operatorId": "op-1",
        "contactId": "c-1",
        "mock": False,
    }
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


@pytest.mark.row("E5")
def test_failed_job_is_published(live: LiveEvents, subscriber: Subscriber) -> None:
    events.emit("sync.failed", **FAILED)
    (message,) = subscriber.receive()
    del message["data"]["at"]

    assert message["event"] == SYNC_FAILED
    assert message["data"] == {
        "signupId": "s-1",
        "jobId": "j-1",
        "syncPhase": "initial",
        "operatorId": "op-1",
        "errorType": "other",
        "exhaustedRetries": False,
    }


def test_events_are_called_as_the_clients_expect() -> None:
    assert (SYNCED, SYNC_FAILED) == ("sign_up.customerio_synced", "sign_up.customerio_sync_failed")


@pytest.mark.row("E4", "E5")
def test_only_the_end_of_a_job_is_published(live: LiveEvents, subscriber: Subscriber) -> None:
    for name in ("sync.retrying", "sync.deferred", "sync.claim_lost", "gate.closed", "gate.opened"):
        events.emit(name, **FAILED)
    events.emit("sync.completed", **COMPLETED)

    assert [message["event"] for message in subscriber.receive()] == [SYNCED]


@pytest.mark.row("E4", "E5", "A1")
def test_delivery_tells_ids_and_words_and_no_personal_data(
    live: LiveEvents, subscriber: Subscriber, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    people = [f"canary{tag}@example.com" for tag in ("", "+403", "+badattr")]
    signups = [make.signup(email, first_name="Canaryfirst", last_name="Canarylast") for email in people]
    process_due(runtime, limit=10)
    messages = subscriber.receive(3)
    told = {message["data"]["signupId"]: (message["event"], message["data"]) for message in messages}

    assert [told[str(signup.id)][0] for signup in signups] == [SYNCED, SYNC_FAILED, SYNC_FAILED]
    assert told[str(signups[0].id)][1]["mock"] is False
    assert told[str(signups[0].id)][1]["contactId"] == str(signups[0].customer_id)
    assert "canary" not in json.dumps(messages).lower()


@pytest.mark.row("E5")
def test_job_out_of_retries_is_told_to_be_exhausted(
    live: LiveEvents, subscriber: Subscriber, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(outage="503")
    job = make.job(make.signup())
    make.set(job.id, attempt_count=5)
    process_due(runtime, limit=10)
    (message,) = subscriber.receive()

    assert (message["event"], message["data"]["exhaustedRetries"]) == (SYNC_FAILED, True)
    assert message["data"]["errorType"] == "server_error"


def count_lost(session: Session) -> int:
    """Return how many events were lost so far, by this process and all others."""
    counters.flush(session)
    return counters.read(session).get((LOST, ""), 0)


# --- Redis away -------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead_url() -> str:
    """A port that refuses at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A port that accepts and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def tell_to() -> Iterator[TellTo]:
    """Makes tellers; in the end none of them still counts what it loses."""
    made: list[LiveEvents] = []

    def tell_to(url: str) -> LiveEvents:
        made.append(LiveEvents(url))
        return made[-1]

    yield tell_to
    for live in made:
        live.close()
        live.flush(timedelta(seconds=20))


@pytest.mark.parametrize("url", ["dead_url", "silent_url"])
def test_telling_costs_nothing_while_redis_is_away(url: str, request: pytest.FixtureRequest, tell_to: TellTo) -> None:
    live = tell_to(request.getfixturevalue(url))
    started = time.monotonic()
    for _ in range(100):
        live("sync.completed", COMPLETED)
    assert time.monotonic() - started < 10


def test_an_event_that_is_lost_is_counted(dead_url: str, session: Session, tell_to: TellTo) -> None:
    lost = count_lost(session)
    live = tell_to(dead_url)
    live("sync.completed", COMPLETED)
    live.flush(timedelta(seconds=5))
    assert count_lost(session) == lost + 1


def test_events_that_find_no_room_are_counted(silent_url: str, session: Session, tell_to: TellTo) -> None:
    lost = count_lost(session)
    live = tell_to(silent_url)
    for _ in range(MOST_WAITING + 11):
        live("sync.completed", COMPLETED)
    assert count_lost(session) - lost in {10, 11}  # one may be on its way already


def test_a_process_that_ends_waits_for_its_last_events(redis_url: str, subscriber: Subscriber) -> None:
    tell = f"from cio_tasks.live import LiveEvents; LiveEvents({redis_url!r})('sync.completed', {COMPLETED!r})"
    subprocess.run([sys.executable, "-c", tell], check=True, timeout=60)
    assert [message["event"] for message in subscriber.receive()] == [SYNCED]


@pytest.mark.parametrize("url", ["dead_url", "silent_url"])
def test_a_process_that_ends_does_not_wait_long_for_redis(
    url: str, request: pytest.FixtureRequest, tell_to: TellTo
) -> None:
    live = tell_to(request.getfixturevalue(url))
    for _ in range(100):
        live("sync.completed", COMPLETED)
    started = time.monotonic()
    live.flush()
    assert time.monotonic() - started < 20 * LAST_WORDS.total_seconds()


def test_an_outage_is_told_once(dead_url: str, caplog: pytest.LogCaptureFixture, tell_to: TellTo) -> None:
    live = tell_to(dead_url)
    for _ in range(3):
        live("sync.completed", COMPLETED)
    live.flush(timedelta(seconds=10))
    assert [record.message for record in caplog.records] == ["live events are lost: ConnectionError"]


def test_other_servers_of_python_socketio_understand_it(
    live: LiveEvents, subscriber: Subscriber, redis_url: str
) -> None:
    events.emit("sync.completed", **COMPLETED)
    (ours,) = subscriber.receive()
    socketio.RedisManager(redis_url, channel=CHANNEL, write_only=True).emit(SYNCED, ours["data"])
    _, theirs = subscriber.receive(2)
    assert {**ours, "host_id": None} == {**theirs, "host_id": None}


def test_delivery_succeeds_while_redis_is_away(dead_url: str, runtime: Runtime, make: Factory, tell_to: TellTo) -> None:
    live = tell_to(dead_url)
    events.listen(live)
    job = make.job(make.signup())
    summary = process_due(runtime, limit=10)
    events.unlisten(live)

    assert (summary.succeeded, make.all(type(job), status="completed")[0].id) == (1, job.id)


def test_events_flow_again_when_redis_is_back(live: LiveEvents, redis_url: str) -> None:
    first = Subscriber(redis_url)
    events.emit("sync.completed", **COMPLETED)
    first.receive()
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    second = Subscriber(redis_url)
    events.emit("sync.completed", **COMPLETED)

    assert len(second.receive()) == 1
    first.close()
    second.close()
