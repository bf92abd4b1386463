from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from cio_tasks import enqueue_sync, gate
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.models import AuditEntry, Customer, DeadLetter, Gate, Signup, SyncAttempt, SyncJob
from cio_tasks.processor import Summary, process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

SECOND = timedelta(seconds=1)
Close = Callable[..., bool]


@pytest.fixture
def close(sessions: Sessions) -> Close:
    def close(reason: Reason = Reason.OUTAGE, seconds: float | None = 60, **options: Any) -> bool:
        wait = None if seconds is None else timedelta(seconds=seconds)
        with sessions.begin() as session:
            return gate.close(session, reason, wait=wait, note="for a test", **options)

    return close


@pytest.fixture
def time_comes(sessions: Sessions) -> Callable[[], None]:
    """Lets the time of every closed gate come."""

    def come() -> None:
        with sessions.begin() as session:
            over = Gate.closed_until - func.now() + SECOND
            session.execute(
                update(Gate)
                .where(Gate.closed_until.is_not(None))
                .values(closed_at=Gate.closed_at - over, closed_until=Gate.closed_until - over)
            )

    return come


def rows(sessions: Sessions) -> dict[str, Gate]:
    with sessions() as session:
        return {row.reason: row for row in session.scalars(select(Gate))}


def closed_for(sessions: Sessions, reason: Reason = Reason.OUTAGE) -> timedelta:
    """Return how long the gate was closed for when it was closed."""
    row = rows(sessions)[reason]
    assert row.closed_at is not None
    assert row.closed_until is not None
    return row.closed_until - row.closed_at


def reasons(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return [row.reason for row in gate.list_closed(session)]


def crowd(runtime: Runtime, count: int) -> list[Signup]:
    people = [Customer(email=f"crowd{number}@example.com", first_name="A", last_name="B") for number in range(count)]
    signups = [Signup(customer=person, operator_id="op-1") for person in people]
    with runtime.sessions.begin() as session:
        for signup in signups:
            enqueue_sync(session, signup, Phase.INITIAL)
    return signups


def with_settings(runtime: Runtime, **changes: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=changes))


def statuses(fake: FakeCustomerIO) -> list[int | None]:
    return [entry["answer"]["status"] for entry in fake.ledger.entries()]


# --- closed by a 429 --------------------------------------------------------------------------------------------------


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("retry_after", "scale", "expected"),
    [
        ("120", 1.0, 120),
        ("120", 0.1, 12),
        ("999999", 1.0, 900),
        ("0", 1.0, 1),
        ("-7", 1.0, 5),
        (None, 1.0, 5),
        ("soon", 0.5, 2.5),
    ],
)
def test_a_429_closes_the_gate_for_as_long_as_it_asks(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, *, retry_after: str | None, scale: float, expected: float
) -> None:
    fake.scenario = Scenario(retry_after=retry_after)
    make.signup("ada+429@example.com")
    process_due(with_settings(runtime, time_scale=scale), limit=10)

    assert reasons(runtime.sessions) == ["rate_limit"]
    assert closed_for(runtime.sessions, Reason.RATE_LIMIT) == timedelta(seconds=expected)


@pytest.mark.row("A3")
def test_nothing_is_claimed_or_spent_while_the_gate_is_closed(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, close: Close
) -> None:
    job = make.job(make.signup())
    close(Reason.RATE_LIMIT)

    assert (process_due(runtime, limit=10), sync_one(runtime, job.id)) == (Summary(), None)
    assert (fake.ledger.count(), make.attempts(job)) == (0, [])
    assert make.job(make.signup()).claim_token == make.all(SyncJob)[0].claim_token == 0


def test_what_was_claimed_before_the_429_is_given_back_unspent(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429)
    for _ in range(4):
        make.set(make.job(make.signup()).id, attempt_count=3)
    summary = process_due(runtime, limit=10)

    assert summary == Summary(processed=4, retrying=1, deferred=3)
    assert (statuses(fake), len(make.all(SyncAttempt))) == ([429], 1)
    assert sorted(job.attempt_count for job in make.all(SyncJob)) == [3, 3, 3, 4]


# --- closed by an outage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outage", ["503", "reset"])
@pytest.mark.parametrize(("jobs", "closed"), [(19, []), (20, ["outage"])])
def test_twenty_failing_attempts_close_the_gate(
    runtime: Runtime, fake: FakeCustomerIO, outage: Any, jobs: int, closed: list[str]
) -> None:
    fake.scenario = Scenario(outage=outage)
    crowd(runtime, jobs)
    process_due(runtime, limit=100)

    assert reasons(runtime.sessions) == closed


@pytest.mark.parametrize(("well", "ill", "closed"), [(11, 10, []), (10, 10, ["outage"])])
def test_half_of_the_attempts_must_have_failed(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, *, well: int, ill: int, closed: list[str]
) -> None:
    crowd(runtime, well)
    process_due(runtime, limit=100)
    fake.scenario = Scenario(outage="reset")
    for _ in range(ill):
        make.signup()
    process_due(runtime, limit=100)

    assert reasons(runtime.sessions) == closed


