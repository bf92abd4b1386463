"""The counts hold at every instant while many change the jobs at once."""

from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cio_tasks import transitions
from cio_tasks.db import Sessions
from cio_tasks.failures import FailureFilter, count_failures
from cio_tasks.models import RowCount, SyncJob
from cio_tasks.operations import retry_failures
from cio_tasks.outcomes import Delivered, ErrorType, Rejected
from cio_tasks.states import JobStatus
from cio_tasks.stats import read_stats, roll_up_counts
from tests.concurrency.together import crowd, deadlocks, together
from tests.factories import Factory

GROUPED = text("SELECT sync_phase, status, count(*) FROM signup_customerio_sync_jobs GROUP BY sync_phase, status")
OPEN_LETTERS = text("SELECT count(*) FROM customerio_dead_letters WHERE resolved_at IS NULL")
REFUSED = Rejected("http_403", "no", 403)


def change_some(sessions: Sessions, dice: Random) -> None:
    """Deliver a few or fail a few, and now and then give it up halfway; bring some failures back."""
    with sessions.begin() as session:
        claims = transitions.claim(session, worker="w", limit=dice.randint(1, 9))
    with sessions() as session:
        if dice.random() < 0.5:
            transitions.complete(session, claims, Delivered(200), None)
        else:
            transitions.fail(session, claims, REFUSED, None)
        session.commit() if dice.random() < 0.8 else session.rollback()
    if dice.random() < 0.3:
        retry_failures(sessions, FailureFilter(), actor="ops", limit=5)


def roll_up(sessions: Sessions, dice: Random) -> None:
    with sessions() as session:
        roll_up_counts(session, more_than=dice.randint(0, 3), at_most=dice.randint(1, 50))
        session.commit() if dice.random() < 0.8 else session.rollback()


def compare(engine: Engine) -> None:
    """In one snapshot, what the counts say is what is there."""
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        there = {(phase, status): count for phase, status, count in session.execute(GROUPED)}
        letters = session.scalar(OPEN_LETTERS)
        stats = read_stats(session, stuck_after=timedelta(minutes=5))
        said = {
            (phase, status): getattr(counts, status) for phase, counts in stats.by_phase.items() for status in JobStatus
        }
        failures = count_failures(session, FailureFilter(error_type=ErrorType.OTHER))
    assert {kind: count for kind, count in said.items() if count} == there
    assert stats.dead_letters == letters == failures == stats.failed


@pytest.mark.row("D1", "D2")
@pytest.mark.parametrize("seed", [1, 2])
def test_the_counts_are_what_is_there_at_every_instant(
    engine: Engine, sessions: Sessions, make: Factory, seed: int
) -> None:
    crowd(sessions, 400)

    def work(number: int) -> None:
        dice = Random(100 * seed + number)
        for _ in range(30):
            if number < 7:
                change_some(sessions, dice)
            elif number < 10:
                roll_up(sessions, dice)
            else:
                compare(engine)

    together(12, work)

    compare(engine)
    assert {job.status for job in make.all(SyncJob)} > {JobStatus.COMPLETED}
    assert deadlocks(engine) == 0


def test_roll_ups_at_once_lose_and_double_nothing(engine: Engine, sessions: Sessions, make: Factory) -> None:
    for _ in range(40):
        make.signup()

    def work(_: int) -> int:
        with sessions.begin() as session:
            return roll_up_counts(session, more_than=1)

    replaced = together(12, work)

    assert sum(replaced) >= 40
    assert sum(row.change for row in make.all(RowCount)) == 40
    compare(engine)
