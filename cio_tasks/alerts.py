"""Alerts: what is watched, and telling people once when it gets bad and once when it is well again (row I1).

A change is decided under the lock of the alert's row, and logged and queued there in one transaction. What is queued is
posted to `CIO_ALERT_URL` outside of any, by the one process that has the right to, and stays queued until it was taken. So
a crash on the way tells a change twice at most, and a receiver that is away gets it later.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from requests.utils import get_auth_from_url
from sqlalchemy import Integer, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from cio_tasks import gate
from cio_tasks.claims import due_since, is_due, may_follow
from cio_tasks.customerio.client import USER_AGENT
from cio_tasks.customerio.transport import Anonymous, Reply, Transport
from cio_tasks.models import Alert, DeadLetter, SyncJob
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings

GROWTH_WINDOW: Final = timedelta(minutes=10)
OLDEST_DUE: Final = timedelta(minutes=10)
TELL_WITHIN: Final = timedelta(seconds=5)
"""The total deadline of one POST."""
TAKEN: Final = range(200, 300)
TELLING_LEASE: Final = timedelta(seconds=30)
MOST_UNTOLD: Final = 20
"""Changes that wait for a receiver which is away; of more, the first and the newest are kept."""

Change = dict[str, Any]

log: Final = structlog.stdlib.get_logger("ciosync")


def watch_alerts(runtime: Runtime) -> int:
    """Look at everything that is watched and tell what changed; return how many changes this run decided.

    Any number of processes may run this at once: each change is decided and told by one of them.
    """
    changes = 0
    for watch in WATCHES:
        changes += _look(runtime, watch)
        _tell(runtime, watch.name)
    return changes


def list_firing(session: Session) -> list[Alert]:
    """Return the alerts that are over their thresholds, those that have been so for longest first."""
    return list(session.scalars(select(Alert).where(Alert.breached_at.is_not(None)).order_by(Alert.breached_at)))


# --- what is watched --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and what to know about it."""

    value: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """One thing that is watched: how it is measured, and the value from which it is a breach."""

    name: str
    measure: Callable[[Session, Settings], Measured]
    threshold: Callable[[Settings], float]


def _count_unresolved(session: Session, _settings: Settings) -> Measured:
    """How many dead letters nobody has resolved."""
    return Measured(_count_dead_letters(session, DeadLetter.resolved_at.is_(None)))


def _count_new(session: Session, settings: Settings) -> Measured:
    """How many dead letters the last ten minutes made, resolved or not."""
    return Measured(_count_dead_letters(session, DeadLetter.created_at > func.now() - settings.scaled(GROWTH_WINDOW)))


def _count_dead_letters(session: Session, condition: Any) -> int:
    return session.scalars(select(func.count()).select_from(DeadLetter).where(condition)).one()


def _measure_oldest_due(session: Session, _settings: Settings) -> Measured:
    """For how many seconds the oldest job that could run has been due."""
    waited = func.extract("epoch", func.now() - due_since())
    oldest = select(waited).where(is_due(), may_follow()).order_by(due_since(), SyncJob.id).limit(1)
    reasons = ", ".join(row.reason for row in gate.list_closed(session))
    note = f"nothing is delivered while the gate is closed: {reasons}" if reasons else None
    return Measured(round(float(session.scalar(oldest) or 0), 1), note)


WATCHES: Final = (
    Watch("dead_letters", _count_unresolved, lambda settings: settings.alert_threshold),
    Watch("dead_letter_growth", _count_new, lambda settings: settings.alert_threshold),
    Watch("oldest_due", _measure_oldest_due, lambda settings: settings.scaled(OLDEST_DUE).total_seconds()),
)


# --- decide -----------------------------------------------------------------------------------------------------------


def _look(runtime: Runtime, watch: Watch) -> bool:
    """Measure, and note the change if there is one; return whether there was. A row that another process has is its."""
    with runtime.sessions.begin() as session:
        session.execute(insert(Alert).values(name=watch.name).on_conflict_do_nothing())
        locked = select(Alert).where(Alert.name == watch.name).with_for_update(skip_locked=True)
        row = session.scalars(locked).one_or_none()
        if row is None:
            return False
        measured, now = watch.measure(session, runtime.settings), session.scalars(select(func.now())).one()
        row.value, row.checked_at = measured.value, now
        threshold = watch.threshold(runtime.settings)
        if (measured.value >= threshold) == (row.breached_at is not None):
            return False
        _note(row, measured, threshold, now, tells=runtime.settings.alert_url is not None)
        return True


