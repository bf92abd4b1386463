from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import func
from uuid_utils.compat import uuid7

from cio_tasks import alerts, counters, events, gate, heartbeats, maintenance, transitions, wake
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions
from cio_tasks.gate import Reason
from cio_tasks.metrics import count_event, expose
from cio_tasks.models import SyncAttempt
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.factories import Factory
from tests.integration.counting import begin_at_nought, flush

Shown = dict[tuple[str, ...], float]
Show = Callable[[], Shown]


@pytest.fixture(autouse=True)
def _counting(sessions: Sessions) -> Iterator[None]:
    begin_at_nought(sessions)
    events.listen(count_event)
    yield
    events.unlisten(count_event)
    flush(sessions)


@pytest.fixture
def show(runtime: Runtime) -> Show:
    """Gives every value that is shown now, by its name and the values of its labels in the order of their names."""

    def show() -> Shown:
        flush(runtime.sessions)
        with runtime.sessions() as session:
            families = text_string_to_metric_families(expose(session, runtime.settings).decode())
            samples = [sample for family in families for sample in family.samples]
        return {(sample.name.removeprefix("ciosync_"), *sample.labels.values()): sample.value for sample in samples}

    return show


def attempts(shown: Shown) -> Shown:
    """Return the attempts that there were, by error type and outcome."""
    return {key[1:]: value for key, value in shown.items() if key[0] == "attempts_total" and value}


def without_credentials(runtime: Runtime) -> Runtime:
    mock = runtime.settings.model_copy(update={"customerio_api_key": None})
    return replace(runtime, client=CustomerIO.from_settings(mock))


def lose_a_worker(runtime: Runtime, make: Factory, *, attempt_count: int = 0) -> None:
    """Let a worker claim a job and die, and take the job back."""
    job = make.job(make.signup())
    make.set(job.id, attempt_count=attempt_count)
    with runtime.sessions.begin() as session:
        transitions.claim(session, worker="the dead one", limit=1, job_id=job.id)
    make.set(job.id, updated_at=func.now() - timedelta(hours=1))
    maintenance.reset_stuck(runtime)


def test_a_system_where_nothing_has_happened_shows_every_value_at_nought(show: Show) -> None:
    shown = show()
    assert shown.pop(("beat_tick_age_seconds",)) == float("inf")
    assert set(shown.values()) == {0}
    assert {name for name, *_ in shown} == {
        "jobs",
        "oldest_due_seconds",
        "jobs_stuck",
        "dead_letters_unresolved",
        "gate_closed",
        "attempts_total",
        "delivery_latency_seconds_bucket",
        "delivery_latency_seconds_count",
        "delivery_latency_seconds_sum",
        "wakeups_lost_total",
        "live_events_lost_total",
        "counters_refused_total",
        "alert_firing",
        "workers",
    }


def test_jobs_are_shown_by_status_and_phase(runtime: Runtime, make: Factory, show: Show) -> None:
    make.confirm(make.signup())
    make.signup("ada+400@example.com")
    process_due(runtime, limit=10)
    make.signup()
    shown = show()
    assert (shown["jobs", "initial", "completed"], shown["jobs", "enriched", "completed"]) == (1, 1)
    assert (shown["jobs", "initial", "failed"], shown["jobs", "initial", "pending"]) == (1, 1)
    assert shown["dead_letters_unresolved",] == 1


def test_what_is_late_is_shown(runtime: Runtime, make: Factory, show: Show) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() - timedelta(minutes=2))
    stuck = make.job(make.signup())
    with runtime.sessions.begin() as session:
        transitions.claim(session, worker="the dead one", limit=1, job_id=stuck.id)
    make.set(stuck.id, updated_at=func.now() - timedelta(hours=1))
    shown = show()
    assert 120 <= shown["oldest_due_seconds",] < 180
    assert shown["jobs_stuck",] == 1


def test_a_closed_gate_is_shown_by_its_reason(runtime: Runtime, show: Show) -> None:
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.OPERATOR, wait=None, note="maintenance")
    closed = {labels[0]: value for (name, *labels), value in show().items() if name == "gate_closed"}
    assert closed == {"outage": 0, "rate_limit": 0, "auth": 0, "operator": 1}


def test_attempts_are_counted_as_they_are_stored(runtime: Runtime, make: Factory, show: Show) -> None:
    """The counter outlives the rows, so it has to be told whatever is written."""
    for email in ("ada@example.com", "ada+400@example.com", "ada+500@example.com", "ada+429@example.com"):
        make.signup(email)
        process_due(runtime, limit=1)
    with runtime.sessions.begin() as session:
        gate.open_up(session)
    make.set(make.job(make.signup("ada+503@example.com")).id, attempt_count=5)
    process_due(runtime, limit=1)
    make.signup()
    process_due(without_credentials(runtime), limit=1)
    lose_a_worker(runtime, make)
    stored = Counter(
        (attempt.error_type or "none", "mocked" if attempt.mock else attempt.outcome)
        for attempt in make.all(SyncAttempt)
    )
    assert len(stored) == 6
    assert attempts(show()) == stored


