"""What happened in a time: attempts, errors, closings of the gate, dead letters, releases and webhooks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks import alerts, webhook_events
from cio_tasks.diagnostics.incident.evidence import Release, Tally
from cio_tasks.diagnostics.incident.history import Closure, list_closures
from cio_tasks.diagnostics.incident.shapes import shown_release, shown_tally
from cio_tasks.diagnostics.incident.stored import DELIVERED, Count, count_attempts, read_deployments, read_now
from cio_tasks.diagnostics.telling import iso
from cio_tasks.models import Alert, AuditEntry, DeadLetter

MANUAL_RETRY: Final = "manual_retry"
MOST_STEPS: Final = 60
"""So many fit into a line of a terminal."""
STEPS: Final = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15)),
    *(timedelta(hours=hours) for hours in (1, 6)),
    *(timedelta(days=days) for days in (1, 7)),
)
UNRESOLVED: Final = "unresolved"


@dataclass(frozen=True, slots=True)
class Group:
    """Failed attempts that are alike."""

    error_type: str
    status: str
    count: int
    first_seen: datetime
    """When the step began in which the first one ended."""
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """All that happened. `steps` says by time, the oldest first, how many attempts there were and how many failed."""

    since: datetime
    until: datetime
    step: timedelta
    steps: tuple[tuple[datetime, Tally], ...]
    by_phase: Mapping[str, Tally]
    by_release: Mapping[str, Tally]
    groups: tuple[Group, ...]
    retries: int
    """Attempts that were not the first of their job."""
    manual_retries: int
    closures: tuple[Closure, ...]
    letters: Mapping[str, int]
    """The dead letters that were made, by what became of them."""
    alerts: tuple[Alert, ...]
    releases: tuple[Release, ...]
    webhooks: Mapping[str, int]

    @property
    def tally(self) -> Tally:
        """All attempts."""
        return sum((tally for _, tally in self.steps), Tally())

    def shown(self) -> dict[str, Any]:
        """Return the shape for scripts."""
        by_type = Counter[str]()
        for group in self.groups:
            by_type[group.error_type] += group.count
        return {
            "since": iso(self.since),
            "until": iso(self.until),
            "stepSeconds": int(self.step.total_seconds()),
            "attempts": {**shown_tally(self.tally), "retries": self.retries, "manualRetries": self.manual_retries},
            "steps": [{"from": iso(begin), **shown_tally(tally)} for begin, tally in self.steps],
            "byType": dict(by_type),
            "byPhase": {phase: shown_tally(tally) for phase, tally in self.by_phase.items()},
            "byRelease": {release: shown_tally(tally) for release, tally in self.by_release.items()},
            "groups": [_shown_group(group) for group in self.groups],
            "gate": [self._shown_closure(closure) for closure in self.closures],
            "deadLetters": {"made": sum(self.letters.values()), "byResolution": dict(self.letters)},
            "alerts": [_shown_alert(alert) for alert in self.alerts],
            "releases": [shown_release(release) for release in self.releases],
            "webhooks": dict(self.webhooks),
        }

    def _shown_closure(self, closure: Closure) -> dict[str, Any]:
        return {
            "reason": closure.reason,
            "closedAt": iso(closure.closed_at),
            "openedAt": iso(closure.opened_at),
            "seconds": round(closure.lasted(self.since, self.until).total_seconds(), 1),
            "byPerson": closure.by_person,
            "note": closure.note,
        }


def _shown_group(group: Group) -> dict[str, Any]:
    seen = {"firstSeen": iso(group.first_seen), "lastSeen": iso(group.last_seen)}
    return {"errorType": group.error_type, "status": group.status, "count": group.count, **seen}


def _shown_alert(alert: Alert) -> dict[str, Any]:
    times = {"breachedAt": iso(alert.breached_at), "toldAt": iso(alert.told_at)}
    return {"name": alert.name, "firing": alert.breached_at is not None, "value": alert.value, **times}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_report(session: Session, since: datetime | timedelta) -> Report:
    """Return what happened since then, or within that time; the clock is the database's.

    Raises:
        ValueError: when that is not in the past.
    """
    now = read_now(session)
    begin = now - since if isinstance(since, timedelta) else since
    if begin >= now:
        raise ValueError("must be in the past")
    step = next((step for step in STEPS if (now - begin) / step <= MOST_STEPS), STEPS[-1])
    counts = count_attempts(session, since=begin, until=now, step=step, origin=begin)
    return Report(
        since=begin,
        until=now,
        step=step,
        steps=_by_step(counts, begin, now, step),
        by_phase=_sums((count.phase, count) for count in counts),
        by_release=_sums((count.release, count) for count in counts),
        groups=_groups(counts, step),
        retries=sum(count.count for count in counts if count.is_retry),
        manual_retries=_count_manual_retries(session, begin),
        closures=tuple(list_closures(session, since=begin, until=now)),
        letters=_count_letters(session, begin),
        alerts=_list_alerts(session, begin),
        releases=tuple(one for one in read_deployments(session).releases if one.workers or one.last_started_at > begin),
        webhooks=webhook_events.count_by_metric(session, window=now - begin),
    )


def _by_step(
    counts: Iterable[Count], begin: datetime, end: datetime, step: timedelta
) -> tuple[tuple[datetime, Tally], ...]:
    tallies = _sums((count.begin, count) for count in counts)
    number = -(-(end - begin) // step)
    times = [begin + place * step for place in range(number)]
    return tuple((time, tallies.get(time, Tally())) for time in times)


def _sums(keyed: Iterable[tuple[Any, Count]]) -> dict[Any, Tally]:
    sums: dict[Any, Tally] = defaultdict(Tally)
    for key, count in keyed:
        sums[key] += count.tally
    return dict(sums)


def _groups(counts: Iterable[Count], step: timedelta) -> tuple[Group, ...]:
    alike: dict[tuple[str, str], list[Count]] = defaultdict(list)
    for count in counts:
        if count.outcome != DELIVERED:
            alike[count.error_type or "other", count.status].append(count)
    groups = [
        Group(
            *kind,
            sum(one.count for one in members),
            min(one.begin for one in members),
            max(one.begin for one in members) + step,
        )
        for kind, members in alike.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))


def _count_manual_retries(session: Session, since: datetime) -> int:
    made = select(func.count()).where(AuditEntry.action == MANUAL_RETRY, AuditEntry.created_at > since)
    return session.scalar(made) or 0


def _count_letters(session: Session, since: datetime) -> dict[str, int]:
    became = func.coalesce(DeadLetter.resolution, UNRESOLVED)
    made = select(became, func.count()).where(DeadLetter.created_at > since).group_by(became).order_by(became)
    return {str(word): count for word, count in session.execute(made)}


def _list_alerts(session: Session, since: datetime) -> tuple[Alert, ...]:
    """Return the alerts that fire, and those of which something was told; the rest has left no trace but in the log."""
    told = session.scalars(select(Alert).where(Alert.told_at > since, Alert.breached_at.is_(None)).order_by(Alert.name))
    return (*alerts.list_firing(session), *told)
