"""Out of the queue: a worker takes what is due."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks.claims import Claim, due_since, is_due, load_claims, may_follow
from cio_tasks.gate import gate_is_open
from cio_tasks.models import SyncJob
from cio_tasks.states import JobStatus
from cio_tasks.transitions.update import update_jobs


def claim(
    session: Session, *, worker: str, limit: int, job_id: UUID | None = None, probing: bool = False
) -> list[Claim]:
    """Take up to `limit` due jobs (or just `job_id`, if due), oldest first, that no other worker is taking.

    Due is decided by the database's clock. A closed gate yields nothing, except for `probing`, which the gate allowed.
    An enriched job waits while its signup's initial job is pending or processing.
    """
    conditions = [is_due(), may_follow()]
    if not probing:
        conditions.append(gate_is_open())
    if job_id is not None:
        conditions.append(SyncJob.id == job_id)
    due = (
        select(SyncJob.id)
        .where(*conditions)
        .order_by(due_since(), SyncJob.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
        .cte("due")
    )
    jobs = update_jobs(
        session,
        SyncJob.id.in_(select(due.c.id)),
        status=JobStatus.PROCESSING,
        claim_token=SyncJob.claim_token + 1,
        claimed_by=worker,
        next_retry_at=None,
        last_attempt_at=func.now(),
    )
    return load_claims(session, jobs)
