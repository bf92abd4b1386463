"""Evidence and verdict in the shape that scripts rely on: camelCase, times in UTC, durations in seconds."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from cio_tasks.customerio.status_page import StatusPage
from cio_tasks.diagnostics.incident.evidence import (
    Attempts,
    Credentials,
    Deployments,
    Evidence,
    Letters,
    Mail,
    Queue,
    Release,
    Tally,
    Unknown,
    Webhooks,
)
from cio_tasks.diagnostics.incident.severity import Verdict
from cio_tasks.diagnostics.telling import iso
from cio_tasks.redaction import redact
from cio_tasks.stats import Closing

LONGEST_TEXT: Final = 2_000
Shape = dict[str, Any]


def shown_verdict(verdict: Verdict, evidence: Evidence) -> Shape:
    """Return the answer of a severity."""
    return {
        "severity": verdict.level.value,
        "reasons": list(verdict.reasons),
        "evidence": shown_evidence(evidence),
        "whyNotWorse": verdict.why_not_worse,
    }


def cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return an answer with every text in it made fit to show: a note or a message may hold what somebody typed."""
    match value:
        case str():
            return redact(value, *secrets, limit=LONGEST_TEXT)
        case dict():
            return {cleaned(name, secrets): cleaned(inner, secrets) for name, inner in value.items()}
        case list() | tuple():
            return [cleaned(inner, secrets) for inner in value]
    return value


def shown_evidence(evidence: Evidence) -> Shape:
    """Return all parts; each has a `state`, `known` or `unknown`, and an unknown one says why."""
    return {name: _shown(getattr(evidence, field)) for name, field in NAMES.items()}


NAMES: Final[Mapping[str, str]] = {
    "statusPage": "status_page",
    "credentials": "credentials",
    "attempts": "attempts",
    "queue": "queue",
    "deadLetters": "letters",
    "mail": "mail",
    "webhooks": "webhooks",
    "deployments": "deployments",
}


def _shown(part: object) -> Shape:
    if isinstance(part, Unknown):
        return {"state": "unknown", "code": part.code, "reason": part.detail}
    return {"state": "known", **SHAPES[type(part)](part)}


def _shown_page(page: StatusPage) -> Shape:
    return {
        "indicator": page.indicator.value,
        "description": page.description,
        "operational": page.operational,
        "degraded": [{"name": one.name, "status": one.status} for one in page.degraded],
        "incidents": [{"name": one.name, "status": one.status, "impact": one.impact} for one in page.incidents],
        "maintenances": list(page.maintenances),
    }


def _shown_credentials(credentials: Credentials) -> Shape:
    return {
        "verdict": credentials.verdict,
        "detail": credentials.detail,
        "answered": credentials.answered,
        "latencySeconds": _seconds(credentials.latency),
    }


def _shown_attempts(attempts: Attempts) -> Shape:
    return {
        "total": attempts.tally.total,
        "failed": attempts.tally.failed,
        "errorRate": attempts.rate,
        "byType": dict(attempts.by_type),
        "byStatus": dict(attempts.by_status),
        "byPhase": {phase: shown_tally(tally) for phase, tally in attempts.by_phase.items()},
        "byRelease": {release: shown_tally(tally) for release, tally in attempts.by_release.items()},
        "perMinute": [shown_tally(minute) for minute in attempts.minutes],
        "highSince": iso(attempts.since),
    }


def shown_tally(tally: Tally) -> Shape:
    """Return how many attempts there were, and how many failed."""
    return {"total": tally.total, "failed": tally.failed}


def _shown_queue(queue: Queue) -> Shape:
    stats = queue.stats
    return {
        "pending": stats.pending,
        "processing": stats.processing,
        "stuck": stats.stuck,
        "deadLetters": stats.dead_letters,
        "oldestDueSeconds": _seconds(queue.oldest_due),
        "workers": queue.workers,
        "silentWorkers": queue.silent_workers,
        "gate": {"open": stats.gate.open, "reasons": [_shown_closing(one) for one in stats.gate.reasons]},
    }


def _shown_closing(closing: Closing) -> Shape:
    return {
        "reason": closing.reason.value,
        "closedAt": iso(closing.closed_at),
        "closedUntil": iso(closing.closed_until),
        "note": closing.note,
    }


def _shown_letters(letters: Letters) -> Shape:
    return {"lastHour": sum(letters.lately.values()), "byType": dict(letters.lately)}


def _shown_mail(mail: Mail) -> Shape:
    return {
        "sent": mail.sent,
        "delivered": mail.delivered,
        "bounced": mail.bounced,
        "complaints": mail.complaints,
        "bounceRate": mail.bounce_rate,
        "complaintRate": mail.complaint_rate,
        "byMetric": dict(mail.counts),
    }


def _shown_webhooks(webhooks: Webhooks) -> Shape:
    return {
        "configured": webhooks.configured,
        "lastReceivedAt": iso(webhooks.last_received_at),
        "stored24h": webhooks.stored_lately,
        "odd24h": webhooks.odd_lately,
        "counters": dict(webhooks.counters),
        "lastRefusedAt": iso(webhooks.last_refused_at),
    }


def _shown_deployments(deployments: Deployments) -> Shape:
    return {
        "releases": [shown_release(one) for one in deployments.releases],
        "recent": [one.name for one in deployments.recent],
        "skew": len(deployments.running) > 1,
    }


def shown_release(release: Release) -> Shape:
    """Return a release and when its workers began."""
    return {
        "release": release.name,
        "workers": release.workers,
        "firstStartedAt": iso(release.first_started_at),
        "lastStartedAt": iso(release.last_started_at),
    }


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else round(duration.total_seconds(), 3)


SHAPES: Final[Mapping[type, Callable[[Any], Shape]]] = {
    StatusPage: _shown_page,
    Credentials: _shown_credentials,
    Attempts: _shown_attempts,
    Queue: _shown_queue,
    Letters: _shown_letters,
    Mail: _shown_mail,
    Webhooks: _shown_webhooks,
    Deployments: _shown_deployments,
}
