from datetime import timedelta

import pytest
from sqlalchemy import func
from sqlalchemy.orm import Session

from cio_tasks import gate, transitions
from cio_tasks.gate import Reason
from cio_tasks.maintenance import reset_stuck
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import GateState, Stats, StatusCounts, read_stats
from tests.factories import Factory
from tests.integration.buried import bury

FIVE_MINUTES = timedelta(minutes=5)
SECOND = timedelta(seconds=1)


def stats(session: Session, stuck_after: timedelta = FIVE_MINUTES) -> Stats:
    session.rollback()
    return read_stats(session, stuck_after=stuck_after)


def test_nothing_is_counted_where_nothing_is(session: Session) -> None:
    assert stats(session) == Stats(
        pending=0,
        processing=0,
        completed=0,
        failed=0,
        stuck=0,
        dead_letters=0,
        oldest_due_seconds=None,
        by_phase={Phase.INITIAL: StatusCounts(), Phase.ENRICHED: StatusCounts()},
        gate=GateState(open=True, reasons=()),
    )


@pytest.mark.row("D1", "D2")
def test_jobs_are_counted_by_status_and_by_phase(session: Session, make: Factory) -> None:
    wanted = {"pending": 1, "processing": 2, "completed": 3, "failed": 4}
    for status, count in wanted.items():
        for _ in range(count):
            make.set(make.job(make.signup()).id, status=status)
    for status in ("completed", "failed", "failed"):
        make.set(make.confirm(make.signup()).id, status=status)
    found = stats(session)

    assert found.by_phase[Phase.INITIAL] == StatusCounts(pending=4, processing=2, completed=3, failed=4)
    assert found.by_phase[Phase.ENRICHED] == StatusCounts(completed=1, failed=2)
    assert (found.pending, found.processing, found.completed, found.failed) == (4, 2, 4, 6)


@pytest.mark.row("D1", "D2")
def test_counts_follow_a_job_to_its_end(runtime: Runtime, session: Session, make: Factory) -> None:
    make.signup("ada+403@example.com")
    make.signup("ada@example.com")
    before = stats(session)
    process_due(runtime, limit=10)
    after = stats(session)

    assert (before.pending, before.completed, before.failed, before.dead_letters) == (2, 0, 0, 0)
    assert (after.pending, after.completed, after.failed, after.dead_letters) == (0, 1, 1, 1)


@pytest.mark.row("D3")
@pytest.mark.parametrize(("seconds", "stuck"), [(299, 0), (301, 1)])
def test_a_job_counts_as_stuck_after_five_minutes(session: Session, make: Factory, seconds: int, stuck: int) -> None:
    job, other = make.job(make.signup()), make.job(make.signup())
    make.set(job.id, status="processing", updated_at=func.now() - seconds * SECOND)
    make.set(other.id, updated_at=func.now() - seconds * SECOND)

    assert stats(session).stuck == stuck
    assert stats(session, 2 * FIVE_MINUTES).stuck == 0


@pytest.mark.row("D3", "D4", "D5")
def test_the_cleanup_takes_back_as_many_as_are_counted_stuck(runtime: Runtime, session: Session, make: Factory) -> None:
    for _ in range(3):
        make.set(make.job(make.signup()).id, status="processing", updated_at=func.now() - 2 * FIVE_MINUTES)
    found = stats(session)

    assert (found.processing, found.stuck) == (3, reset_stuck(runtime))
    assert (stats(session).pending, stats(session).stuck) == (3, 0)


def test_only_dead_letters_that_are_open_count(session: Session, make: Factory) -> None:
    signups = [make.signup() for _ in range(2)]
    for signup in signups:
        bury(make, signup)
    before = stats(session)
    with make.sessions.begin() as other:
        transitions.retry_manually(other, signups[0].id, phase=None, actor="ops")

    assert (before.dead_letters, stats(session).dead_letters) == (2, 1)


def test_the_longest_wait_is_that_of_the_first_due_job(session: Session, make: Factory) -> None:
    first, second, waiting = (make.job(make.signup()) for _ in range(3))
    make.set(first.id, created_at=func.now() - 90 * SECOND)
    make.set(second.id, next_retry_at=func.now() - 30 * SECOND, attempt_count=1)
    make.set(waiting.id, next_retry_at=func.now() + 600 * SECOND, attempt_count=1)

    assert stats(session).oldest_due_seconds == pytest.approx(90, abs=5)
    make.set(first.id, status=JobStatus.COMPLETED)
    assert stats(session).oldest_due_seconds == pytest.approx(30, abs=5)


def test_nothing_is_due_while_every_job_waits_for_its_time(session: Session, make: Factory) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() + 600 * SECOND, attempt_count=1)

    assert (stats(session).pending, stats(session).oldest_due_seconds) == (1, None)


def test_an_enriched_job_that_waits_for_its_initial_one_is_not_due(session: Session, make: Factory) -> None:
    signup = make.signup()
    initial, enriched = make.job(signup), make.confirm(signup)
    make.set(enriched.id, created_at=func.now() - 90 * SECOND)
    make.set(initial.id, next_retry_at=func.now() + 600 * SECOND, attempt_count=1)

    assert stats(session).oldest_due_seconds is None
    make.set(initial.id, status=JobStatus.FAILED)
    assert stats(session).oldest_due_seconds == pytest.approx(90, abs=5)


def test_a_closed_gate_says_why_since_when_and_for_how_long(session: Session, make: Factory) -> None:
    with make.sessions.begin() as other:
        gate.close(other, Reason.OUTAGE, wait=60 * SECOND, note="all 503")
        gate.close(other, Reason.OPERATOR, wait=None, note="maintenance", actor="ops")
    state = stats(session).gate
    closings = {closing.reason: closing for closing in state.reasons}
    outage, operator = closings[Reason.OUTAGE], closings[Reason.OPERATOR]

    assert not state.open
    assert (outage.note, outage.actor, operator.note, operator.actor) == ("all 503", "system", "maintenance", "ops")
    assert outage.closed_until is not None
    assert outage.closed_until - outage.closed_at == 60 * SECOND
    assert operator.closed_until is None
