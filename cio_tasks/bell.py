"""The bell: the thread of a process that publishes its wake-ups, so that ringing costs the caller next to nothing.

The row decides, so a ring may be lost, doubled or late: after Redis did not answer nothing is tried for a while.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from cio_tasks import counters, failpoints
from cio_tasks.celeryconfig import QUEUE, celery_settings
from cio_tasks.outbox import Outbox
from cio_tasks.settings import Settings

BOUND_SECONDS: Final = 0.1
"""The longest that a connect or an answer of Redis may take."""
QUIET_SECONDS: Final = 5.0
EXPIRES_SECONDS: Final = 600
MOST_AT_ONCE: Final = 100
LOST: Final = "wakeups_lost"

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ring:
    """One message to publish, perhaps to be worked on only after `countdown` seconds."""

    task: str
    arguments: tuple[str, ...] = ()
    countdown: float | None = None


class Bell:
    """Publishes rings from a thread of its own, which starts with the first of them."""

    def __init__(self, settings: Settings) -> None:
        bounds = {"socket_timeout": BOUND_SECONDS, "socket_connect_timeout": BOUND_SECONDS}
        self._window = settings.wake_window
        self._redis = redis.Redis.from_url(settings.required_redis_url(), **bounds, retry=Retry(NoBackoff(), 0))
        self._app = Celery("ciosync publisher", set_as_current=False)
        self._app.conf.update(celery_settings(settings))
        self._app.conf.broker_transport_options = {**bounds, "max_retries": 0, "health_check_interval": 0}
        self._app.conf.broker_connection_timeout = BOUND_SECONDS
        self._outbox: Outbox[Ring] = Outbox(self._publish, name="rings", lost=LOST, at_once=MOST_AT_ONCE)
        self._quiet_until = 0.0
        self._is_away = False

    def put(self, rings: Sequence[Ring]) -> None:
        """Have these published soon; those that do not fit are dropped. Returns at once and raises nothing."""
        self._outbox.put(rings)

    def flush(self, seconds: float) -> bool:
        """Wait until everything put so far was published or dropped; return False when that takes longer."""
        return self._outbox.flush(seconds)

    def close(self) -> None:
        """Let the thread end when it has published what waits. Returns at once."""
        self._outbox.close()

    def _publish(self, rings: Sequence[Ring]) -> None:
        """Publish as many as the window of waiting messages allows; the sweep drains a flood faster than messages do."""
        if time.monotonic() < self._quiet_until:
            counters.add(LOST, n=len(rings))
            return
        sent = 0
        try:
            room = max(0, self._window - cast("int", self._redis.llen(QUEUE)))
            for ring in rings[:room]:
                failpoints.hit("web.while_publishing")
                self._send(ring)
                sent += 1
        except (redis.RedisError, OperationalError, OSError) as error:
            counters.add(LOST, n=len(rings) - sent)
            self._keep_quiet(error)
        else:
            self._is_away = False

    def _send(self, ring: Ring) -> None:
        expires = EXPIRES_SECONDS + (ring.countdown or 0)
        self._app.send_task(ring.task, [*ring.arguments], countdown=ring.countdown, expires=expires, retry=False)

    def _keep_quiet(self, error: Exception) -> None:
        """Try nothing for a while, and say so once for as long as Redis is away."""
        self._quiet_until = time.monotonic() + QUIET_SECONDS
        if not self._is_away:
            log.warning("not ringing while the broker is away, the sweep finds jobs: %s", type(error).__name__)
        self._is_away = True