def test_attempts_of_half_a_minute_ago_do_not_count(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503")
    crowd(runtime, 19)
    process_due(runtime, limit=100)
    with runtime.sessions.begin() as session:
        session.execute(update(SyncAttempt).values(finished_at=func.now() - 31 * SECOND))
    make.signup()
    process_due(runtime, limit=100)

    assert reasons(runtime.sessions) == []


def test_an_outage_closes_for_a_quarter_of_a_minute(runtime: Runtime, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503")
    crowd(runtime, 20)
    process_due(runtime, limit=100)

    assert closed_for(runtime.sessions) == 15 * SECOND


def test_a_long_outage_spends_one_retry_and_buries_nobody(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    fake.scenario = Scenario(outage="503")
    crowd(runtime, 25)
    for _ in range(12):
        process_due(runtime, limit=100)
        time_comes()
        for job in make.all(SyncJob):
            make.make_due(job.id)
    fake.scenario = Scenario()
    process_due(runtime, limit=100)

    assert {(job.status, job.attempt_count) for job in make.all(SyncJob)} == {("completed", 1)}
    assert make.all(DeadLetter) == []


# --- closed by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_an_operator_closes_and_opens_the_gate(
    runtime: Runtime, make: Factory, close: Close, seconds: float | None
) -> None:
    make.signup()
    opened = close(Reason.OPERATOR, seconds, actor="ops")
    idle = process_due(runtime, limit=10)
    with runtime.sessions.begin() as session:
        reopened = gate.open_up(session, actor="ops")

    assert (opened, idle, reopened) == (True, Summary(), [Reason.OPERATOR])
    assert process_due(runtime, limit=10).succeeded == 1


def test_an_operators_closing_ends_by_itself_and_without_a_probe(
    runtime: Runtime, make: Factory, close: Close, time_comes: Callable[[], None]
) -> None:
    make.signup()
    close(Reason.OPERATOR)
    time_comes()

    assert reasons(runtime.sessions) == []
    assert process_due(runtime, limit=10).succeeded == 1
    assert rows(runtime.sessions)["operator"].probing_until is None


def test_an_operators_closing_without_an_end_is_never_probed(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, close: Close, time_comes: Callable[[], None]
) -> None:
    make.signup()
    close(Reason.OUTAGE)
    close(Reason.OPERATOR, None)
    time_comes()
    process_due(runtime, limit=10)

    assert (fake.ledger.count(), reasons(runtime.sessions)) == (0, ["outage", "operator"])


def test_a_closing_after_one_that_ran_out_is_a_new_one(
    sessions: Sessions, make: Factory, close: Close, time_comes: Callable[[], None]
) -> None:
    close(Reason.OPERATOR, 60)
    time_comes()

    assert close(Reason.OPERATOR, 60) is True
    assert closed_for(sessions, Reason.OPERATOR) == 60 * SECOND
    assert len(make.all(AuditEntry, action="gate_closed")) == 2


@pytest.mark.parametrize(
    ("reason", "first", "second", "expected"),
    [
        (Reason.RATE_LIMIT, 60, 10, 60),
        (Reason.RATE_LIMIT, 10, 60, 60),
        (Reason.OPERATOR, None, 10, None),
        (Reason.OPERATOR, 10, None, None),
    ],
)
def test_a_closing_never_shortens_one_that_stands(
    sessions: Sessions,
    close: Close,
    *,
    reason: Reason,
    first: float | None,
    second: float | None,
    expected: float | None,
) -> None:
    close(reason, first)
    first_row = rows(sessions)[reason]
    close(reason, second)
    row = rows(sessions)[reason]
    left = None if row.closed_until is None else round((row.closed_until - func_now(sessions)).total_seconds())

    assert (row.closed_at, left) == (first_row.closed_at, expected)


def func_now(sessions: Sessions) -> Any:
    with sessions() as session:
        return session.scalar(select(func.now()))


def test_reasons_close_and_open_each_for_itself(sessions: Sessions, close: Close) -> None:
    close(Reason.RATE_LIMIT)
    close(Reason.AUTH)
    with sessions.begin() as session:
        gate.open_up(session, [Reason.RATE_LIMIT])

    assert reasons(sessions) == ["auth"]


def test_the_audit_tells_who_closed_and_opened_and_why(sessions: Sessions, make: Factory, close: Close) -> None:
    close(Reason.OPERATOR, 60, actor="ops")
    close(Reason.OPERATOR, 30, actor="ops")
    with sessions.begin() as session:
        gate.open_up(session, actor="root")
    closed, opened = (make.all(AuditEntry, action=f"gate_{done}") for done in ("closed", "opened"))

    assert [(entry.actor, entry.details) for entry in closed] == [
        ("ops", {"reason": "operator", "seconds": 60.0, "note": "for a test"})
    ]
    assert [(entry.actor, entry.details) for entry in opened] == [("root", {"reason": "operator"})]


def test_opening_an_open_gate_changes_nothing(sessions: Sessions, make: Factory) -> None:
    with sessions.begin() as session:
        assert gate.open_up(session) == []
    assert make.all(AuditEntry) == []


def test_the_gate_and_its_time_are_those_of_the_database(runtime: Runtime, make: Factory, close: Close) -> None:
    """A closing holds for whoever looks, since one row decides for all processes."""
    make.signup()
    close(Reason.OUTAGE)
    other = replace(runtime, worker="another")

    assert process_due(other, limit=10) == Summary()
    assert make.all(SyncJob)[0].status == JobStatus.PENDING
