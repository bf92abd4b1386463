"""Back into the queue: what failed for good runs anew, because a person asks for it or what was to blame is mended."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from cio_tasks import journal
from cio_tasks.journal import SYSTEM
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import CREDENTIALS_AT_FAULT, INITIAL_FAILED
from cio_tasks.states import JobStatus, Phase
from cio_tasks.transitions.update import FRESH, audit_of, update_jobs


def retry_manually(session: Session, signup_id: UUID, *, phase: Phase | None, actor: str) -> list[SyncJob]:
    """Make the failed jobs of a signup run again at once, as `actor` asked (rows C6 to C9); return them."""
    wanted = SyncJob.signup_id == signup_id
    if phase is not None:
        wanted = and_(wanted, SyncJob.sync_phase == phase)
    return _retry(session, wanted, actor)


def retry_jobs_manually(session: Session, job_ids: Collection[UUID], *, actor: str) -> list[SyncJob]:
    """Make those of these jobs that are failed when their turn comes run again at once; return them.

    A job that somebody else has changed meanwhile is left as it is.
    """
    return _retry(session, SyncJob.id.in_(job_ids), actor)


def _retry(session: Session, wanted: ColumnElement[bool], actor: str) -> list[SyncJob]:
    return _requeue(session, wanted, action="manual_retry", resolution="manual_retry", actor=actor, manual_retry=True)


def revive_unauthorized(session: Session, *, actor: str = SYSTEM, limit: int | None = None) -> list[SyncJob]:
    """Make the jobs that failed only because the credentials did run again (the decision at row A5); return them.

    With `limit` no more than about so many, since their signups stay locked until the transaction ends.
    """
    refused = SyncJob.error_code.in_(CREDENTIALS_AT_FAULT)
    if limit is not None:
        first = select(SyncJob.id).where(refused, SyncJob.status == JobStatus.FAILED).limit(limit)
        refused = SyncJob.id.in_(session.scalars(first).all())
    return _requeue(session, refused, action="revived", resolution="credentials_restored", actor=actor)


def revive_followers(session: Session, signup_ids: Iterable[UUID]) -> None:
    """Make enriched jobs run again that were given up because the initial job of their signup had failed."""
    followers = and_(SyncJob.signup_id.in_(list(signup_ids)), SyncJob.error_code == INITIAL_FAILED)
    _requeue(session, followers, action="revived", resolution="initial_completed", actor=SYSTEM)


def _requeue(
    session: Session, wanted: ColumnElement[bool], *, action: str, resolution: str, actor: str, **values: Any
) -> list[SyncJob]:
    failed = and_(wanted, SyncJob.status == JobStatus.FAILED)
    signups = session.scalars(select(SyncJob.signup_id).where(failed)).all()
    if not signups:
        return []
    journal.lock_signups(session, signups)
    spent = _count_retries(session, and_(failed, SyncJob.signup_id.in_(signups)))
    jobs = update_jobs(session, and_(failed, SyncJob.id.in_(spent)), status=JobStatus.PENDING, **FRESH, **values)
    if jobs:
        journal.resolve_dead_letters(session, [job.id for job in jobs], resolution=resolution, actor=actor)
        journal.refresh_failure_flags(session, [job.signup_id for job in jobs])
        journal.add_audit(session, action, [_audit_of_requeued(job, spent[job.id]) for job in jobs], actor=actor)
    return jobs


def _count_retries(session: Session, failed: ColumnElement[bool]) -> dict[UUID, int]:
    """Return the retries that each of these jobs has used, which the UPDATE is about to forget."""
    return dict(session.execute(select(SyncJob.id, SyncJob.attempt_count).where(failed)).all())


def _audit_of_requeued(job: SyncJob, spent: int) -> dict[str, Any]:
    change = {"from": JobStatus.FAILED, "to": job.status, "attemptCountBefore": spent, "attemptCount": 0}
    return audit_of(job, **change)
