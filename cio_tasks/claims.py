"""Claims: which jobs may be taken, and what a worker holds of one it took."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased, joinedload

from cio_tasks.models import Signup, SyncJob
from cio_tasks.states import JobStatus, Phase

UNFINISHED: Final = (JobStatus.PENDING, JobStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one worker to deliver one job once. The token only grows, so an older claim can record nothing."""

    job_id: UUID
    signup_id: UUID
    phase: Phase
    token: int
    attempt_count: int
    max_attempts: int
    payload_version: int
    manual_retry: bool
    worker: str
    claimed_at: datetime
    signup: Signup
    initial_failed: bool = False
    superseded: bool = field(default=False, compare=False)
    """Whether it was overtaken: the job waits again, whatever became of this claim.

    A newer version was confirmed meanwhile, or the initial job that had failed runs again.
    """

    @property
    def contact_id(self) -> str:
        """The identifier under which the person is sent (the decision at row H15)."""
        return str(self.signup.customer_id)


def due_since() -> ColumnElement[Any]:
    """Return since when a pending job is due, or when it will be. `ix_sync_jobs_for_claim` is on this expression."""
    return func.coalesce(SyncJob.next_retry_at, SyncJob.created_at)


def is_due() -> ColumnElement[bool]:
    """Return the condition that a job waits and its time has come, by the database's clock."""
    return and_(SyncJob.status == JobStatus.PENDING, due_since() <= func.now())


def may_follow() -> ColumnElement[bool]:
    """Return the condition that an enriched job is not ahead of its signup's initial job.

    OFFSET 0 keeps the planner from turning this into a join, which would read all unfinished initial jobs for each claim.
    """
    initial = aliased(SyncJob)
    unfinished = (
        select(initial.id)
        .where(
            initial.signup_id == SyncJob.signup_id,
            initial.sync_phase == Phase.INITIAL,
            initial.status.in_(UNFINISHED),
        )
        .correlate(SyncJob)
        .offset(0)
        .exists()
    )
    return or_(SyncJob.sync_phase == Phase.INITIAL, ~unfinished)


def initial_has_failed() -> ColumnElement[bool]:
    """Return the condition that the initial job of an enriched job's signup is given up at this moment.

    Whoever has locked the signup reads it for good: nothing enters or leaves `failed` without that lock.
    """
    initial = aliased(SyncJob)
    return (
        select(initial.id)
        .where(
            initial.signup_id == SyncJob.signup_id,
            initial.sync_phase == Phase.INITIAL,
            initial.status == JobStatus.FAILED,
        )
        .correlate(SyncJob)
        .exists()
    )


def load_claims(session: Session, jobs: Sequence[SyncJob]) -> list[Claim]:
    """Return the claims on `jobs`, with their signups as this transaction sees them, so payload and version agree."""
    ids = [job.signup_id for job in jobs]
    found = session.scalars(
        select(Signup)
        .options(joinedload(Signup.customer))
        .where(Signup.id.in_(ids))
        .execution_options(populate_existing=True)
    )
    signups = {signup.id: signup for signup in found}
    blocked = _with_failed_initial(session, [job for job in jobs if job.sync_phase != Phase.INITIAL])
    return [
        Claim(
            job_id=job.id,
            signup_id=job.signup_id,
            phase=Phase(job.sync_phase),
            token=job.claim_token,
            attempt_count=job.attempt_count,
            max_attempts=job.max_attempts,
            payload_version=job.payload_version,
            manual_retry=job.manual_retry,
            worker=job.claimed_by or "unknown",
            claimed_at=job.updated_at,
            signup=signups[job.signup_id],
            initial_failed=job.sync_phase != Phase.INITIAL and job.signup_id in blocked,
        )
        for job in jobs
    ]


def _with_failed_initial(session: Session, jobs: Sequence[SyncJob]) -> set[UUID]:
    if not jobs:
        return set()
    return set(
        session.scalars(
            select(SyncJob.signup_id).where(
                SyncJob.signup_id.in_([job.signup_id for job in jobs]),
                SyncJob.sync_phase == Phase.INITIAL,
                SyncJob.status != JobStatus.COMPLETED,
            )
        )
    )
