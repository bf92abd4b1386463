"""The failures: the jobs that were given up, whose they are, and what they have in common (rows C1 to C5)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, cast, false, func, literal_column, select
from sqlalchemy.orm import Session

from cio_tasks.models import Customer, DeadLetter, RowCount, Signup, SyncJob
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

EXPORTED_AT_ONCE: Final = 500
"""Rows of an export that are in memory at a time."""
MOST_GROUPS: Final = 200
HOUR: Final = timedelta(hours=1)
NOT_THE_CAUSE: Final = (
    r"[^\s@]+@[^\s@]+"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|\m(?=[A-Za-z]*[0-9])[A-Za-z0-9]{10,}\M"
    r"|[0-9]+"
)
"""What differs between messages of one cause: addresses, UUIDs, other ids, numbers. A regular expression of Postgres."""

Rows = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which failures are meant; what is None, or an empty search, does not matter (rows C2 to C4)."""

    phase: Phase | None = None
    error_type: ErrorType | None = None
    search: str | None = None
    """A part of "first name, last name, e-mail", each a space apart, in any case, every character meant literally."""
    job_ids: Collection[UUID] | None = None
    """Only these jobs. An empty collection means none."""

    @property
    def words(self) -> dict[str, Any]:
        """The filter as an audit may keep it: that somebody was searched for, never whom."""
        return {
            "syncPhase": self.phase,
            "errorType": self.error_type,
            "search": bool(self.search),
            "ids": None if self.job_ids is None else len(self.job_ids),
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that was given up, with its signup, its customer, and the dead letter that says why."""

    job: SyncJob
    signup: Signup
    customer: Customer
    dead_letter: DeadLetter | None
    """None only when somebody has changed rows by hand."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures that have the same cause, as far as error type, HTTP status and message tell."""

    error_type: str | None
    http_status: int | None
    message: str
    """Without what differs from job to job: `#` stands there."""
    total: int
    last_hour: int
    last_day: int
    last_week: int
    first_seen: datetime
    last_seen: datetime
    example_job_id: UUID

    @property
    def fingerprint(self) -> str:
        """What the group has in common, in one line."""
        return f"{self.error_type or '-'} · {self.http_status or '-'} · {self.message}"


# --- the list ---------------------------------------------------------------------------------------------------------


def list_failures(session: Session, wanted: FailureFilter, *, limit: int, offset: int = 0) -> list[Failure]:
    """Return a page of the failures, those with the most attempts first, then the latest (rows C1, C5).

    The page is cut from an index before anything is joined, so it costs the same however many failures there are.
    """
    page = _worst_first(_select_jobs(wanted, SyncJob.id)).limit(limit).offset(offset).subquery("page")
    rows = session.execute(_worst_first(_with_people().join(page, page.c.id == SyncJob.id)))
    return [Failure(*row) for row in rows]


def iterate_failures(session: Session, wanted: FailureFilter) -> Iterator[Failure]:
    """Yield all failures in the order of the list, as they were at one instant, a few hundred in memory at a time."""
    statement = _worst_first(_with_people().where(*_conditions(wanted)))
    for row in session.execute(statement.execution_options(yield_per=EXPORTED_AT_ONCE)):
        yield Failure(*row)


def list_job_ids(session: Session, wanted: FailureFilter, *, limit: int | None = None) -> list[tuple[UUID, UUID]]:
    """Return the signup and the job of the first `limit` failures (None: of all), in the order of the list."""
    statement = _worst_first(_select_jobs(wanted, SyncJob.signup_id, SyncJob.id)).limit(limit)
    return [(signup_id, job_id) for signup_id, job_id in session.execute(statement)]


def count_failures(session: Session, wanted: FailureFilter) -> int:
    """Return how many failures there are. Only for a search or a choice of jobs they are counted one by one."""
    if wanted.search or wanted.job_ids is not None:
        return session.scalar(_select_jobs(wanted, func.count())) or 0
    kinds = [RowCount.counted == "job", RowCount.status == JobStatus.FAILED]
    if wanted.phase is not None:
        kinds.append(RowCount.sync_phase == wanted.phase)
    if wanted.error_type is not None:
        kinds.append(RowCount.error_type == wanted.error_type)
    return int(session.scalar(select(func.sum(RowCount.change)).where(*kinds)) or 0)


def _worst_first(statement: Rows) -> Rows:
    return statement.order_by(SyncJob.attempt_count.desc(), SyncJob.last_attempt_at.desc().nulls_last(), SyncJob.id)


def _select_jobs(wanted: FailureFilter, *columns: Any) -> Rows:
    statement = select(*columns).select_from(SyncJob).where(*_conditions(wanted))
    return statement.join(SyncJob.signup).join(Signup.customer) if wanted.search else statement


def _with_people() -> Rows:
    unresolved = and_(DeadLetter.job_id == SyncJob.id, DeadLetter.resolved_at.is_(None))
    people = select(SyncJob, Signup, Customer, DeadLetter).join(SyncJob.signup).join(Signup.customer)
    return people.outerjoin(DeadLetter, unresolved)


def _conditions(wanted: FailureFilter) -> list[ColumnElement[bool]]:
    conditions = [SyncJob.status == JobStatus.FAILED]
    if wanted.phase is not None:
        conditions.append(SyncJob.sync_phase == wanted.phase)
    if wanted.error_type is not None:
        conditions.append(SyncJob.error_type == wanted.error_type)
    if wanted.job_ids is not None:
        conditions.append(SyncJob.id.in_(wanted.job_ids))
    if wanted.search:
        conditions.append(_is_found_by(wanted.search))
    return conditions


def _is_found_by(term: str) -> ColumnElement[bool]:
    """Return the condition that a customer's name and e-mail hold `term`. `ix_customers_search` is on this expression.

    Both sides are lowered by the database, since Python lowers some letters differently. What no text in a database can
    hold, NUL and halves of surrogate pairs, is found nowhere.
    """
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in term):
        return false()
    space: ColumnElement[str] = literal_column("' '")
    searched = Customer.first_name + space + Customer.last_name + space + Customer.email
    literal = term.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return func.lower(searched).like(func.lower(f"%{literal}%"))


