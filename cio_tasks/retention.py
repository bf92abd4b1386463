"""Retention: what is deleted when it is old, in small transactions, so that nobody waits for it.

Never deleted are jobs that are not completed, dead letters that nobody has resolved, signups, customers and the audit.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, Delete, and_, delete, func, select, tuple_
from sqlalchemy.orm import Session

from cio_tasks import heartbeats, journal
from cio_tasks.models import DeadLetter, Heartbeat, IdempotencyKey, SyncAttempt, SyncJob, WebhookEvent
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus

BATCH: Final = 1_000
"""The most rows that one transaction deletes."""
PRUNE_AT_MOST: Final = timedelta(seconds=30)
"""How long one run may take; the next one goes on where it ended."""
WEBHOOKS_AT_LEAST: Final = timedelta(days=8)
"""Customer.io sends an event again for up to seven days, and a repeat is known by its row."""
IDEMPOTENCY_KEYS: Final = timedelta(hours=24)
HEARTBEATS: Final = timedelta(days=1)

FINISHED: Final = (JobStatus.COMPLETED, JobStatus.FAILED)

Prune = Callable[[Session, timedelta], int]
"""Deletes one batch of what is older than the retention, and returns of how many rows it disposed."""


def prune(runtime: Runtime, *, at_most: timedelta = PRUNE_AT_MOST) -> dict[str, int]:
    """Delete what is older than `CIO_RETENTION_DAYS`; return how many rows of each table that were.

    Runs side by side share the work. A run ends after `at_most`, or when the worker is told to stop.
    """
    until = time.monotonic() + at_most.total_seconds()
    return {table: _prune_table(runtime, batch, until) for table, batch in TABLES.items()}


def _prune_table(runtime: Runtime, batch: Prune, until: float) -> int:
    kept = timedelta(days=runtime.settings.retention_days)
    total = 0
    while time.monotonic() < until and not runtime.stopping.is_set():
        with runtime.sessions.begin() as session:
            deleted = batch(session, kept)
        total += deleted
        if not deleted:
            break
    return total


# --- one batch of each table ------------------------------------------------------------------------------------------


def _prune_attempts(session: Session, kept: timedelta) -> int:
    """The attempts of jobs that are finished. Those of a job that still runs tell how it got there."""
    of_finished = select(SyncJob.id).where(SyncJob.id == SyncAttempt.job_id, SyncJob.status.in_(FINISHED)).exists()
    return _delete(session, SyncAttempt, and_(_older(SyncAttempt.finished_at, kept), of_finished))


def _prune_dead_letters(session: Session, kept: timedelta) -> int:
    """Only resolved ones have a `resolved_at`."""
    return _delete(session, DeadLetter, _older(DeadLetter.resolved_at, kept))


def _prune_jobs(session: Session, kept: timedelta) -> int:
    """The completed jobs that no dead letter speaks of any more.

    Their signups are locked first, as by everyone who changes jobs, so that no enqueue finds its job gone half-way.
    """
    letters = select(DeadLetter.id).where(DeadLetter.job_id == SyncJob.id).exists()
    old = and_(SyncJob.status == JobStatus.COMPLETED, _older(SyncJob.completed_at, kept), ~letters)
    found = session.execute(
        select(SyncJob.id, SyncJob.signup_id).where(old).order_by(SyncJob.completed_at).limit(BATCH)
    )
    jobs = {job.id: job.signup_id for job in found}
    journal.lock_signups(session, jobs.values())
    return _count(session, delete(SyncJob).where(SyncJob.id.in_(jobs), old))


def _prune_webhook_events(session: Session, kept: timedelta) -> int:
    return _delete(session, WebhookEvent, _older(WebhookEvent.received_at, max(kept, WEBHOOKS_AT_LEAST)))


def _prune_idempotency_keys(session: Session, _kept: timedelta) -> int:
    return _delete(session, IdempotencyKey, _older(IdempotencyKey.created_at, IDEMPOTENCY_KEYS))


def _prune_heartbeats(session: Session, _kept: timedelta) -> int:
    """The workers that died without a word; the row of beat stays and says since when it is silent."""
    gone = and_(Heartbeat.kind == heartbeats.WORKER, _older(Heartbeat.seen_at, HEARTBEATS))
    return _delete(session, Heartbeat, gone)


TABLES: Final[dict[str, Prune]] = {
    "customerio_sync_attempts": _prune_attempts,
    "customerio_dead_letters": _prune_dead_letters,
    "signup_customerio_sync_jobs": _prune_jobs,
    "customerio_webhook_events": _prune_webhook_events,
    "idempotency_keys": _prune_idempotency_keys,
    "customerio_heartbeats": _prune_heartbeats,
}
"""In this order: a job can go once its dead letters have gone, and most of its attempts go before it does."""


def _older(column: Any, age: timedelta) -> ColumnElement[bool]:
    older: ColumnElement[bool] = column < func.now() - age
    return older


def _delete(session: Session, model: Any, old: ColumnElement[bool]) -> int:
    """Delete a batch of the rows that `old` is true of, passing over those that somebody holds."""
    key = model.__table__.primary_key.columns
    batch = select(*key).where(old).limit(BATCH).with_for_update(skip_locked=True).cte("batch")
    return _count(session, delete(model).where(tuple_(*key).in_(select(batch))))


def _count(session: Session, statement: Delete) -> int:
    deleted = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", deleted).rowcount
