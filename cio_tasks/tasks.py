"""The Celery tasks: a few lines each. They are called by name, and nobody imports them.

A message carries a job's id and nothing else; the row decides what happens.
"""

import threading
from datetime import timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from celery import Task, signals
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cio_tasks import alerts, events, failpoints, heartbeats, logs, maintenance, metrics, processor, retention, wake
from cio_tasks.backoff import retry_delay
from cio_tasks.celery_app import app
from cio_tasks.countdowns import Countdowns
from cio_tasks.delivery import Verdict
from cio_tasks.heartbeats import Heart
from cio_tasks.live import LiveEvents
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings

SWEEP_LIMIT: Final = 20_000
SWEEP_AT_MOST: Final = timedelta(seconds=10)

_making = threading.Lock()
_countdowns = Countdowns()


class StoreDown(Exception):
    """The database is out of reach; the row waits, and a sweep finds it."""


@app.task(name="cio_tasks.sync_signup", bind=True, max_retries=None)
def sync_signup(self: Task, job_id: str) -> None:
    """Deliver one job; after a failure that may pass come back by Celery's own `retry(countdown=5**n)` (row B6)."""
    runtime = current_runtime()
    result = _guarded(processor.sync_one, runtime, UUID(job_id))
    failpoints.hit("worker.after_record")
    if result is not None and result.verdict is Verdict.RETRYING:
        countdown = retry_delay(result.claim.attempt_count + 1, scale=runtime.settings.time_scale)
        if _countdowns.hold(countdown):
            seconds = countdown.total_seconds()
            failpoints.hit("worker.before_retry_message")
            raise self.retry(countdown=seconds, expires=seconds + wake.EXPIRES_SECONDS)


@app.task(name="cio_tasks.process_due")
def process_due() -> None:
    """Deliver what is due (rule 4); beat calls it every 10 s (row I3)."""
    _guarded(processor.process_due, current_runtime(), limit=SWEEP_LIMIT, at_most=SWEEP_AT_MOST)


@app.task(name="cio_tasks.reset_stuck")
def reset_stuck() -> None:
    """Take stuck jobs back (row D4); beat calls it every 5 s (row I4)."""
    _guarded(maintenance.reset_stuck, current_runtime())


@app.task(name="cio_tasks.watch_alerts")
def watch_alerts() -> None:
    """Look at what is watched and tell what changed (row I1), and keep the counts short; beat calls it every 30 s."""
    _guarded(alerts.watch_alerts, current_runtime())
    _guarded(maintenance.roll_up_counts, current_runtime())


@app.task(name="cio_tasks.prune")
def prune() -> None:
    """Delete what is older than its retention; beat calls it every hour."""
    _guarded(retention.prune, current_runtime())


@app.task(name="cio_tasks.tick")
def tick() -> None:
    """Note that beat is alive. Nothing else sends this."""
    _guarded(heartbeats.note_tick, current_runtime())


def current_runtime() -> Runtime:
    """Return this process's runtime, made when first needed and so after any fork."""
    with _making:
        return _make_runtime()


@cache
def _make_runtime() -> Runtime:
    settings = Settings.from_env()
    failpoints.arm(settings.failpoints)
    events.listen(logs.log_event)
    events.listen(metrics.count_event)
    events.listen(LiveEvents(settings.required_redis_url()))
    return Runtime.from_settings(settings)


@cache
def _heart() -> Heart:
    return Heart(current_runtime())


@signals.worker_ready.connect
def _start_heart(**_: Any) -> None:
    """Say that this worker is alive. Celery calls this again after every reconnection to the broker."""
    _heart().start()


@signals.worker_shutdown.connect
def _stop_heart(**_: Any) -> None:
    """Say that this worker ends as it should; its tasks have ended by now."""
    if _heart.cache_info().currsize:
        _heart().stop()


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    """Begin nothing new: what is claimed is finished or given back at once."""
    if _make_runtime.cache_info().currsize:
        current_runtime().stopping.set()


def _guarded(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call `function`; when the database is away, say so without the rows that its error text holds."""
    try:
        return function(*args, **kwargs)
    except (DBAPIError, PoolTimeout) as error:
        raise StoreDown(type(error).__name__) from None