# --- groups -----------------------------------------------------------------------------------------------------------


def list_groups(session: Session, wanted: FailureFilter, *, limit: int = MOST_GROUPS) -> list[FailureGroup]:
    """Return what the failures have in common, the largest group first.

    Equal messages are counted first, so that the regular expression reads each only once.
    """
    alike = _count_alike(wanted).subquery("alike")
    cause = (
        alike.c.error_type,
        alike.c.http_status,
        func.regexp_replace(func.coalesce(alike.c.error_message, ""), NOT_THE_CAUSE, "#", "g"),
    )
    counts = [func.sum(alike.c[name]) for name in ("total", "last_hour", "last_day", "last_week")]
    seen = [func.min(alike.c.first_seen), func.max(alike.c.last_seen)]
    statement = (
        select(*cause, *counts, *seen, func.max(alike.c.example_job_id))
        .group_by(*cause)
        .order_by(counts[0].desc(), seen[1].desc())
        .limit(limit)
    )
    return [_group(*row) for row in session.execute(statement)]


def _count_alike(wanted: FailureFilter) -> Rows:
    """Count the failures whose error is the same to the letter. Seen is when the job was given up."""
    seen = func.coalesce(DeadLetter.created_at, SyncJob.last_attempt_at, SyncJob.updated_at)
    error = (SyncJob.error_type, SyncJob.http_status, SyncJob.error_message)
    within = [
        func.count().filter(seen > func.now() - age).label(f"last_{name}")
        for name, age in (("hour", HOUR), ("day", 24 * HOUR), ("week", 7 * 24 * HOUR))
    ]
    unresolved = and_(DeadLetter.job_id == SyncJob.id, DeadLetter.resolved_at.is_(None))
    return (
        _select_jobs(
            wanted,
            *error,
            func.count().label("total"),
            *within,
            func.min(seen).label("first_seen"),
            func.max(seen).label("last_seen"),
            func.max(cast(SyncJob.id, Text)).label("example_job_id"),
        )
        .outerjoin(DeadLetter, unresolved)
        .group_by(*error)
    )


def _group(error_type: str | None, http_status: int | None, message: str, *facts: Any) -> FailureGroup:
    *counts, first_seen, last_seen, example = facts
    total, last_hour, last_day, last_week = map(int, counts)
    return FailureGroup(
        error_type=error_type,
        http_status=http_status,
        message=message,
        total=total,
        last_hour=last_hour,
        last_day=last_day,
        last_week=last_week,
        first_seen=first_seen,
        last_seen=last_seen,
        example_job_id=UUID(example),
    )
