"""Reading, and nothing else."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks.models import SyncJob
from cio_tasks.states import JobStatus, Phase


def list_followers(session: Session, signup_ids: Iterable[UUID]) -> list[UUID]:
    """Return the enriched jobs of these signups that wait for nothing but their initial job."""
    return list(
        session.scalars(
            select(SyncJob.id).where(
                SyncJob.signup_id.in_(list(signup_ids)),
                SyncJob.sync_phase == Phase.ENRICHED,
                SyncJob.status == JobStatus.PENDING,
                SyncJob.next_retry_at.is_(None),
            )
        )
    )


def count_by_status(session: Session) -> dict[tuple[Phase, JobStatus], int]:
    """Return how many jobs there are of each phase and status, zeros included."""
    counts = {(phase, status): 0 for phase in Phase for status in JobStatus}
    rows = session.execute(
        select(SyncJob.sync_phase, SyncJob.status, func.count()).group_by(SyncJob.sync_phase, SyncJob.status)
    )
    return counts | {(Phase(phase), JobStatus(status)): count for phase, status, count in rows}
