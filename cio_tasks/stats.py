"""How many jobs stand where, exact and at one instant, at a cost that does not grow with the jobs (rows D1 to D3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, Subquery, delete, extract, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cio_tasks import gate
from cio_tasks.claims import due_since, is_due, may_follow
from cio_tasks.gate import Reason
from cio_tasks.models import RowCount, SyncJob
from cio_tasks.states import JobStatus, Phase

ROLL_UP_LOCK: Final = 2_071_511_203
"""The advisory lock of the one roll-up that runs at a time."""
FEW: Final = 1_000
"""So many rows are summed in no time: adding them up would only write."""
MANY: Final = 200_000
"""So many rows are added up in a second or two."""


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """How many jobs are in each status."""

    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Closing:
    """One reason why deliveries may not run."""

    reason: Reason
    closed_at: datetime
    closed_until: datetime | None
    """When it is tried again; None: an operator has to open it."""
    note: str | None
    actor: str | None


@dataclass(frozen=True, slots=True)
class GateState:
    """Whether deliveries may run, and if not, why."""

    open: bool
    reasons: tuple[Closing, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    """The state of all jobs."""

    pending: int
    processing: int
    completed: int
    failed: int
    stuck: int
    """Those of `processing` whose worker has not reported for too long."""
    dead_letters: int
    """The unresolved ones."""
    oldest_due_seconds: float | None
    """For how long the job that waits longest could have run already; None when no job is due.

    An enriched job behind an unfinished initial one is not due, as little as it is for the alert of this name.
    """
    by_phase: dict[Phase, StatusCounts]
    gate: GateState


# --- reading ----------------------------------------------------------------------------------------------------------


def read_stats(session: Session, *, stuck_after: timedelta) -> Stats:
    """Return how many jobs stand where. All numbers come from one statement, and so from one instant.

    A job is stuck when it has been processing for longer than `stuck_after` (row D3).
    """
    kinds = _sum_kinds()
    counts = [_total(kinds, counted="job", status=status, sync_phase=phase) for phase in Phase for status in JobStatus]
    letters = _total(kinds, counted="dead_letter")
    row = session.execute(select(*counts, letters, _count_stuck(stuck_after), _oldest_due_seconds())).one()
    *jobs, dead_letters, stuck, oldest_due = row
    by_phase = {phase: _take(jobs, place) for place, phase in enumerate(Phase)}
    return Stats(
        pending=sum(counts.pending for counts in by_phase.values()),
        processing=sum(counts.processing for counts in by_phase.values()),
        completed=sum(counts.completed for counts in by_phase.values()),
        failed=sum(counts.failed for counts in by_phase.values()),
        stuck=stuck,
        dead_letters=int(dead_letters),
        oldest_due_seconds=None if oldest_due is None else float(oldest_due),
        by_phase=by_phase,
        gate=read_gate(session),
    )


def _take(numbers: list[Any], place: int) -> StatusCounts:
    width = len(JobStatus)
    return StatusCounts(*map(int, numbers[width * place : width * (place + 1)]))


def _sum_kinds() -> Subquery:
    kind = (RowCount.counted, RowCount.status, RowCount.sync_phase)
    return select(*kind, func.sum(RowCount.change).label("total")).group_by(*kind).subquery("kinds")


def _total(kinds: Subquery, **equal: str) -> ColumnElement[int]:
    conditions = [kinds.c[name] == word for name, word in equal.items()]
    return func.coalesce(func.sum(kinds.c.total).filter(*conditions), 0)


def _count_stuck(stuck_after: timedelta) -> ScalarSelect[int]:
    stuck = (SyncJob.status == JobStatus.PROCESSING, SyncJob.updated_at < func.now() - stuck_after)
    return select(func.count()).select_from(SyncJob).where(*stuck).scalar_subquery()


def _oldest_due_seconds() -> ScalarSelect[Any]:
    """Return for how many seconds the first of the queue has been due."""
    oldest = select(due_since()).where(is_due(), may_follow()).order_by(due_since(), SyncJob.id).limit(1)
    return select(extract("epoch", func.now() - oldest.scalar_subquery())).scalar_subquery()


def read_gate(session: Session) -> GateState:
    """Return whether deliveries may run, and if not, why."""
    reasons = tuple(
        Closing(Reason(row.reason), row.closed_at, row.closed_until, row.note, row.actor)
        for row in gate.list_closed(session)
        if row.closed_at is not None
    )
    return GateState(open=not reasons, reasons=reasons)


# --- keeping the counts short -----------------------------------------------------------------------------------------


def roll_up_counts(session: Session, *, more_than: int = FEW, at_most: int = MANY) -> int:
    """Replace the oldest rows of the counts by their sums, if there are `more_than` some; return how many it replaced.

    Nothing is lost or doubled: a row is deleted and added to a sum in one statement, and what other transactions have not
    committed yet is not seen by it. It does nothing while another roll-up runs.
    """
    if not _is_long(session, more_than) or not session.scalar(select(func.pg_try_advisory_xact_lock(ROLL_UP_LOCK))):
        return 0
    kind = (RowCount.counted, RowCount.status, RowCount.sync_phase, RowCount.error_type)
    names = [column.key for column in kind]
    oldest = select(RowCount.id).order_by(RowCount.id).limit(at_most)
    gone = delete(RowCount).where(RowCount.id.in_(oldest)).returning(*kind, RowCount.change).cte("gone")
    total = func.sum(gone.c.change)
    grouped = [gone.c[name] for name in names]
    sums = select(*grouped, total).group_by(*grouped).having(total != 0)
    added = insert(RowCount).from_select([*names, "change"], sums).returning(RowCount.id).cte("added")
    return session.scalar(select(func.count()).select_from(gone).add_cte(added)) or 0


def _is_long(session: Session, more_than: int) -> bool:
    return session.scalar(select(RowCount.id).offset(more_than).limit(1)) is not None
