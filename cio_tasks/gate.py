"""The gate: whether deliveries may run now (rule 7). One row per reason; closed by replies or by an operator.

While it is closed nothing is claimed and nothing is spent. When the time has come exactly one worker may probe; a good
answer opens it, a bad one closes it for twice as long.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Interval, and_, case, cast, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from cio_tasks.journal import SYSTEM, add_audit
from cio_tasks.models import Gate, SyncAttempt
from cio_tasks.outcomes import CREDENTIALS_AT_FAULT, ErrorType, Outcome, Rejected, RetryLater

OUTAGE_WINDOW: Final = timedelta(seconds=30)
OUTAGE_ATTEMPTS: Final = 20
OUTAGE_CLOSED: Final = timedelta(seconds=15)
LONGEST_CLOSED: Final = timedelta(minutes=5)
UNAUTHORIZED_IN_A_ROW: Final = 3
PROBE_LEASE: Final = timedelta(seconds=30)
"""How long one worker holds the right to probe: twice the deadline of a call, the job's and the region's."""
SHORTEST_LEASE: Final = timedelta(seconds=3)
"""With a time scale: calls take as long as ever, and a second probe meanwhile does no harm."""
PROBE_FAILED: Final = "probe_failed"
"""The code of the attempt that a failed probe leaves."""
PROBES_REMEMBERED: Final = timedelta(minutes=30)
NOTICED_ATTEMPTS: Final = 1_000
"""How many of the newest attempts the outage rule looks at."""


class Reason(StrEnum):
    """Why the gate is closed."""

    OUTAGE = "outage"
    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    OPERATOR = "operator"


def gate_is_open() -> ColumnElement[bool]:
    """Return the condition, for a WHERE, that no reason closes the gate."""
    return ~select(Gate.reason).where(_is_closed(Gate)).exists()


def _is_closed(gate: Any) -> ColumnElement[bool]:
    """A row is closed until a probe opens it; an operator's closing ends by itself when its time is over."""
    elapsed = and_(gate.reason == Reason.OPERATOR, gate.closed_until <= func.now())
    return and_(gate.closed_at.is_not(None), ~func.coalesce(elapsed, False))


def list_closed(session: Session) -> list[Gate]:
    """Return the rows that close the gate now."""
    return list(session.scalars(select(Gate).where(_is_closed(Gate)).order_by(Gate.closed_at)))


def close(session: Session, reason: Reason, *, wait: timedelta | None, note: str, actor: str = SYSTEM) -> bool:
    """Close the gate for `reason` during `wait` (None: until an operator opens it); return whether it was open before.

    A closing never shortens one that stands.
    """
    until = None if wait is None else func.now() + wait
    values = insert(Gate).values(reason=reason, closed_at=func.now(), closed_until=until, note=note, actor=actor)
    endless = or_(Gate.closed_until.is_(None), values.excluded.closed_until.is_(None))
    longer = case((endless, None), else_=func.greatest(Gate.closed_until, values.excluded.closed_until))
    stands = _is_closed(Gate)
    opened = session.scalar(
        values.on_conflict_do_update(
            index_elements=["reason"],
            set_={
                "closed_at": case((stands, Gate.closed_at), else_=func.now()),
                "closed_until": case((stands, longer), else_=values.excluded.closed_until),
                "note": note,
                "actor": actor,
            },
        ).returning(Gate.closed_at == func.now())
    )
    if opened:
        details = {"reason": reason, "seconds": None if wait is None else round(wait.total_seconds(), 3), "note": note}
        add_audit(session, "gate_closed", [{"details": details}], actor=actor)
    return bool(opened)


def open_up(
    session: Session, reasons: Iterable[Reason] | None = None, *, actor: str = SYSTEM, due: bool = False
) -> list[Reason]:
    """Open the gate for these reasons (None: all), or only those of them that are `due`; return those it opened."""
    statement = (
        update(Gate)
        .where(Gate.closed_at.is_not(None))
        .values(closed_at=None, closed_until=None, probing_until=None, failed_probes=0, actor=actor)
        .returning(Gate.reason)
        .execution_options(synchronize_session=False)
    )
    if reasons is not None:
        statement = statement.where(Gate.reason.in_(list(reasons)))
    if due:
        statement = statement.where(Gate.closed_until <= func.now())
    opened = [Reason(reason) for reason in session.scalars(statement)]
    add_audit(session, "gate_opened", [{"details": {"reason": reason}} for reason in opened], actor=actor)
    return opened


@dataclass(frozen=True, slots=True)
class Closed:
    """That the gate has just been closed: why, and for how long."""

    reason: Reason
    wait: timedelta


