"""What happened, and when: the closings of the gate, the alerts, the first failures, the deployments."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks import alerts, gate
from cio_tasks.diagnostics.incident.evidence import Deployments
from cio_tasks.diagnostics.incident.stored import DELIVERED, reached_out, read_deployments
from cio_tasks.diagnostics.telling import iso
from cio_tasks.gate import Reason
from cio_tasks.journal import SYSTEM
from cio_tasks.models import AuditEntry, DeadLetter, SyncAttempt

CLOSED: Final = "gate_closed"
OPENED: Final = "gate_opened"
MOST: Final = 200
"""Changes of the gate that are read, the newest; a gate that flaps more often than that has been told enough."""


@dataclass(frozen=True, slots=True)
class Closure:
    """One time for which the gate was closed. Without `closed_at` it began earlier; without `opened_at` it lasts."""

    reason: str
    closed_at: datetime | None
    opened_at: datetime | None
    note: str | None
    by_person: bool

    def lasted(self, since: datetime, until: datetime) -> timedelta:
        """Return for how much of the time between the two it was closed."""
        return (self.opened_at or until) - max(self.closed_at or since, since)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened."""

    at: datetime
    what: str

    def shown(self) -> dict[str, Any]:
        """Return the shape for scripts."""
        return {"at": iso(self.at), "what": self.what}


# --- the gate ---------------------------------------------------------------------------------------------------------


def list_closures(session: Session, *, since: datetime, until: datetime) -> list[Closure]:
    """Return the closings of the gate that touch the time between the two, the oldest first."""
    began: dict[str, AuditEntry] = {}
    found: list[Closure] = []
    for entry in _changes(session, since, until):
        reason = str(entry.details.get("reason"))
        if entry.action == CLOSED:
            found += _elapsed(began.pop(reason, None), entry.created_at)
            began[reason] = entry
        else:
            found.append(_closure(reason, began.pop(reason, None), entry.created_at))
    for reason, entry in began.items():
        found += _elapsed(entry, until) or [_closure(reason, entry, None)]
    found += _older(session, {closure.reason for closure in found}, since)
    return sorted(found, key=lambda closure: closure.closed_at or since)


def _changes(session: Session, since: datetime, until: datetime) -> list[AuditEntry]:
    made = [AuditEntry.created_at > since, AuditEntry.created_at <= until, AuditEntry.action.in_([CLOSED, OPENED])]
    newest = select(AuditEntry).where(*made).order_by(AuditEntry.created_at.desc(), AuditEntry.id.desc()).limit(MOST)
    return list(reversed(session.scalars(newest).all()))


def _closure(reason: str, entry: AuditEntry | None, opened_at: datetime | None) -> Closure:
    if entry is None:
        return Closure(reason, None, opened_at, None, by_person=False)
    return Closure(reason, entry.created_at, opened_at, entry.details.get("note"), by_person=entry.actor != SYSTEM)


def _elapsed(entry: AuditEntry | None, by: datetime) -> list[Closure]:
    """Return the closing of an operator that ended by itself before `by`: nobody writes that down."""
    if entry is None or entry.details.get("reason") != Reason.OPERATOR or not entry.details.get("seconds"):
        return []
    ended = entry.created_at + timedelta(seconds=float(entry.details["seconds"]))
    return [_closure(Reason.OPERATOR, entry, ended)] if ended <= by else []


def _older(session: Session, known: Iterable[str], since: datetime) -> list[Closure]:
    """Return what was closed before `since` and still is: nothing was written of it in between."""
    return [
        Closure(row.reason, row.closed_at, None, row.note, by_person=row.actor != SYSTEM)
        for row in gate.list_closed(session)
        if row.reason not in known and row.closed_at is not None and row.closed_at <= since
    ]


# --- all of it --------------------------------------------------------------------------------------------------------


def list_moments(session: Session, *, since: datetime, until: datetime) -> list[Moment]:
    """Return what is known to have happened between the two, in its order."""
    moments = [*_gate_moments(list_closures(session, since=since, until=until), since)]
    moments += _first(session, since, until)
    moments += [Moment(row.breached_at, f"alert {row.name}") for row in alerts.list_firing(session) if row.breached_at]
    moments += _starts(read_deployments(session))
    return sorted((one for one in moments if since < one.at <= until), key=lambda one: one.at)


def _gate_moments(closures: Iterable[Closure], since: datetime) -> Iterable[Moment]:
    for closure in closures:
        who = "an operator" if closure.by_person else "the replies of Customer.io"
        note = f" ({closure.note})" if closure.note else ""
        yield Moment(closure.closed_at or since, f"gate closed by {who}: {closure.reason}{note}")
        if closure.opened_at is not None:
            yield Moment(closure.opened_at, f"gate opened: {closure.reason}")


def _first(session: Session, since: datetime, until: datetime) -> Iterable[Moment]:
    """Yield the first failed attempt and the first dead letter."""
    within = [SyncAttempt.finished_at > since, SyncAttempt.finished_at <= until, *reached_out()]
    failing = select(SyncAttempt).where(*within, SyncAttempt.outcome != DELIVERED)
    attempt = session.scalars(failing.order_by(SyncAttempt.finished_at).limit(1)).first()
    if attempt is not None:
        kind = attempt.http_status or attempt.error_code
        yield Moment(attempt.finished_at, f"first failed attempt: {attempt.error_type}, {kind}")
    buried = session.scalar(select(func.min(DeadLetter.created_at)).where(DeadLetter.created_at > since))
    if buried is not None:
        yield Moment(buried, "first dead letter")


def _starts(deployments: Deployments) -> Iterable[Moment]:
    for release in deployments.releases:
        yield Moment(release.first_started_at, f"first known worker of release {release.name} started")
