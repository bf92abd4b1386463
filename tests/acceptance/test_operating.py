"""What the people who run it see: alerts, heartbeats and metrics of real worker, beat and API processes."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select, text, update

from cio_tasks import counters, heartbeats
from cio_tasks.cli.stack import local_stack
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.models import Alert, Customer, DeadLetter, Heartbeat, Signup, SyncAttempt, SyncJob
from cio_tasks.settings import Role
from cio_tasks.states import JobStatus, Phase
from tests.acceptance.conftest import System
from tests.conftest import TEMPLATE, Server, copied_database
from tests.eventually import eventually
from tests.factories import Factory
from tests.integration.receiver import Receiver

WORKER, BEAT, API = range(3)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def system(
    postgres: Server, broker: EmbeddedValkey, state_dir: Path, scale: str, receiver: Receiver
) -> Iterator[System]:
    """The whole system, which tells the receiver from two dead letters on."""
    with copied_database(postgres.url, TEMPLATE) as url:
        own = {"DATABASE_URL": url, "REDIS_URL": broker.url, "CIO_TIME_SCALE": scale, "CIO_RELEASE": "2026-02-01"}
        own |= {"CIO_ALERT_URL": receiver.url, "CIO_ALERT_THRESHOLD": "2", "CUSTOMERIO_WEBHOOK_SECRET": "s" * 32}
        with local_stack(state_dir / "system", own, fresh=False, tell=lambda *_: None) as stack:
            engine = make_engine(url)
            yield System(stack, make_sessions(engine), broker)
            engine.dispose()


def read(system: System, reader: Callable[..., Any]) -> Any:
    with system.sessions() as session:
        return reader(session)


def change(sessions: Sessions, *statements: Any) -> None:
    with sessions.begin() as session:
        for statement in statements:
            session.execute(statement)


def workers(system: System) -> list[str]:
    return [row.process for row in read(system, heartbeats.list_alive)]


def wait_for_a_look(system: System) -> None:
    """Wait until all that is watched was looked at once more."""
    before = read(system, lambda session: session.scalar(select(func.max(Alert.checked_at))))
    eventually(lambda: read(system, lambda session: session.scalar(select(func.min(Alert.checked_at)))) > before)


def show_metrics(system: System) -> dict[tuple[str, ...], float]:
    headers = {"Authorization": f"Bearer {system.stack.tokens[Role.VIEWER]}"}
    shown = requests.get(f"{system.stack.api_url}/metrics", headers=headers, timeout=10)
    families = text_string_to_metric_families(shown.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


@pytest.mark.row("I1")
def test_a_breach_is_posted_once_and_its_recovery_once_by_any_number_of_beats(
    system: System, receiver: Receiver
) -> None:
    beat = system.stack.own_processes[BEAT]
    system.stack.supervisor.start("beat2", beat.argv, env=beat._env, cwd=beat._cwd)
    for number in range(2):
        system.submit(f"ada{number}+400@example.com")
    eventually(lambda: receiver.states("dead_letters") == ["breached"])
    change(system.sessions, update(DeadLetter).values(resolved_at=func.now(), resolution="manual_retry"))
    eventually(lambda: receiver.states("dead_letters") == ["breached", "recovered"])
    for _ in range(3):
        wait_for_a_look(system)
    assert receiver.states("dead_letters") == ["breached", "recovered"]
    log = (system.stack.logs / "worker.log").read_text()
    assert log.count('"state": "breached"') == len([body for body in receiver.taken if body["state"] == "breached"])
    assert "SECRETCANARY" not in log


def test_a_worker_is_seen_alive_and_one_that_was_killed_is_seen_dead(system: System) -> None:
    worker = system.stack.own_processes[WORKER]
    [name] = eventually(lambda: workers(system))
    [row] = read(system, heartbeats.list_alive)
    assert (row.version, row.release) == ("0.1.0", "2026-02-01")
    long_ago = update(Heartbeat).values(seen_at=func.now() - heartbeats.SILENT_AFTER)
    change(system.sessions, long_ago)
    assert eventually(lambda: workers(system)) == [name]
    worker.kill()
    change(system.sessions, long_ago)
    assert workers(system) == []
    assert [row.process for row in read(system, heartbeats.list_silent)] == [name]
    worker.restart()
    assert eventually(lambda: workers(system)) != [name]


def test_a_worker_that_is_stopped_takes_its_heartbeat_back(system: System) -> None:
    eventually(lambda: workers(system))
    system.stack.own_processes[WORKER].terminate()
    assert read(system, heartbeats.list_alive) == read(system, heartbeats.list_silent) == []


def test_the_ticks_of_beat_are_recorded_and_end_with_it(system: System) -> None:
    first = eventually(lambda: read(system, heartbeats.last_tick))
    eventually(lambda: read(system, heartbeats.last_tick) > first)
    system.stack.own_processes[BEAT].terminate()
    change(system.sessions, update(Heartbeat).values(seen_at=func.now() - timedelta(minutes=1)))
    assert read(system, heartbeats.since_last_tick) >= timedelta(minutes=1)


def test_due_jobs_start_without_beat_and_without_a_message(system: System) -> None:
    """The workers notice that beat is silent, and ring for the sweep themselves."""
    eventually(lambda: read(system, heartbeats.last_tick))
    system.stack.own_processes[BEAT].terminate()
    change(system.sessions, update(Heartbeat).values(seen_at=func.now() - timedelta(minutes=1)))
    with system.sessions.begin() as session:
        customer = Customer(email="ada@example.com", first_name="Ada", last_name="Lovelace")
        enqueue_sync(session, Signup(customer=customer, operator_id="op-1"), Phase.INITIAL)
    rows = Factory(system.sessions)
    eventually(lambda: rows.all(SyncJob, status=JobStatus.COMPLETED), seconds=30)


@pytest.mark.row("D3", "D4", "I4")
def test_beat_has_stuck_jobs_taken_back(system: System) -> None:
    system.submit("ada@example.com")
    rows = Factory(system.sessions)
    eventually(lambda: rows.all(SyncJob, status=JobStatus.COMPLETED))
    stuck = "status = 'processing', completed_at = NULL, claimed_by = 'the dead one', claim_token = 7"
    hour = "updated_at = now() - interval '1 hour'"
    change(system.sessions, text(f"UPDATE signup_customerio_sync_jobs SET {stuck}, {hour}"))
    eventually(lambda: rows.all(SyncJob, status=JobStatus.COMPLETED))
    assert [attempt.outcome for attempt in rows.all(SyncAttempt)] == ["delivered", "worker_lost", "delivered"]


def test_the_metrics_of_the_api_tell_what_the_worker_did(system: System) -> None:
    for number in range(3):
        system.submit(f"ada{number}@example.com")
    delivered = ("ciosync_attempts_total", "none", "delivered")
    shown = eventually(lambda: show_metrics(system), lambda shown: shown[delivered] == 3, seconds=30, every=0.5)
    assert shown["ciosync_jobs", "initial", "completed"] == shown["ciosync_delivery_latency_seconds_count",] == 3
    assert (shown["ciosync_workers", "alive"], shown["ciosync_beat_tick_age_seconds",] < 10) == (1, True)


def test_an_api_that_is_stopped_adds_its_last_counts(system: System) -> None:
    forged = {"X-CIO-Timestamp": "1", "X-CIO-Signature": "0" * 64}
    for _ in range(5):
        requests.post(f"{system.stack.api_url}/api/v1/webhooks/customerio", json={}, headers=forged, timeout=10)
    system.stack.own_processes[API].terminate()
    assert read(system, counters.read)["webhooks", "refused_signature"] == 5
