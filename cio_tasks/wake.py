"""Ringing the bell: the bounded, best-effort publisher (rule 3).

A message only wakes a worker. It may be lost, doubled or late, because the row decides; so publishing never takes long and
never fails the caller, and stays quiet for a while after Redis did not answer.
"""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from cio_tasks.celeryconfig import QUEUE, celery_settings
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings

BOUND_SECONDS: Final = 0.1
"""The longest that a connect or an answer of Redis may take; two of them make up one ring."""
MOST_CALLERS: Final = 64
"""Connections of the publisher: with fewer than there are threads, one waits for another."""
QUIET_SECONDS: Final = 5.0
EXPIRES_SECONDS: Final = 600


class Bell:
    """Publishes messages for this process. Use `ring` and `sweep_after`."""

    def __init__(self, settings: Settings) -> None:
        bounds = {"socket_timeout": BOUND_SECONDS, "socket_connect_timeout": BOUND_SECONDS}
        self._window = settings.wake_window
        self._redis = redis.Redis.from_url(settings.required_redis_url(), **bounds, retry=Retry(NoBackoff(), 0))
        self._app = Celery("ciosync publisher", set_as_current=False)
        self._app.conf.update(celery_settings(settings))
        self._app.conf.broker_transport_options = {**bounds, "max_retries": 0, "health_check_interval": 0}
        self._app.conf.broker_connection_timeout = BOUND_SECONDS
        self._app.conf.broker_pool_limit = MOST_CALLERS
        self._quiet_until = 0.0

    def ring(self, job_ids: Sequence[UUID]) -> None:
        """Wake a worker for each job, as far as the window of waiting messages allows."""
        self._publish("cio_tasks.sync_signup", [[str(job_id)] for job_id in job_ids])

    def sweep_after(self, wait: timedelta) -> None:
        """Ask for a sweep once `wait` is over, so that a gate is probed when its time has come."""
        self._publish("cio_tasks.process_due", [[]], countdown=wait.total_seconds())

    def _publish(self, task: str, calls: Sequence[list[str]], countdown: float | None = None) -> None:
        if time.monotonic() < self._quiet_until:
            return
        until = time.monotonic() + BOUND_SECONDS
        try:
            room = self._window - cast("int", self._redis.llen(QUEUE))
            for args in calls[: max(room, 0)]:
                if time.monotonic() > until:
                    return
                self._app.send_task(
                    task, args, countdown=countdown, expires=EXPIRES_SECONDS + (countdown or 0), retry=False
                )
        except (redis.RedisError, OperationalError, OSError) as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logging.getLogger(__name__).warning("not ringing for %s s: %s", QUIET_SECONDS, type(error).__name__)


class _Current:
    """The bell of this process, made when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._absent = False

    def set(self, settings: Settings) -> None:
        with self._lock:
            self._absent = settings.redis_url is None
            self._bell = None if self._absent else Bell(settings)

    def get(self) -> Bell | None:
        with self._lock:
            if self._bell is None and not self._absent:
                self._bell = self._from_env()
            return self._bell

    def _from_env(self) -> Bell | None:
        try:
            return Bell(Settings.from_env())
        except CioTasksError as error:
            self._absent = True
            logging.getLogger(__name__).warning("not ringing, the sweep alone finds jobs: %s", error)
            return None


_current: Final = _Current()


def configure(settings: Settings) -> None:
    """Ring for these settings from now on. A process that does not call this rings for its environment's."""
    _current.set(settings)


def ring(job_ids: Sequence[UUID]) -> None:
    """Wake a worker for each of these jobs, at best effort: never an error, never more than a quarter of a second."""
    bell = _current.get() if job_ids else None
    if bell is not None:
        bell.ring(job_ids)


def sweep_after(wait: timedelta) -> None:
    """Ask for a sweep after `wait`, at best effort."""
    bell = _current.get()
    if bell is not None:
        bell.sweep_after(wait)
