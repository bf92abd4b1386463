"""Backfill: the jobs of signups that were stored without one, as by an import or before ciosync was there.

Which signups lack a job is asked anew each time, so a run that was cut short is resumed by running it again.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from cio_tasks.db import Sessions
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.models import Signup, SyncJob
from cio_tasks.states import Phase

AT_ONCE: Final = 500
"""Signups of one transaction: they are locked until it ends."""


def count_missing(session: Session, phase: Phase, *, since: datetime) -> int:
    """Return how many signups of `since` or later owe this phase and have no job of it."""
    missing = _select_missing(phase, since).subquery()
    return session.scalar(select(func.count()).select_from(missing)) or 0


def enqueue_missing(sessions: Sessions, phase: Phase, *, since: datetime, limit: int, actor: str) -> Iterator[int]:
    """Enqueue this phase of up to `limit` of those signups, oldest first; yield how many after each transaction."""
    after: UUID | None = None
    while limit > 0:
        with sessions.begin() as session:
            signups = _next(session, phase, since, after, min(AT_ONCE, limit))
            for signup in signups:
                enqueue_sync(session, signup, phase, actor=actor)
        if not signups:
            return
        after, limit = signups[-1].id, limit - len(signups)
        yield len(signups)


def _next(session: Session, phase: Phase, since: datetime, after: UUID | None, count: int) -> list[Signup]:
    """Return the next signups, locked in the order in which everybody locks them."""
    statement = _select_missing(phase, since).order_by(Signup.id).limit(count).with_for_update(key_share=True)
    return list(session.scalars(statement if after is None else statement.where(Signup.id > after)))


def _select_missing(phase: Phase, since: datetime) -> Select[Any]:
    has_job = select(SyncJob.id).where(SyncJob.signup_id == Signup.id, SyncJob.sync_phase == phase).exists()
    return select(Signup).where(_owes(phase, since), ~has_job)


def _owes(phase: Phase, since: datetime) -> ColumnElement[bool]:
    """A signup that is synced without an initial job has had one, which retention deleted."""
    if phase is Phase.INITIAL:
        return (Signup.created_at >= since) & ~Signup.customerio_synced
    return Signup.extraction_confirmed_at >= since