def _note(row: Alert, measured: Measured, threshold: float, now: datetime, *, tells: bool) -> None:
    """Turn the alert, log it, and queue it for the receiver. A crash before the commit undoes all but the line."""
    breached = row.breached_at is None
    change: Change = {
        "alert": row.name,
        "state": "breached" if breached else "recovered",
        "value": measured.value,
        "threshold": threshold,
        "since": (row.breached_at or now).isoformat(),
        "at": now.isoformat(),
        "note": measured.note,
    }
    row.breached_at = now if breached else None
    row.untold = _queue(row.untold, change) if tells else []
    (log.warning if breached else log.info)("alert", **change)


def _queue(untold: list[Change], change: Change) -> list[Change]:
    """Add a change. From a full queue a recovery and the next breach are taken, so that the two still alternate."""
    return [*untold, change] if len(untold) < MOST_UNTOLD else [untold[0], *untold[3:], change]


# --- tell -------------------------------------------------------------------------------------------------------------


def _tell(runtime: Runtime, name: str) -> None:
    """Post what is queued, oldest first, until nothing is left or the receiver does not take it."""
    if runtime.settings.alert_url is None:
        return
    post = partial(_post, runtime.settings.alert_url.get_secret_value())
    while (held := _begin_telling(runtime, name)) is not None:
        reply = post(held.change)
        if reply.status not in TAKEN:
            _fail_telling(runtime, name, held, reply.failure or f"http_{reply.status}")
            return
        _end_telling(runtime, name, held)


@dataclass(frozen=True, slots=True)
class _Held:
    """The right to tell one change, until another process may have it."""

    change: Change
    until: datetime


def _begin_telling(runtime: Runtime, name: str) -> _Held | None:
    """Take the right to tell the oldest change, unless there is none or another process is telling."""
    free = func.coalesce(Alert.telling_until, text("'-infinity'")) <= func.now()
    statement = (
        update(Alert)
        .where(Alert.name == name, func.jsonb_array_length(Alert.untold) > 0, free)
        .values(telling_until=func.now() + TELLING_LEASE)
        .returning(Alert.untold, Alert.telling_until)
        .execution_options(synchronize_session=False)
    )
    with runtime.sessions.begin() as session:
        row = session.execute(statement).one_or_none()
    return None if row is None else _Held(row.untold[0], row.telling_until)


def _post(url: str, change: Change) -> Reply:
    """Post a change: no redirects, and an end within `TELL_WITHIN`, whatever the receiver does."""
    auth = get_auth_from_url(url)
    transport = Transport(url, auth=auth if any(auth) else Anonymous(), total=TELL_WITHIN, user_agent=USER_AGENT)
    return transport.send("POST", "", json.dumps(change).encode())


def _end_telling(runtime: Runtime, name: str, held: _Held) -> None:
    rest = Alert.untold.op("-", return_type=JSONB())(literal(0, Integer))
    _release(runtime, name, held, untold=rest, told_at=func.now(), failed_tellings=0)


def _fail_telling(runtime: Runtime, name: str, held: _Held, reason: str) -> None:
    """Leave the change queued for the next tick, and log the first failure in a row. The address is a secret."""
    if _release(runtime, name, held, failed_tellings=Alert.failed_tellings + 1) == 1:
        log.warning("alert_not_taken", alert=name, state=held.change["state"], reason=reason)


def _release(runtime: Runtime, name: str, held: _Held, **values: Any) -> int | None:
    """Give the right to tell back; return the failures in a row, or None when the right had lapsed."""
    statement = (
        update(Alert)
        .where(Alert.name == name, Alert.telling_until == held.until)
        .values(telling_until=None, **values)
        .returning(Alert.failed_tellings)
        .execution_options(synchronize_session=False)
    )
    with runtime.sessions.begin() as session:
        return session.scalar(statement)
