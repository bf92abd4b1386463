"""The one UPDATE that all changes of a status are, its fence, and the columns and words they share."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, tuple_, update
from sqlalchemy.orm import Session

from cio_tasks.claims import Claim
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import Rejected, RetryLater
from cio_tasks.states import JobStatus

NO_ERROR: Final = {"error_type": None, "error_code": None, "error_message": None, "http_status": None}
FRESH: Final = {"attempt_count": 0, "next_retry_at": None, "completed_at": None, "claimed_by": None, **NO_ERROR}


def update_jobs(session: Session, guard: ColumnElement[bool], **values: Any) -> list[SyncJob]:
    """Change the jobs that `guard` matches when their turn comes, and return them as they are now."""
    statement = (
        update(SyncJob)
        .where(guard)
        .values(updated_at=func.now(), **values)
        .returning(SyncJob)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return list(session.scalars(statement))


def is_mine(claims: Sequence[Claim], *, with_version: bool = False) -> ColumnElement[bool]:
    """Return the fence: still processing, and under the very claim that delivered."""
    if with_version:
        held = tuple_(SyncJob.id, SyncJob.claim_token, SyncJob.payload_version).in_(
            [(claim.job_id, claim.token, claim.payload_version) for claim in claims]
        )
    else:
        held = tuple_(SyncJob.id, SyncJob.claim_token).in_([(claim.job_id, claim.token) for claim in claims])
    ids = SyncJob.id.in_([claim.job_id for claim in claims])  # said once more for the primary key's index
    return and_(SyncJob.status == JobStatus.PROCESSING, ids, held)


def is_overtaken() -> ColumnElement[bool]:
    """Return the condition that a newer version is owed than the one which the present claim has."""
    return SyncJob.overtaken_token == SyncJob.claim_token


def held_of(claims: Sequence[Claim], jobs: Iterable[SyncJob]) -> list[Claim]:
    """Return the claims whose jobs were changed: the others were lost."""
    changed = {job.id for job in jobs}
    return [claim for claim in claims if claim.job_id in changed]


def error_columns(failure: RetryLater | Rejected) -> dict[str, Any]:
    """Return a failure as the columns that jobs, attempts and dead letters have for it."""
    return {
        "error_type": failure.error_type,
        "error_code": failure.code,
        "error_message": failure.detail,
        "http_status": failure.http_status,
    }


def ended_as(status: JobStatus) -> dict[str, JobStatus]:
    """Return what the audit of the end of a delivery says of the change: from where, and to where."""
    return {"from": JobStatus.PROCESSING, "to": status}


def audit_of(job: SyncJob, **details: Any) -> dict[str, Any]:
    """Return the audit row of a job that nobody claimed."""
    return {
        "signup_id": job.signup_id,
        "job_id": job.id,
        "details": {"jobId": str(job.id), "syncPhase": job.sync_phase, **details},
    }
