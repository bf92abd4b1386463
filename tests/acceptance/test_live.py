"""What a page hears while the whole system works: a real worker and a real API tell it, over both transports."""

import json
from collections.abc import Iterator

import pytest

from cio_tasks.live import SYNC_FAILED, SYNCED
from cio_tasks.models import SyncJob
from cio_tasks.settings import Role
from cio_tasks.states import JobStatus
from tests.acceptance.conftest import System
from tests.eventually import eventually
from tests.factories import Factory
from tests.listening import Listener


@pytest.fixture
def scale() -> str:
    return "0.001"


@pytest.fixture
def listener(system: System) -> Iterator[Listener]:
    listener = Listener(system.stack.api_url).connect({"token": system.stack.tokens[Role.VIEWER]})
    system.warm_up(listener)
    yield listener
    listener.leave()


@pytest.mark.row("E4", "F1")
def test_a_synced_signup_is_told(system: System, listener: Listener) -> None:
    signup_id = system.submit("ada@example.com")
    [(event, payload)] = listener.news()
    [job] = Factory(system.sessions).all(SyncJob)
    assert event == SYNCED
    assert payload == {
        "signupId": signup_id,
        "jobId": str(job.id),
        "syncPhase": "initial",
        "operatorId": "op-1",
        "contactId": system.contact_of(signup_id),
        "mock": False,
        "at": payload["at"],
    }


@pytest.mark.row("E5")
@pytest.mark.parametrize(
    ("email", "error_type", "exhausted"),
    [("ada+403@example.com", "other", False), ("ada+500x6@example.com", "server_error", True)],
)
def test_a_failed_signup_is_told(
    email: str, error_type: str, exhausted: bool, system: System, listener: Listener
) -> None:
    signup_id = system.submit(email)
    [(event, payload)] = listener.news()
    [job] = Factory(system.sessions).all(SyncJob)
    assert event == SYNC_FAILED
    assert payload == {
        "signupId": signup_id,
        "jobId": str(job.id),
        "syncPhase": "initial",
        "operatorId": "op-1",
        "errorType": error_type,
        "exhaustedRetries": exhausted,
        "at": payload["at"],
    }


@pytest.mark.row("E4", "E1")
def test_what_the_api_delivers_itself_is_told_too(system: System, listener: Listener) -> None:
    worker, beat, _ = system.stack.own_processes
    worker.terminate()
    beat.terminate()
    signup_id = system.submit("ada@example.com")
    assert system.post("/signups/customerio/process", {}, Role.OPERATOR).json()["succeeded"] == 1
    assert [(event, payload["signupId"]) for event, payload in listener.news()] == [(SYNCED, signup_id)]


def test_nobody_is_named_to_a_viewer(system: System, listener: Listener) -> None:
    system.submit("canary-one@example.com")
    system.submit("canary-two+403@example.com")
    system.submit("canary-three+badattr@example.com")
    heard = json.dumps(listener.news(3)).lower()
    assert not [word for word in ("canary", "@", "ada", "lovelace") if word in heard]


def test_events_are_lost_while_redis_is_away_and_nothing_else(system: System, listener: Listener) -> None:
    system.broker.kill()
    system.submit("lost@example.com")
    assert system.post("/signups/customerio/process", {}, Role.OPERATOR).json()["succeeded"] == 1
    system.broker.start()
    rows = Factory(system.sessions)
    eventually(lambda: {job.status for job in rows.all(SyncJob)} == {JobStatus.COMPLETED})
    system.warm_up(listener)
    heard_id = system.submit("heard@example.com")
    eventually(lambda: heard_id in [payload["signupId"] for _, payload in listener.news()])
