from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from cio_tasks import events, gate
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.models import Gate, SyncAttempt, SyncJob
from cio_tasks.processor import Summary, probe, process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.eventually import eventually
from tests.factories import Factory

SECOND = timedelta(seconds=1)
REGION = "/api/v1/accounts/region"


@pytest.fixture
def time_comes(sessions: Sessions) -> Callable[[], None]:
    """Lets the time of every closed gate come."""

    def come() -> None:
        with sessions.begin() as session:
            session.execute(update(Gate).where(Gate.closed_until.is_not(None)).values(closed_until=func.now() - SECOND))

    return come


@pytest.fixture
def due_gate(sessions: Sessions, time_comes: Callable[[], None]) -> None:
    """A gate that an outage closed and whose time has come."""
    with sessions.begin() as session:
        gate.close(session, Reason.OUTAGE, wait=SECOND, note="for a test")
    time_comes()


def row(sessions: Sessions, reason: Reason = Reason.OUTAGE) -> Gate:
    with sessions() as session:
        return session.scalars(select(Gate).where(Gate.reason == reason)).one()


def closed_for(sessions: Sessions, reason: Reason = Reason.OUTAGE) -> int:
    """Return for how many seconds from now the gate is still closed."""
    with sessions() as session:
        left = session.scalar(
            select(func.extract("epoch", Gate.closed_until - func.now())).where(Gate.reason == reason)
        )
    assert left is not None
    return round(left)


def paths(fake: FakeCustomerIO) -> list[tuple[str, int]]:
    """Return what was asked, and how many operations each request carried."""
    return [(entry["path"], len(entry["operations"])) for entry in fake.ledger.entries()]


def fail_as_probes(runtime: Runtime, make: Factory, count: int, *, ago: timedelta = SECOND) -> None:
    """Let so many other jobs have failed as probes."""
    for _ in range(count):
        job = make.job(make.signup())
        make.set(job.id, status=JobStatus.COMPLETED)
        with runtime.sessions.begin() as session:
            facts = {"outcome": "released", "error_code": "probe_failed", "started_at": func.now()}
            session.add(SyncAttempt(job_id=job.id, claim_token=1, retry=0, finished_at=func.now() - ago, **facts))


