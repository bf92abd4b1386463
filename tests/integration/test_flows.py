import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from cio_tasks import events, transitions
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.live import CHANNEL, LiveEvents
from cio_tasks.models import AuditEntry, DeadLetter, Signup
from cio_tasks.processor import Summary, process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.eventually import eventually
from tests.factories import Factory

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def live(redis_url: str) -> Iterator[Callable[[int], Heard]]:
    """Listens where the Socket.IO server does; gives the first so many events that arrive."""
    listener = LiveEvents(redis_url)
    events.listen(listener)
    with redis.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(CHANNEL)
        eventually(lambda: client.pubsub_numsub(CHANNEL)[0][1])
        heard: Heard = []

        def listen() -> Heard:
            message = channel.get_message()
            if message is not None:
                body = json.loads(message["data"])
                heard.append((body["event"], *body["data"]))
            return heard

        yield lambda count: eventually(listen, lambda found: len(found) >= count, every=0.01)
    events.unlisten(listener)
    listener.close()


def actions(make: Factory) -> list[str]:
    return [entry.action for entry in make.all(AuditEntry)]


@pytest.mark.row("F1", "E4")
def test_a_signup_is_submitted_and_reaches_customerio(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, live: Callable[[int], Heard]
) -> None:
    signup = make.signup("ada@example.com")
    owed = make.job(signup)
    summary = process_due(runtime, limit=100)
    ((name, facts),) = live(1)
    person = fake.people.find("ada@example.com")

    assert (owed.status, summary) == (JobStatus.PENDING, Summary(processed=1, succeeded=1))
    assert person is not None
    assert [event["name"] for event in person["events"]] == ["signup_submitted"]
    assert actions(make) == ["enqueued", "customerio_synced"]
    assert name == "sign_up.customerio_synced"
    assert datetime.fromisoformat(facts.pop("at")) < datetime.now(UTC)
    assert facts == {
        "signupId": str(signup.id),
        "jobId": str(owed.id),
        "syncPhase": "initial",
        "operatorId": "op-1",
        "contactId": person["id"],
        "mock": False,
    }


@pytest.mark.row("F2", "B4", "E4")
def test_a_confirmed_extraction_updates_the_person(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, live: Callable[[int], Heard]
) -> None:
    signup = make.signup("ada@example.com")
    process_due(runtime, limit=100)
    make.confirm(signup, team_bet_on="Rovers")
    process_due(runtime, limit=100)
    heard = live(2)
    person = fake.people.find("ada@example.com")

    assert person is not None
    assert [event["name"] for event in person["events"]] == ["signup_submitted", "signup_extraction_confirmed"]
    assert (person["attributes"]["team_bet_on"], person["attributes"]["bet_amount"]) == ("Rovers", 25.5)
    assert [(name, facts["syncPhase"]) for name, facts in heard] == [
        ("sign_up.customerio_synced", "initial"),
        ("sign_up.customerio_synced", "enriched"),
    ]
    assert actions(make) == ["enqueued", "customerio_synced"] * 2


@pytest.mark.row("F3", "B8")
def test_a_delivery_fails_twice_and_then_succeeds(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, live: Callable[[int], Heard]
) -> None:
    signup = make.signup("ada+500x2@example.com")
    states = []
    for _ in range(3):
        make.make_due(make.job(signup).id)
        process_due(runtime, limit=100)
        states.append((make.job(signup).status, make.job(signup).attempt_count))

    assert states == [("pending", 1), ("pending", 2), ("completed", 2)]
    assert [attempt.outcome for attempt in make.attempts(make.job(signup))] == ["retry_later"] * 2 + ["delivered"]
    assert [name for name, _ in live(1)] == ["sign_up.customerio_synced"]
    assert (fake.people.count_events(), actions(make)) == (1, ["enqueued", "customerio_synced"])


@pytest.mark.row("E5", "B10", "B11", "C13")
def test_a_refused_delivery_is_told_buried_and_brought_back_by_a_person(
    runtime: Runtime, make: Factory, live: Callable[[int], Heard]
) -> None:
    signup = make.signup("ada+403x1@example.com")
    process_due(runtime, limit=100)
    with runtime.sessions.begin() as session:
        transitions.retry_manually(session, signup.id, phase=None, actor="ops")
    process_due(runtime, limit=100)
    (_, failed), (name, _) = live(2)
    (row,), (letter,) = make.all(Signup), make.all(DeadLetter)

    assert (failed["errorType"], failed["exhaustedRetries"], name) == ("other", False, "sign_up.customerio_synced")
    assert (row.customerio_synced, row.customerio_sync_failed, letter.resolution) == (True, False, "manual_retry")
    assert actions(make) == ["enqueued", "customerio_sync_failed", "manual_retry", "customerio_synced"]


@pytest.mark.row("F1", "F2")
def test_both_phases_that_are_due_at_once_go_out_in_order(
    runtime: Runtime, make: Factory, live: Callable[[int], Heard]
) -> None:
    signups = [make.signup() for _ in range(3)]
    for signup in signups:
        make.confirm(signup)
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=6, succeeded=6)
    assert [facts["syncPhase"] for _, facts in live(6)] == ["initial"] * 3 + ["enriched"] * 3
    assert {make.job(signup, phase).status for signup in signups for phase in Phase} == {JobStatus.COMPLETED}


def test_live_events_hold_no_names_and_no_addresses(
    runtime: Runtime, make: Factory, live: Callable[[int], Heard]
) -> None:
    make.signup("canary@example.com", first_name="Canary", last_name="Canary")
    make.signup("canary+403@example.com", first_name="Canary", last_name="Canary")
    process_due(runtime, limit=100)

    assert "canary" not in str(live(2)).lower()
