"""Reading, and nothing else."""

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Interval, Select, and_, case, cast, func, or_, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from cio_tasks.claims import is_due, may_follow
from cio_tasks.errors import CioTasksError, NotFound
from cio_tasks.models import AuditEntry, Customer, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.states import JobStatus, Phase

NEWEST: Final = 100
"""So many attempts, audit entries and dead letters of a job are shown: retries by hand may make many more."""
ID_BYTES: Final = 16
CHECK_BYTES: Final = 8

Kept = TypeVar("Kept", SyncAttempt, AuditEntry, DeadLetter)
C = TypeVar("C")


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


def count_due(session: Session, *, at_most: int) -> int:
    """Return how many jobs could be claimed now if the gate is open, counting no further than `at_most`."""
    due = select(SyncJob.id).where(is_due(), may_follow()).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(due)) or 0


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


def list_failed_jobs(session: Session, identifier: UUID) -> list[UUID]:
    """Return the failed jobs that an id names: the job of that id, or those of the signup of that id."""
    named = or_(SyncJob.id == identifier, SyncJob.signup_id == identifier)
    return list(session.scalars(select(SyncJob.id).where(named, SyncJob.status == JobStatus.FAILED)))


# --- all jobs, page by page -------------------------------------------------------------------------------------------


class InvalidCursor(CioTasksError, ValueError):
    """The cursor was not made for this list."""

    hint = "begin at the first page, without a cursor"


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first, and where the next page begins; None: there is none."""

    jobs: list[SyncJob]
    next_cursor: str | None


def list_jobs(
    session: Session,
    *,
    status: JobStatus | None = None,
    phase: Phase | None = None,
    limit: int,
    cursor: str | None = None,
) -> JobPage:
    """Return up to `limit` jobs, newest first, from where `cursor` points.

    What is written between two pages moves no job from one to the other: a page begins after an id, not at a number.

    Raises:
        InvalidCursor: when the cursor was changed, or comes from a list with another filter.
    """
    before = None if cursor is None else _read_cursor(cursor, status, phase)
    newest = _newest(status, phase, before, limit + 1)
    found = list(session.scalars(select(SyncJob).where(SyncJob.id.in_(newest)).order_by(SyncJob.id.desc())))
    page, more = found[:limit], len(found) > limit
    return JobPage(page, _make_cursor(page[-1].id, status, phase) if more else None)


def _newest(status: JobStatus | None, phase: Phase | None, before: UUID | None, count: int) -> Select[UUID]:
    """Return the ids of the newest jobs: of each status and phase that is asked for, and of these the newest.

    `ix_sync_jobs_for_list` has the jobs of one status and phase in order, so none but those returned are ever read,
    however rare they are among the others.
    """
    earlier = [] if before is None else [SyncJob.id < before]
    if status is None and phase is None:
        return select(SyncJob.id).where(*earlier).order_by(SyncJob.id.desc()).limit(count)
    parts = [
        select(SyncJob.id)
        .where(SyncJob.status == one_status, SyncJob.sync_phase == one_phase, *earlier)
        .order_by(SyncJob.id.desc())
        .limit(count)
        for one_status, one_phase in product([status] if status else JobStatus, [phase] if phase else Phase)
    ]
    ids = union_all(*(part.subquery().select() for part in parts)).subquery()
    return select(ids.c.id).order_by(ids.c.id.desc()).limit(count)


def _make_cursor(job_id: UUID, status: JobStatus | None, phase: Phase | None) -> str:
    """Return the id with a check over id and filter. It guards against mistakes; there is no secret to guard."""
    return urlsafe_b64encode(job_id.bytes + _check(job_id, status, phase)).decode()


def _read_cursor(cursor: str, status: JobStatus | None, phase: Phase | None) -> UUID:
    try:
        content = urlsafe_b64decode(cursor.encode("ascii"))
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    if len(content) != ID_BYTES + CHECK_BYTES:
        raise InvalidCursor
    job_id = UUID(bytes=content[:ID_BYTES])
    if _make_cursor(job_id, status, phase) != cursor:
        raise InvalidCursor
    return job_id


def _check(job_id: UUID, status: JobStatus | None, phase: Phase | None) -> bytes:
    listed = f"{job_id} {status} {phase}".encode()
    return hashlib.blake2b(listed, digest_size=CHECK_BYTES).digest()


# --- one job ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job with its signup and customer, and the newest of what happened to it, oldest first."""

    job: SyncJob
    attempts: list[SyncAttempt]
    audit: list[AuditEntry]
    dead_letters: list[DeadLetter]