@pytest.mark.usefixtures("due_gate")
def test_exactly_one_job_probes(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503")
    for _ in range(5):
        make.signup()
    process_due(runtime, limit=100)

    assert paths(fake) == [("/api/v2/batch", 2), (REGION, 0)]
    assert sorted(job.claim_token for job in make.all(SyncJob)) == [0, 0, 0, 0, 1]


@pytest.mark.usefixtures("due_gate")
def test_a_good_probe_opens_the_gate_and_the_rest_follows(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    for _ in range(5):
        make.signup()
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=5, succeeded=5)
    assert [count // 2 for _, count in paths(fake)] == [1, 4]
    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
@pytest.mark.parametrize("outage", ["503", "reset"])
def test_a_bad_probe_spends_nothing(runtime: Runtime, make: Factory, fake: FakeCustomerIO, outage: Any) -> None:
    fake.scenario = Scenario(outage=outage)
    signup = make.signup()
    make.set(make.job(signup).id, attempt_count=5)
    summary = process_due(runtime, limit=100)
    job = make.job(signup)
    (attempt,) = make.attempts(job)

    assert summary == Summary(processed=1, deferred=1)
    assert (job.status, job.attempt_count) == (JobStatus.PENDING, 5)
    assert (attempt.outcome, attempt.error_code, attempt.batch_size) == ("released", "probe_failed", 1)


def test_every_bad_probe_doubles_the_closing_up_to_five_minutes(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, due_gate: None, time_comes: Callable[[], None]
) -> None:
    fake.scenario = Scenario(outage="503")
    for _ in range(9):
        make.signup()
    waits = []
    for _ in range(7):
        process_due(runtime, limit=100)
        waits.append(closed_for(runtime.sessions))
        time_comes()

    assert waits == [30, 60, 120, 240, 300, 300, 300]


def test_a_good_probe_forgets_how_often_it_failed(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, due_gate: None, time_comes: Callable[[], None]
) -> None:
    fake.scenario = Scenario(outage="503")
    make.signup()
    process_due(runtime, limit=100)
    fake.scenario = Scenario()
    time_comes()
    process_due(runtime, limit=100)

    assert (row(runtime.sessions).failed_probes, row(runtime.sessions).closed_at) == (0, None)


def test_another_job_probes_the_next_time(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, due_gate: None, time_comes: Callable[[], None]
) -> None:
    """A job that breaks the server by itself must not keep the gate closed for all."""
    fail_as_probes(runtime, make, 3)
    bad = make.signup("bad+500x99@example.com")
    good = make.signup()
    first = process_due(runtime, limit=100)
    time_comes()
    second = process_due(runtime, limit=100)

    assert (first, make.job(bad).attempt_count) == (Summary(processed=1, deferred=1), 0)
    assert (second.succeeded, make.job(good).status) == (1, JobStatus.COMPLETED)
    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
@pytest.mark.parametrize("fault", ["500", "reset"])
def test_a_job_that_fails_for_reasons_of_its_own_keeps_nobody_waiting(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, fault: str
) -> None:
    bad = make.signup(f"bad+{fault}x99@example.com")
    good = make.signup()
    summary = process_due(runtime, limit=100)
    (attempt,) = make.attempts(make.job(bad))

    assert summary == Summary(processed=2, succeeded=1, deferred=1)
    assert (make.job(bad).attempt_count, make.job(good).status) == (0, JobStatus.COMPLETED)
    assert (attempt.outcome, attempt.error_code) == ("released", "probe_failed")
    assert paths(fake) == [("/api/v2/batch", 2), (REGION, 0), ("/api/v2/batch", 2)]
    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
@pytest.mark.parametrize(("failed", "opens"), [(1, True), (2, False)])
def test_one_failing_job_after_the_other_outweighs_what_the_region_says(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, failed: int, *, opens: bool
) -> None:
    """Only the route for deliveries is out of order: opening for the region's sake would spend everybody's retries."""
    fail_as_probes(runtime, make, failed)
    make.signup("bad+500x99@example.com")
    process_due(runtime, limit=1)

    assert (row(runtime.sessions).closed_at is None) is opens
    assert ((REGION, 0) in paths(fake)) is opens


@pytest.mark.usefixtures("due_gate")
def test_a_failed_probe_does_not_close_the_gate_that_the_region_opens(runtime: Runtime, make: Factory) -> None:
    """The attempts of the outage before are still fresh enough to call the probe's failure one."""
    for number in range(20):
        job = make.job(make.signup())
        make.set(job.id, status=JobStatus.COMPLETED)
        with runtime.sessions.begin() as session:
            facts = {"outcome": "retry_later", "error_type": "server_error", "started_at": func.now()}
            session.add(SyncAttempt(job_id=job.id, claim_token=number, retry=0, **facts))
    make.signup("bad+500x99@example.com")
    process_due(runtime, limit=1)

    assert row(runtime.sessions).closed_at is None


def test_a_gate_closed_anew_during_a_good_probe_can_be_probed_as_soon_as_its_time_comes(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, due_gate: None, time_comes: Callable[[], None]
) -> None:
    make.signup()
    fake.scenario = Scenario(latency_seconds=0.3)
    with ThreadPoolExecutor(1) as pool:
        probing = pool.submit(process_due, runtime, limit=1)
        eventually(fake.ledger.count, every=0.005)
        with runtime.sessions.begin() as session:
            gate.close(session, Reason.OUTAGE, wait=600 * SECOND, note="for a test")
        probing.result()
    time_comes()
    probe(runtime)

    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
def test_what_failed_as_a_probe_long_ago_counts_no_more(runtime: Runtime, make: Factory) -> None:
    fail_as_probes(runtime, make, 5, ago=timedelta(minutes=31))
    make.signup("bad+500x99@example.com")
    process_due(runtime, limit=1)

    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
def test_a_job_that_is_refused_shows_that_customerio_works(runtime: Runtime, make: Factory) -> None:
    make.signup("ada+403@example.com")
    process_due(runtime, limit=100)

    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
def test_without_a_due_job_the_region_is_the_probe(runtime: Runtime, fake: FakeCustomerIO) -> None:
    summary = process_due(runtime, limit=100)

    assert (summary, paths(fake)) == (Summary(), [(REGION, 0)])
    assert row(runtime.sessions).closed_at is None


@pytest.mark.usefixtures("due_gate")
def test_a_job_that_cannot_be_sent_is_no_probe(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    """Nobody asked Customer.io, so nothing is known about it."""
    fake.scenario = Scenario(outage="503")
    make.signup(first_name="x" * 1001)
    process_due(runtime, limit=100)

    assert row(runtime.sessions).closed_at is not None


@pytest.mark.usefixtures("due_gate")
def test_a_worker_that_stops_does_not_lengthen_the_closing(runtime: Runtime, make: Factory) -> None:
    make.signup()
    runtime.stopping.set()
    process_due(runtime, limit=100)

    assert (row(runtime.sessions).failed_probes, closed_for(runtime.sessions) <= 0) == (0, True)


def test_nobody_probes_before_the_time_has_come(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    make.signup()
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.OUTAGE, wait=60 * SECOND, note="")

    assert (probe(runtime), fake.ledger.count()) == ([], 0)


@pytest.mark.usefixtures("due_gate")
def test_nobody_probes_while_another_reason_is_not_due(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    make.signup()
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.RATE_LIMIT, wait=60 * SECOND, note="")

    assert (probe(runtime), fake.ledger.count()) == ([], 0)


@pytest.mark.usefixtures("due_gate")
def test_one_probe_serves_all_reasons_that_are_due(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    make.signup()
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.RATE_LIMIT, wait=SECOND, note="")
    time_comes()
    process_due(runtime, limit=100)

    assert (fake.ledger.count(), row(runtime.sessions, Reason.RATE_LIMIT).closed_at) == (1, None)


@pytest.mark.usefixtures("due_gate")
def test_the_right_to_probe_belongs_to_one_and_lapses(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first = gate.begin_probe(session)
    with sessions.begin() as session:
        second = gate.begin_probe(session)
        session.execute(update(Gate).values(probing_until=func.now() - SECOND))
        third = gate.begin_probe(session)

    assert (first, second, third) == ([Reason.OUTAGE], [], [Reason.OUTAGE])


@pytest.mark.usefixtures("due_gate")
@pytest.mark.parametrize(("scale", "seconds"), [(1.0, 30), (0.5, 15), (0.001, 3)])
def test_the_right_to_probe_is_scaled_and_never_shorter_than_three_seconds(
    sessions: Sessions, scale: float, seconds: int
) -> None:
    with sessions.begin() as session:
        gate.begin_probe(session, scale=scale)
        left = session.scalar(select(func.extract("epoch", Gate.probing_until - func.now())))

    assert left == seconds


@pytest.mark.row("A3")
def test_a_probe_that_meets_a_429_waits_as_long_as_that_asks(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, due_gate: None
) -> None:
    fake.scenario = Scenario(retry_after="200")
    make.signup("ada+429x9@example.com")
    process_due(runtime, limit=100)

    assert closed_for(runtime.sessions, Reason.RATE_LIMIT) == 200
    assert paths(fake) == [("/api/v2/batch", 2)]
    assert [attempt.outcome for attempt in make.all(SyncAttempt)] == ["released"]
    assert (probe(runtime), fake.ledger.count()) == ([], 1)


def test_listeners_hear_what_becomes_of_the_gate(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        if name.startswith("gate."):
            heard.append((name, facts))

    fake.scenario = Scenario(retry_after="30")
    make.signup("ada+429x2@example.com")
    events.listen(listener)
    for _ in range(3):
        process_due(runtime, limit=100)
        time_comes()
        make.make_due(make.all(SyncJob)[0].id)
    events.unlisten(listener)

    assert [(name, facts.get("seconds")) for name, facts in heard] == [
        ("gate.closed", 30),
        ("gate.probe_failed", 30),
        ("gate.opened", None),
    ]
