"""Metrics: what `/metrics` shows to Prometheus. All of it is read from the database, so it is true for all processes.

What leaves no row is counted by a listener of `events` and added up in the table of counters. Labels are words from fixed
lists; nothing here holds an address, a name or an id.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from cio_tasks import alerts, counters, heartbeats
from cio_tasks.gate import Reason
from cio_tasks.outcomes import WORKER_LOST, ErrorType
from cio_tasks.settings import Settings
from cio_tasks.stats import Stats, read_stats

ATTEMPTS: Final = "attempts"
NO_ERROR: Final = "none"
LATENCY: Final = "delivery_latency"
LATENCY_SUM: Final = "delivery_latency_milliseconds"
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
"""Seconds. A request ends within 15."""
INFINITY: Final = "+Inf"
LABELS: Final = (*map(str, BUCKETS), INFINITY)

Facts = dict[str, Any]


# --- counting ---------------------------------------------------------------------------------------------------------


def count_event(name: str, facts: Facts) -> None:
    """Count the attempt that a fact of `events` tells of, if it does. A process that delivers listens with this."""
    attempt = _attempt_of(name, facts)
    if attempt is None:
        return
    counters.add(ATTEMPTS, "/".join(attempt))
    latency = _latency_of(facts.get("request_id"))
    if latency is not None:
        counters.add(LATENCY, LABELS[bisect_left(BUCKETS, latency)])
        counters.add(LATENCY_SUM, n=round(latency * 1000))


def _attempt_of(name: str, facts: Facts) -> tuple[str, str] | None:
    """Return outcome and error type in the words of the table of attempts, told apart by mock."""
    match name, facts:
        case "sync.completed", {"mock": mock}:
            return ("mocked" if mock else "delivered", NO_ERROR)
        case "sync.retrying", {"error_type": error_type}:
            return ("retry_later", error_type)
        case "sync.failed", {"error_code": code} if code == WORKER_LOST:
            return None  # `sync.worker_lost` was told as well
        case "sync.failed", {"error_type": error_type, "exhausted_retries": exhausted}:
            return ("retry_later" if exhausted else "rejected", error_type)
        case "sync.deferred", {"request_id": str()}:
            return ("released", NO_ERROR)
        case "sync.worker_lost", _:
            return ("worker_lost", ErrorType.OTHER)
    return None


def _latency_of(request_id: str | None) -> float | None:
    """Return the seconds since the request of a delivery began: its id is a UUIDv7, whose first 48 bits are that time.

    It is told once the outcome is committed, so this is from sending to knowing.
    """
    try:
        began = UUID(request_id)
    except (TypeError, ValueError):
        return None  # nothing was sent
    return max(datetime.now(UTC).timestamp() - (began.int >> 80) / 1000, 0.0)


# --- showing ----------------------------------------------------------------------------------------------------------


def expose(session: Session, settings: Settings) -> bytes:
    """Return all metrics in Prometheus's text format, as of now."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(session, settings))
    return generate_latest(registry)


class _Snapshot(Collector):
    """Reads everything once and forms it."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings

    def describe(self) -> Iterable[Metric]:
        """Declare nothing in advance: there is no other collector to collide with."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        stats = read_stats(self._session, stuck_after=self._settings.stuck_after)
        counted = counters.read(self._session)
        yield from _jobs(stats)
        yield _gate(stats)
        yield from _attempts(counted)
        yield _latency(counted)
        yield from _others(counted)
        yield from _alerts(self._session)
        yield from _processes(self._session)


def _jobs(stats: Stats) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("ciosync_jobs", "Jobs by where they stand.", labels=["status", "phase"])
    for phase, counts in stats.by_phase.items():
        for status, count in asdict(counts).items():
            jobs.add_metric([status, phase], count)
    yield jobs
    oldest = stats.oldest_due_seconds or 0
    yield GaugeMetricFamily("ciosync_oldest_due_seconds", "How long the oldest due job has been due.", value=oldest)
    yield GaugeMetricFamily("ciosync_jobs_stuck", "Jobs whose worker has not reported for too long.", value=stats.stuck)
    letters = stats.dead_letters
    yield GaugeMetricFamily("ciosync_dead_letters_unresolved", "Dead letters nobody has resolved.", value=letters)