def get_job(session: Session, job_id: UUID) -> JobHistory:
    """Return a job and what happened to it, at most the newest 100 of each kind.

    Raises:
        NotFound: when there is no such job.
    """
    job = session.get(SyncJob, job_id, options=[joinedload(SyncJob.signup).joinedload(Signup.customer)])
    if job is None:
        raise NotFound("there is no such job")
    return JobHistory(
        job,
        attempts=_newest_of(session, SyncAttempt, job_id, SyncAttempt.claim_token),
        audit=_newest_of(session, AuditEntry, job_id, AuditEntry.id),
        dead_letters=_newest_of(session, DeadLetter, job_id, DeadLetter.created_at),
    )


def _newest_of(session: Session, model: type[Kept], job_id: UUID, newest: InstrumentedAttribute[Any]) -> list[Kept]:
    statement = select(model).where(model.job_id == job_id).order_by(newest.desc()).limit(NEWEST)
    return list(reversed(session.scalars(statement).all()))


# --- one customer -----------------------------------------------------------------------------------------------------


def find_customer_by_email(session: Session, email: str) -> Customer | None:
    """Return the customer with this address, in whatever case it is written."""
    return session.scalar(select(Customer).where(func.lower(Customer.email) == func.lower(email.strip())))


def find_customer(session: Session, identifier: UUID) -> Customer | None:
    """Return the customer with this id, or the one whose signup has it."""
    owner = select(Signup.customer_id).where(Signup.id == identifier).scalar_subquery()
    return session.get(Customer, identifier) or session.scalar(select(Customer).where(Customer.id == owner))


def list_signups_of(session: Session, customer_id: UUID, *, limit: int) -> list[Signup]:
    """Return a customer's signups, newest first."""
    newest = select(Signup).where(Signup.customer_id == customer_id).order_by(Signup.submitted_at.desc(), Signup.id)
    return list(session.scalars(newest.limit(limit)))


def list_jobs_of(session: Session, signup_ids: Iterable[UUID]) -> list[SyncJob]:
    """Return the jobs of these signups, newest first."""
    wanted = select(SyncJob).where(SyncJob.signup_id.in_(list(signup_ids)))
    return list(session.scalars(wanted.order_by(SyncJob.created_at.desc(), SyncJob.id.desc())))


def list_attempts_of(session: Session, job_ids: Iterable[UUID], *, limit: int) -> list[SyncAttempt]:
    """Return the attempts of these jobs, newest first."""
    wanted = select(SyncAttempt).where(SyncAttempt.job_id.in_(list(job_ids)))
    return list(session.scalars(wanted.order_by(SyncAttempt.finished_at.desc()).limit(limit)))


def list_dead_letters_of(session: Session, signup_ids: Iterable[UUID], *, limit: int) -> list[DeadLetter]:
    """Return the dead letters of these signups, resolved ones too, newest first."""
    wanted = select(DeadLetter).where(DeadLetter.signup_id.in_(list(signup_ids)))
    return list(session.scalars(wanted.order_by(DeadLetter.created_at.desc()).limit(limit)))


# --- one phase --------------------------------------------------------------------------------------------------------


def find_last_delivered_at(session: Session, phase: Phase) -> datetime | None:
    """Return when Customer.io last took a delivery of this phase, or None; what mock mode did does not count."""
    return session.scalar(_delivered(SyncAttempt.finished_at, phase).order_by(SyncAttempt.finished_at.desc()).limit(1))


def count_delivered(session: Session, phase: Phase, *, window: timedelta, at_most: int) -> int:
    """Return how many deliveries of this phase Customer.io took during the last `window`, counting to `at_most`."""
    recent = _delivered(SyncAttempt.id, phase).where(SyncAttempt.finished_at > func.now() - window).limit(at_most)
    return session.scalar(select(func.count()).select_from(recent.subquery())) or 0


def count_owed_since_before(session: Session, phase: Phase, *, age: timedelta, at_most: int) -> int:
    """Return how many jobs of this phase are not done and are about something older than `age`, counting to `at_most`."""
    happened = Signup.submitted_at if phase is Phase.INITIAL else Signup.extraction_confirmed_at
    owed = (
        select(SyncJob.id)
        .join(SyncJob.signup)
        .where(SyncJob.sync_phase == phase, SyncJob.status != JobStatus.COMPLETED, happened < func.now() - age)
        .limit(at_most)
    )
    return session.scalar(select(func.count()).select_from(owed.subquery())) or 0


def _delivered(column: InstrumentedAttribute[C], phase: Phase) -> Select[C]:
    taken = (SyncAttempt.outcome == "delivered", SyncAttempt.mock.is_(False), SyncJob.sync_phase == phase)
    return select(column).join(SyncJob, SyncJob.id == SyncAttempt.job_id).where(*taken)
