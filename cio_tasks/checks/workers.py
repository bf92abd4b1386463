"""Who lives, by the heartbeats in the database: workers, and beat by its ticks. No broker is needed to know it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final

from sqlalchemy import func, select

from cio_tasks import heartbeats
from cio_tasks.celeryconfig import SHORTEST_TICK, TICK_EVERY
from cio_tasks.checks.database import open_session
from cio_tasks.checks.readings import Trouble
from cio_tasks.checks.report import Check, failed, passed, skipped, warned
from cio_tasks.checks.spans import brief, many, span
from cio_tasks.models import Heartbeat
from cio_tasks.settings import Settings

TICKS_MISSED: Final = 3
TICK_MAY_WAIT: Final = timedelta(seconds=5)
"""However short the interval is, a tick stands in the queue behind other messages."""
LATELY: Final = timedelta(minutes=10)
"""A worker that ended without a word is worth a warning for as long: by then its jobs were taken back."""
START_WORKER: Final = "celery -A cio_tasks.celery_app worker"
START_BEAT: Final = "celery -A cio_tasks.celery_app beat"


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker, and how long ago it was seen."""

    version: str
    release: str | None
    ago: timedelta


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The workers that live, those that ended without a word, the latest first, and how long ago beat ticked."""

    alive: tuple[Seen, ...]
    silent: tuple[Seen, ...]
    tick: timedelta | None


def read_heartbeats(settings: Settings, timeout: timedelta) -> Heartbeats:
    """Return who was seen and when, by the database's clock.

    Raises:
        Unanswered: when the database cannot be read.
    """
    with open_session(settings, timeout) as session:
        now = session.execute(select(func.now())).scalar_one()
        return Heartbeats(
            _seen(heartbeats.list_alive(session), now),
            _seen(heartbeats.list_silent(session), now),
            heartbeats.since_last_tick(session),
        )


def _seen(rows: Iterable[Heartbeat], now: datetime) -> tuple[Seen, ...]:
    return tuple(Seen(row.version, row.release, now - row.seen_at) for row in rows)


# --- judging workers --------------------------------------------------------------------------------------------------


def judge_workers(found: Heartbeats | Trouble) -> Iterator[Check]:
    """Yield whether workers live, whether any died lately, and whether they are of one release."""
    if isinstance(found, Trouble):
        yield found.as_check("celery.workers", "workers")
        return
    yield _judge_alive(found)
    yield from _judge_silent(found.silent)
    if found.alive:
        yield _judge_versions(found.alive)


def _judge_alive(found: Heartbeats) -> Check:
    if found.alive:
        latest = min(worker.ago for worker in found.alive)
        return passed("celery.workers", f"{many(len(found.alive), 'worker')} alive, last seen {span(latest)} ago")
    message = f"no worker was seen in the last {span(heartbeats.SILENT_AFTER)}"
    if found.silent:
        message += f"; the last one was {span(found.silent[0].ago)} ago, and ended without a word"
    return failed("celery.workers", message, START_WORKER)


def _judge_silent(silent: Iterable[Seen]) -> Iterator[Check]:
    lately = [worker for worker in silent if worker.ago < LATELY]
    if lately:
        message = f"{many(len(lately), 'worker')} ended without a word, the last one {span(lately[0].ago)} ago"
        fix = "was it killed? look at its log; its jobs are taken back by themselves: ciosync stats"
        yield warned("celery.silent", message, fix)


def _judge_versions(alive: Iterable[Seen]) -> Check:
    ours = version("ciosync")
    versions = sorted({worker.version for worker in alive})
    releases = sorted({worker.release or "none" for worker in alive})
    if versions != [ours]:
        message = f"workers run version {' and '.join(versions)}, this is {ours}"
        return warned("celery.versions", message, "restart what is not of this version")
    if len(releases) > 1:
        message = f"workers belong to different releases (CIO_RELEASE): {', '.join(releases)}"
        return warned("celery.versions", message, "restart those of the older release")
    release = "" if releases == ["none"] else f", release {releases[0]}"
    return passed("celery.versions", f"all of this version, {ours}{release}")


# --- judging beat -----------------------------------------------------------------------------------------------------


def judge_beat(found: Heartbeats | Trouble, settings: Settings) -> Iterator[Check]:
    """Yield whether beat ticks. Its ticks are worked on by workers, so without one beat cannot be seen."""
    if isinstance(found, Trouble):
        yield found.as_check("beat.tick", "last tick")
        return
    late = _late_after(settings)
    if found.tick is not None and found.tick <= late:
        yield passed("beat.tick", f"the last tick was {span(found.tick)} ago")
        return
    when = "no tick was ever worked on" if found.tick is None else f"the last tick was worked on {span(found.tick)} ago"
    if not found.alive:
        message, fix = f"{when}, and without a worker none can be", f"start a worker, and if beat is gone: {START_BEAT}"
    else:
        message, fix = f"{when}, expected every {span(_interval(settings))}", START_BEAT
    yield failed("beat.tick", message, fix)


def _late_after(settings: Settings) -> timedelta:
    return max(TICKS_MISSED * _interval(settings), TICK_MAY_WAIT)


def _interval(settings: Settings) -> timedelta:
    return max(settings.scaled(TICK_EVERY), SHORTEST_TICK)


# --- judging who answered ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """How many workers answered through the broker, and how long the last of them took."""

    count: int
    took: timedelta


def judge_answers(answers: Answers | Trouble, found: Heartbeats | Trouble) -> Check:
    """Return whether those who live also hear what the broker tells them."""
    if isinstance(answers, Trouble):
        return answers.as_check("celery.ping", "who answers through the broker is")
    alive = None if isinstance(found, Trouble) else len(found.alive)
    if answers.count and alive == 0:
        message = f"{many(answers.count, 'worker')} answered, and none is seen in this database"
        return warned("celery.ping", message, "do they have another DATABASE_URL? ciosync config show, there and here")
    if answers.count and answers.count >= (alive or 0):
        return passed("celery.ping", f"{many(answers.count, 'worker')} answered in {brief(answers.took)}")
    if answers.count:
        message = f"{answers.count} of {many(alive or 0, 'live worker')} answered through the broker"
        return warned("celery.ping", message, "look at the logs of those that did not; restart them")
    if alive == 0:
        return skipped("celery.ping", "nobody is there to answer through the broker")
    who = "no worker" if alive is None else f"none of {many(alive, 'live worker')}"
    fix = f"do they have the same REDIS_URL? look at their logs, and restart them: {START_WORKER}"
    return failed("celery.ping", f"{who} answered through the broker: no message is consumed", fix)
