"""What the client's answers come to in the whole: stored on jobs and attempts, shown to listeners, told in the log."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from cio_tasks import events
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import list_closed
from cio_tasks.models import AuditEntry, Gate
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus
from tests.factories import Factory

START = """
from celery import signals
from cio_tasks import celery_app
signals.setup_logging.send(None, loglevel=20, logfile=None, format="", colorize=False)
"""
"""What a worker and beat do first. It needs a process of its own, whose log is then for good what we made of it."""

Fact = tuple[str, dict[str, Any]]


@pytest.fixture
def told() -> Iterator[list[Fact]]:
    """Every fact told during the test."""
    facts: list[Fact] = []

    def note(name: str, parts: dict[str, Any]) -> None:
        facts.append((name, parts))

    events.listen(note)
    yield facts
    events.unlisten(note)


@pytest.fixture
def mocked(runtime: Runtime, database_url: str, fake: FakeCustomerIO) -> Runtime:
    """The runtime of a service without credentials, which could reach the stand-in if it tried."""
    settings = Settings.from_env({"DATABASE_URL": database_url, "CUSTOMERIO_TRACK_URL": fake.url})
    return Runtime(settings, runtime.sessions, CustomerIO.from_settings(settings), "mocked")


def pass_time_at_gate(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(Gate).values(closed_until=func.now() - timedelta(seconds=1)))


def closed_gates(sessions: Sessions) -> list[Gate]:
    with sessions() as session:
        return list_closed(session)


def wait_of(gate: Gate) -> timedelta | None:
    """Return for how long the gate was closed."""
    return gate.closed_until - gate.closed_at if gate.closed_until and gate.closed_at else None


# --- mock mode --------------------------------------------------------------------------------------------------------


@pytest.mark.row("A1")
def test_mocked_success_is_marked_wherever_it_is_stored_or_told(
    mocked: Runtime, make: Factory, fake: FakeCustomerIO, told: list[Fact]
) -> None:
    signup = make.signup()
    summary = process_due(mocked, limit=10)
    job = make.job(signup)
    (attempt,), (audit,) = make.attempts(job), make.all(AuditEntry, action="customerio_synced")

    assert (summary.succeeded, job.status, fake.ledger.count()) == (1, JobStatus.COMPLETED, 0)
    assert (job.mock, attempt.mock, audit.details["mock"]) == (True, True, True)
    assert [facts["mock"] for name, facts in told if name == "sync.completed"] == [True]


@pytest.mark.row("A1")
def test_real_success_is_marked_as_none(runtime: Runtime, make: Factory, told: list[Fact]) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    job = make.job(signup)
    (attempt,), (audit,) = make.attempts(job), make.all(AuditEntry, action="customerio_synced")

    assert (job.mock, attempt.mock, audit.details["mock"]) == (False, False, False)
    assert [facts["mock"] for name, facts in told if name == "sync.completed"] == [False]


@pytest.mark.row("A2")
@pytest.mark.parametrize("credentials", [{}, {"CUSTOMERIO_SITE_ID": "site", "CUSTOMERIO_API_KEY": "key"}])
def test_worker_warns_at_its_start_when_credentials_are_missing(credentials: dict[str, str]) -> None:
    environment = {"REDIS_URL": "redis://127.0.0.1:1/0", **credentials}
    started = subprocess.run([sys.executable, "-c", START], env=environment, check=True, capture_output=True, text=True)
    warnings = [line["event"] for line in map(json.loads, started.stderr.splitlines()) if line["level"] == "warning"]

    assert warnings == ([] if credentials else ["mock_mode"])


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("A3", "A4", "A5", "A6", "A7")
@pytest.mark.parametrize(
    ("persona", "error_type", "status"),
    [
        ("429", "rate_limit", JobStatus.PENDING),
        ("503", "server_error", JobStatus.PENDING),
        ("408", "network", JobStatus.PENDING),
        ("reset", "network", JobStatus.PENDING),
        ("403", "other", JobStatus.FAILED),
        ("badattr", "other", JobStatus.FAILED),
    ],
)
def test_type_of_a_failure_is_stored_on_job_and_attempt(
    runtime: Runtime, make: Factory, persona: str, error_type: str, status: JobStatus
) -> None:
    signup = make.signup(f"ada+{persona}@example.com")
    process_due(runtime, limit=10)
    job = make.job(signup)
    (attempt,) = make.attempts(job)

    assert (job.status, job.error_type, attempt.error_type) == (status, error_type, error_type)
    assert (job.error_code, job.http_status) == (attempt.error_code, attempt.http_status)


@pytest.mark.row("A3")
def test_429_stops_all_workers_and_costs_those_who_wait_nothing(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(retry_after="600")
    first = make.signup("ada+429@example.com")
    process_due(runtime, limit=10)
    second = make.job(make.signup("bob@example.com"))
    waiting = [process_due(runtime, limit=10).processed for _ in range(3)]

    assert (make.job(first).attempt_count, waiting, fake.ledger.count()) == (1, [0, 0, 0], 1)
    assert make.attempts(second) == []
    (gate,) = closed_gates(runtime.sessions)
    assert (gate.reason, wait_of(gate)) == ("rate_limit", timedelta(minutes=10))


@pytest.mark.row("A5")
def test_third_401_in_a_row_closes_the_gate_until_credentials_work_and_then_all_is_delivered(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.rotate(site_id="new", api_key="newer")
    signups = []
    for _ in range(4):
        signups.append(make.signup())
        process_due(runtime, limit=10)
    statuses = [make.job(signup).status for signup in signups]
    fake.reset()
    pass_time_at_gate(runtime.sessions)
    process_due(runtime, limit=10)

    assert statuses == [JobStatus.FAILED] * 3 + [JobStatus.PENDING]
    assert [make.job(signup).status for signup in signups] == [JobStatus.COMPLETED] * 4
    assert (fake.people.count(), closed_gates(runtime.sessions)) == (4, [])
