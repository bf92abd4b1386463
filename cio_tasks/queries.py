"""Reading, and nothing else."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Interval, and_, case, cast, func, select
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


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """How many jobs of one phase stand where. `retrying` are those that wait for another try; `pending` the rest."""

    pending: int = 0
    retrying: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The counts of all phases."""

    phases: dict[Phase, PhaseCounts]
    next_retry_in: timedelta | None = None
    """How long until the first of the jobs that wait for another try is due."""

    @property
    def total(self) -> int:
        """All jobs."""
        return sum(sum(astuple(counts)) for counts in self.phases.values())

    @property
    def unfinished(self) -> int:
        """The jobs that are neither completed nor failed."""
        return sum(counts.pending + counts.retrying + counts.processing for counts in self.phases.values())


def list_owed(session: Session, job_ids: Iterable[UUID]) -> list[UUID]:
    """Return those of these jobs that are pending and due at once."""
    owed = [SyncJob.id.in_(list(job_ids)), SyncJob.status == JobStatus.PENDING, SyncJob.next_retry_at.is_(None)]
    return list(session.scalars(select(SyncJob.id).where(*owed)))


def count_jobs(session: Session, signup_ids: Iterable[UUID] | None = None) -> JobCounts:
    """Count the jobs, of all signups or of these, by phase and status."""
    standing = case(
        (and_(SyncJob.status == JobStatus.PENDING, SyncJob.attempt_count > 0), "retrying"), else_=SyncJob.status
    )
    statement = select(SyncJob.sync_phase, standing, func.count()).group_by(SyncJob.sync_phase, standing)
    if signup_ids is not None:
        statement = statement.where(SyncJob.signup_id.in_(list(signup_ids)))
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for phase, where, count in session.execute(statement):
        found[phase][where] = count
    phases = {phase: PhaseCounts(**found[phase]) for phase in Phase}
    return JobCounts(phases, next_retry_in=_next_retry_in(session))


def _next_retry_in(session: Session) -> timedelta | None:
    soonest = cast(func.min(SyncJob.next_retry_at) - func.now(), Interval)
    return session.scalar(select(soonest).where(SyncJob.status == JobStatus.PENDING))