def close_for(session: Session, outcome: Outcome, *, scale: float, probing: bool = False) -> Closed | None:
    """Close the gate if this outcome, just recorded, calls for it; return that, unless it was closed already.

    What an outage means for the gate when it meets a probe is decided by whoever probes.
    """
    match outcome:
        case RetryLater(error_type=ErrorType.RATE_LIMIT, retry_after=timedelta() as asked):
            closed = Closed(Reason.RATE_LIMIT, asked * scale)
        case RetryLater(error_type=ErrorType.NETWORK | ErrorType.SERVER_ERROR) if not probing and _is_outage(
            session, scale
        ):
            closed = Closed(Reason.OUTAGE, OUTAGE_CLOSED * scale)
        case Rejected(code=code) if code in CREDENTIALS_AT_FAULT and _credentials_fail(session):
            closed = Closed(Reason.AUTH, OUTAGE_CLOSED * scale)
        case _:
            return None
    return closed if close(session, closed.reason, wait=closed.wait, note=outcome.detail) else None


def _is_outage(session: Session, scale: float) -> bool:
    """Tell whether at least 20 attempts ended within 30 s and half of them found Customer.io out of order."""
    recent = (
        select(SyncAttempt.error_type)
        .where(SyncAttempt.finished_at > func.now() - OUTAGE_WINDOW * scale)
        .order_by(SyncAttempt.finished_at.desc())
        .limit(NOTICED_ATTEMPTS)
        .subquery()
    )
    broken = recent.c.error_type.in_([ErrorType.NETWORK, ErrorType.SERVER_ERROR])
    total, failed = session.execute(select(func.count(), func.count().filter(broken)).select_from(recent)).one()
    return bool(total >= OUTAGE_ATTEMPTS and 2 * failed >= total)


def _credentials_fail(session: Session) -> bool:
    """Tell whether the last three answers of Customer.io were all a 401 (or a redirect, which means a wrong region)."""
    last = session.scalars(
        select(SyncAttempt.error_code)
        .where(SyncAttempt.http_status.is_not(None))
        .order_by(SyncAttempt.id.desc())
        .limit(UNAUTHORIZED_IN_A_ROW)
    ).all()
    return len(last) == UNAUTHORIZED_IN_A_ROW and all(code in CREDENTIALS_AT_FAULT for code in last)


def begin_probe(session: Session, *, scale: float = 1.0) -> list[Reason]:
    """Take the right to probe, if the time has come and no other worker holds it; return the reasons it is for.

    The right lapses by itself, so that a worker which dies probing blocks nobody for long.
    """
    other = aliased(Gate)
    still_closed = select(other.reason).where(
        _is_closed(other), or_(other.closed_until.is_(None), other.closed_until > func.now())
    )
    statement = (
        update(Gate)
        .where(
            Gate.closed_at.is_not(None),
            Gate.closed_until <= func.now(),
            Gate.reason != Reason.OPERATOR,
            func.coalesce(Gate.probing_until, text("'-infinity'")) <= func.now(),
            ~still_closed.exists(),
        )
        .values(probing_until=func.now() + max(PROBE_LEASE * scale, SHORTEST_LEASE))
        .returning(Gate.reason)
        .execution_options(synchronize_session=False)
    )
    return [Reason(reason) for reason in session.scalars(statement)]


def count_failed_probes(session: Session, *, scale: float) -> int:
    """Return how many different jobs have failed as probes within half an hour: a few may be bad, many are not."""
    statement = select(func.count(SyncAttempt.job_id.distinct())).where(
        SyncAttempt.finished_at > func.now() - PROBES_REMEMBERED * scale, SyncAttempt.error_code == PROBE_FAILED
    )
    return session.scalar(statement) or 0


def give_up_probe(session: Session, reasons: Iterable[Reason]) -> None:
    """Let another worker probe: this one learned nothing."""
    statement = update(Gate).where(Gate.reason.in_(list(reasons))).values(probing_until=None)
    session.execute(statement.execution_options(synchronize_session=False))


def fail_probe(session: Session, reasons: Iterable[Reason], *, scale: float) -> timedelta:
    """Keep the gate closed after a bad probe, for twice as long as before, at most 5 minutes; return how long."""
    doubled = OUTAGE_CLOSED.total_seconds() * func.power(2, func.least(Gate.failed_probes + 1, 10))
    seconds = func.least(doubled, literal(LONGEST_CLOSED.total_seconds())) * scale
    statement = (
        update(Gate)
        .where(Gate.reason.in_(list(reasons)), Gate.closed_at.is_not(None))
        .values(
            failed_probes=Gate.failed_probes + 1,
            probing_until=None,
            closed_until=func.greatest(Gate.closed_until, func.now() + seconds * literal(timedelta(seconds=1))),
        )
        .returning(cast(Gate.closed_until - func.now(), Interval))
        .execution_options(synchronize_session=False)
    )
    return max(session.scalars(statement), default=timedelta(0))