def _gate(stats: Stats) -> Metric:
    closed = {closing.reason for closing in stats.gate.reasons}
    states = {reason.value: reason in closed for reason in Reason}
    return _gauges("ciosync_gate_closed", "Whether deliveries are stopped for this reason.", "reason", states)


def _attempts(counted: counters.Counts) -> Iterator[Metric]:
    known = [(outcome, error.value) for outcome in ("retry_later", "rejected") for error in ErrorType]
    known += [("delivered", NO_ERROR), ("mocked", NO_ERROR), ("released", NO_ERROR), ("worker_lost", ErrorType.OTHER)]
    values = {"/".join(pair): 0 for pair in known} | _labels_of(counted, ATTEMPTS)
    attempts = CounterMetricFamily(
        "ciosync_attempts", "Tries to deliver a job, by what came of them.", labels=["outcome", "error_type"]
    )
    for label, value in sorted(values.items()):
        attempts.add_metric(label.split("/"), value)
    yield attempts


def _latency(counted: counters.Counts) -> Metric:
    buckets = _labels_of(counted, LATENCY)
    below = accumulate(buckets.get(label, 0) for label in LABELS)
    return HistogramMetricFamily(
        "ciosync_delivery_latency_seconds",
        "From sending a job's request until its outcome was recorded.",
        buckets=list(zip(LABELS, below, strict=True)),
        sum_value=counted.get((LATENCY_SUM, ""), 0) / 1000,
    )


def _others(counted: counters.Counts) -> Iterator[Metric]:
    """What other modules count, as they name it."""
    for name, (meaning, label) in COUNTED.items():
        family = CounterMetricFamily(f"ciosync_{name}", meaning, labels=[label] if label else [])
        values = _labels_of(counted, name) if label else {"": counted.get((name, ""), 0)}
        for word, value in sorted(values.items()):
            family.add_metric([word] if label else [], value)
        yield family


COUNTED: Final = {
    "webhooks": ("Webhooks by what became of them.", "result"),
    "messages_refused": ("What was in the queue and is no message of ours.", "kind"),
    "wakeups_lost": ("Wake-ups that Redis did not take; the sweep finds their jobs.", None),
    "live_events_lost": ("Live events that Redis did not take.", None),
    "counters_refused": ("Counts beyond the labels that a process may have.", None),
}
"""What each counter means, and what its label says, if it has one."""


def _labels_of(counted: counters.Counts, wanted: str) -> dict[str, int]:
    return {label: value for (name, label), value in counted.items() if name == wanted}


def _alerts(session: Session) -> Iterator[Metric]:
    firing = {row.name for row in alerts.list_firing(session)}
    states = {watch.name: watch.name in firing for watch in alerts.WATCHES}
    yield _gauges("ciosync_alert_firing", "Whether this alert is over its threshold.", "alert", states)


def _processes(session: Session) -> Iterator[Metric]:
    workers = {"alive": len(heartbeats.list_alive(session)), "silent": len(heartbeats.list_silent(session))}
    yield _gauges("ciosync_workers", "Workers by whether they were seen lately.", "state", workers)
    silence = heartbeats.since_last_tick(session)
    yield GaugeMetricFamily(
        "ciosync_beat_tick_age_seconds",
        "How long ago a tick of beat was last worked on; infinite when none ever was.",
        value=float("inf") if silence is None else silence.total_seconds(),
    )


def _gauges(name: str, meaning: str, label: str, values: dict[str, Any]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for word, value in values.items():
        family.add_metric([word], float(value))
    return family
