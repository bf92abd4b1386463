"""Heartbeats: rows that say when a worker, or beat, was last seen alive. They need no broker to be read.

A worker's heart is a thread of its own, so that it beats while all the others deliver. It also adds what the process
counted to the table of counters, and rings for the sweep while beat is silent.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

import structlog
from sqlalchemy import Interval, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cio_tasks import counters, wake
from cio_tasks.models import Heartbeat
from cio_tasks.runtime import Runtime

WORKER: Final = "worker"
BEAT: Final = "beat"
BEATS_EVERY: Final = timedelta(seconds=10)
SILENT_AFTER: Final = timedelta(seconds=30)
"""Three beats missed: the process is taken for dead."""
STOP_WITHIN: Final = timedelta(seconds=5)
"""How long a stopping worker waits for a report under way; the row of one that takes longer is left to grow old."""

log: Final = structlog.stdlib.get_logger("ciosync")


# --- what is written --------------------------------------------------------------------------------------------------


def report(runtime: Runtime) -> None:
    """Write that this worker is alive, add what it counted to the counters, and stand in for a silent beat.

    Beat only sets the pace: without it due jobs would wait for a message, so every worker rings for the sweep instead.
    """
    with runtime.sessions.begin() as session:
        _write(session, runtime, runtime.worker, WORKER)
        counters.flush(session)
        silence = since_last_tick(session)
    if silence is None or silence > SILENT_AFTER:
        wake.sweep_after(timedelta(0))


def note_tick(runtime: Runtime) -> None:
    """Write that beat is alive: a task that only beat sends is being worked on."""
    with runtime.sessions.begin() as session:
        _write(session, runtime, BEAT, BEAT)


def withdraw(runtime: Runtime) -> None:
    """Take this worker's heartbeat back, since it ends as it should, and add its last counts to the counters."""
    with runtime.sessions.begin() as session:
        session.execute(delete(Heartbeat).where(Heartbeat.process == runtime.worker))
        counters.flush(session)


def _write(session: Session, runtime: Runtime, process: str, kind: str) -> None:
    facts: dict[str, Any] = {"version": version("ciosync"), "release": runtime.settings.release}
    row = insert(Heartbeat).values(process=process, kind=kind, **facts)
    seen = {**facts, "seen_at": func.greatest(Heartbeat.seen_at, func.now())}
    session.execute(row.on_conflict_do_update(index_elements=["process"], set_=seen))


# --- what is read -----------------------------------------------------------------------------------------------------


def list_alive(session: Session) -> list[Heartbeat]:
    """Return the workers that were seen within `SILENT_AFTER`, the oldest first."""
    alive = [Heartbeat.kind == WORKER, Heartbeat.seen_at > func.now() - SILENT_AFTER]
    return list(session.scalars(select(Heartbeat).where(*alive).order_by(Heartbeat.started_at, Heartbeat.process)))


def list_silent(session: Session) -> list[Heartbeat]:
    """Return the workers that ended without a word within the last day, the latest first; retention forgets the rest."""
    silent = [Heartbeat.kind == WORKER, Heartbeat.seen_at <= func.now() - SILENT_AFTER]
    return list(session.scalars(select(Heartbeat).where(*silent).order_by(Heartbeat.seen_at.desc(), Heartbeat.process)))


def last_tick(session: Session) -> datetime | None:
    """Return when a tick of beat was last worked on; None when none ever was."""
    return session.scalar(select(Heartbeat.seen_at).where(Heartbeat.kind == BEAT))


def since_last_tick(session: Session) -> timedelta | None:
    """Return how long ago that was, by the database's clock."""
    return session.scalar(select(cast(func.now() - Heartbeat.seen_at, Interval)).where(Heartbeat.kind == BEAT))


# --- what repeats it --------------------------------------------------------------------------------------------------


class Heart:
    """Reports every `BEATS_EVERY` from a daemon thread, whatever becomes of the database meanwhile."""

    def __init__(self, runtime: Runtime, *, every: timedelta = BEATS_EVERY) -> None:
        self._runtime = runtime
        self._every = every.total_seconds()
        self._stopped = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to report, at once and then again and again. Starting it again changes nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Report no more, and take the heartbeat back."""
        self._stopped.set()
        self._thread.join(STOP_WITHIN.total_seconds())
        self._attempt(withdraw)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._attempt(report)
            self._stopped.wait(self._every)

    def _attempt(self, work: Callable[[Runtime], None]) -> None:
        """Do it, and say once for each outage that it could not be done."""
        try:
            work(self._runtime)
        except Exception as error:  # noqa: BLE001 - a heart that stops would tell a lie about its process
            if not self._failing:
                log.warning("heartbeat_failing", error=type(error).__name__)
            self._failing = True
        else:
            if self._failing:
                log.info("heartbeat_restored")
            self._failing = False