def test_the_last_crash_of_a_job_is_counted_once(runtime: Runtime, make: Factory, show: Show) -> None:
    lose_a_worker(runtime, make, attempt_count=5)
    assert sum(attempts(show()).values()) == len(make.all(SyncAttempt)) == 1


def test_a_probe_that_fails_is_counted_as_released(runtime: Runtime, make: Factory, show: Show) -> None:
    make.signup("ada+500x9@example.com")
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.OUTAGE, wait=timedelta(0), note="an outage")
    process_due(runtime, limit=1)
    assert attempts(show()) == {("none", "released"): 1}


def test_what_was_never_sent_is_no_attempt(show: Show) -> None:
    events.emit("sync.deferred", request_id=None, error_code="stopping")
    assert attempts(show()) == {}


def test_the_latency_of_deliveries_is_a_histogram(runtime: Runtime, make: Factory, show: Show) -> None:
    for _ in range(3):
        make.signup()
    process_due(runtime, limit=10)
    shown = show()
    below = [value for (name, *_), value in shown.items() if name == "delivery_latency_seconds_bucket"]
    assert below == sorted(below)
    assert shown["delivery_latency_seconds_bucket", "30.0"] == shown["delivery_latency_seconds_count",] == 3
    assert 0 < shown["delivery_latency_seconds_sum",] < 60


@pytest.mark.parametrize(("seconds", "bucket"), [(0.2, "0.25"), (4.9, "5.0"), (14, "15.0"), (40, "+Inf")])
def test_a_latency_falls_into_the_bucket_above_it(show: Show, seconds: float, bucket: str) -> None:
    began = (uuid7().int >> 80) - round(seconds * 1000)
    request_id = f"{began:012x}"[:8] + "-" + f"{began:012x}"[8:] + "-7000-8000-000000000000"
    events.emit("sync.completed", mock=False, request_id=request_id)
    shown = show()
    first = next(key[1] for key, value in shown.items() if key[0] == "delivery_latency_seconds_bucket" and value)
    assert first == bucket
    assert seconds <= shown["delivery_latency_seconds_sum",] < seconds + 1


def test_a_mocked_delivery_has_no_latency(show: Show) -> None:
    events.emit("sync.completed", mock=True, request_id="mock")
    assert show()["delivery_latency_seconds_count",] == 0


def test_what_other_modules_count_is_shown(show: Show) -> None:
    counters.add("webhooks", "stored", n=3)
    counters.add("webhooks", "duplicate")
    counters.add("messages_refused", "malformed")
    counters.add("live_events_lost", n=2)
    shown = show()
    assert (shown["webhooks_total", "stored"], shown["webhooks_total", "duplicate"]) == (3, 1)
    assert (shown["messages_refused_total", "malformed"], shown["live_events_lost_total",]) == (1, 2)


def test_a_wake_up_that_redis_does_not_take_is_counted(runtime: Runtime, make: Factory, show: Show) -> None:
    wake.configure(runtime.settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    make.signup()
    make.signup()
    assert wake.flush(5)
    wake.configure(runtime.settings)
    assert show()["wakeups_lost_total",] == 2


def test_alerts_that_fire_are_shown(runtime: Runtime, make: Factory, show: Show) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() - timedelta(minutes=20))
    alerts.watch_alerts(runtime)
    shown = show()
    assert (shown["alert_firing", "oldest_due"], shown["alert_firing", "dead_letters"]) == (1, 0)


def test_workers_and_beat_are_shown(runtime: Runtime, show: Show) -> None:
    heartbeats.report(runtime)
    heartbeats.note_tick(runtime)
    shown = show()
    assert (shown["workers", "alive"], shown["workers", "silent"]) == (1, 0)
    assert 0 <= shown["beat_tick_age_seconds",] < 10


def test_nothing_personal_is_shown(runtime: Runtime, make: Factory) -> None:
    make.signup("canary+400@example.com", first_name="Canary")
    process_due(runtime, limit=10)
    alerts.watch_alerts(runtime)
    heartbeats.report(runtime)
    flush(runtime.sessions)
    with runtime.sessions() as session:
        exposed = expose(session, runtime.settings).decode().lower()
    assert "canary" not in exposed
    assert runtime.worker.split(":")[0] not in exposed
