"""The work: whether due jobs are picked up, whether any is stuck or lost, and whether deliveries may run."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from cio_tasks.alerts import OLDEST_DUE
from cio_tasks.checks.database import open_session
from cio_tasks.checks.readings import Trouble
from cio_tasks.checks.report import Check, Status, failed, passed, skipped, warned
from cio_tasks.checks.spans import many, span
from cio_tasks.gate import Reason
from cio_tasks.settings import Settings
from cio_tasks.stats import Closing, Stats, read_stats

WAITS_LONG: Final = timedelta(minutes=1)
"""Several sweeps: a due job that still waits was not looked at, or there is more work than workers."""


@dataclass(frozen=True, slots=True)
class Work:
    """All counts and the gate, at one time of the database's clock."""

    stats: Stats
    now: datetime


def read_work(settings: Settings, timeout: timedelta) -> Work:
    """Return how many jobs stand where, and whether they may run.

    Raises:
        Unanswered: when the database cannot be read.
    """
    with open_session(settings, timeout) as session:
        stats = read_stats(session, stuck_after=settings.stuck_after)
        return Work(stats, session.execute(select(func.now())).scalar_one())


# --- judging the queue ------------------------------------------------------------------------------------------------


def judge_queue(work: Work | Trouble, settings: Settings) -> Iterator[Check]:
    """Yield whether jobs are picked up in time, whether any is stuck, and whether too many failed for good."""
    if isinstance(work, Trouble):
        yield work.as_check("queue.age", "oldest job")
        return
    yield _judge_age(work.stats)
    yield _judge_stuck(work.stats, settings)
    yield _judge_dead_letters(work.stats, settings)


def _judge_age(stats: Stats) -> Check:
    waiting = f"{stats.pending:,} pending"
    if stats.oldest_due_seconds is None:
        return passed("queue.age", f"{waiting}, nothing is due")
    oldest = timedelta(seconds=stats.oldest_due_seconds)
    message = f"{waiting}, the oldest due for {span(oldest)}"
    if not stats.gate.open:
        return skipped("queue.age", f"{message}: they wait while the gate is closed")
    if oldest >= OLDEST_DUE:
        return failed("queue.age", message, "are workers and beat running? ciosync doctor --only celery,beat")
    if oldest >= WAITS_LONG:
        return warned("queue.age", message, "start more workers, or watch whether it shrinks: ciosync stats --watch 5")
    return passed("queue.age", message)


def _judge_stuck(stats: Stats, settings: Settings) -> Check:
    if stats.stuck:
        held = f"{many(stats.stuck, 'job')} stuck: no word from the worker for more than {span(settings.stuck_after)}"
        return warned("queue.stuck", held, "ciosync jobs cleanup")
    return passed("queue.stuck", "no job is stuck")


def _judge_dead_letters(stats: Stats, settings: Settings) -> Check:
    message = f"{many(stats.dead_letters, 'unresolved dead letter')}"
    if stats.dead_letters >= settings.alert_threshold:
        alert = f"{message}, the alert is from {settings.alert_threshold} (CIO_ALERT_THRESHOLD)"
        return warned("queue.dead_letters", alert, "ciosync failures groups")
    return passed("queue.dead_letters", message)


# --- judging the gate -------------------------------------------------------------------------------------------------


CLOSED_BY: Final = {
    Reason.OUTAGE: (Status.FAIL, "ciosync network; it opens by itself when Customer.io answers again"),
    Reason.AUTH: (Status.FAIL, "ciosync debug auth; it opens by itself when the credentials work"),
    Reason.RATE_LIMIT: (Status.WARN, "wait; when it comes again and again, lower CIO_RATE_LIMIT"),
    Reason.OPERATOR: (Status.WARN, "ciosync gate open"),
}
"""How bad each reason is: nobody chose the first two, Customer.io asked for the third, a person for the last."""


def judge_gate(work: Work | Trouble) -> Iterator[Check]:
    """Yield whether deliveries may run, or for each reason against it who, since when, until when and why."""
    if isinstance(work, Trouble):
        yield work.as_check("gate.open", "state")
        return
    if work.stats.gate.open:
        yield passed("gate.open", "open: deliveries may run")
    for closing in work.stats.gate.reasons:
        yield _judge_closing(closing, work.now)


def _judge_closing(closing: Closing, now: datetime) -> Check:
    status, fix = CLOSED_BY[closing.reason]
    who = f" ({closing.actor})" if closing.actor else ""
    why = f": {closing.note}" if closing.note else ""
    message = f"closed by {closing.reason}{who} for {span(now - closing.closed_at)}, {_until(closing, now)}{why}"
    return Check(f"gate.{closing.reason}", status, message, fix)


def _until(closing: Closing, now: datetime) -> str:
    if closing.closed_until is None:
        return "until somebody opens it"
    if closing.reason is Reason.OPERATOR:
        return f"for {span(closing.closed_until - now)} more"
    return "tried with the next job" if closing.closed_until <= now else f"tried in {span(closing.closed_until - now)}"
