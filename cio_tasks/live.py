"""Live events: what a process that delivers tells the Socket.IO clients, through Redis (rows E4, E5).

Events are hints: ids and words, no names. They leave in a thread of their own, so that a delivery never waits for Redis;
while that is away they are lost and counted, and nothing else is. They are written in the words of python-socketio's queue,
but not by its manager, which does not tell whether an event was lost.
"""

import atexit
import json
import logging
import queue
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cio_tasks import counters

SYNCED: Final = "sign_up.customerio_synced"
SYNC_FAILED: Final = "sign_up.customerio_sync_failed"
COMMON: Final = ("signupId", "jobId", "syncPhase", "operatorId", "at")
FIELDS: Final = {SYNCED: {*COMMON, "contactId", "mock"}, SYNC_FAILED: {*COMMON, "errorType", "exhaustedRetries"}}
"""What each event carries, and nothing else."""

CHANNEL: Final = "flask-socketio"
"""The channel that Flask-SocketIO has by default."""
LOST: Final = "live_events_lost"

MOST_WAITING: Final = 1_000
"""Events that wait while Redis is slow or away; what comes beyond is lost."""
BOUND_SECONDS: Final = 0.5
"""The longest that a connect or an answer of Redis may take."""
PAUSE_SECONDS: Final = 1.0
"""Between two tries while Redis is away."""
LAST_WORDS: Final = timedelta(seconds=0.5)
"""How long a process that ends waits for its last events to leave."""


class LiveEvents:
    """A listener that passes the end of a job on to the Socket.IO clients. Calling it costs microseconds."""

    def __init__(self, redis_url: str) -> None:
        bounds = {"socket_timeout": BOUND_SECONDS, "socket_connect_timeout": BOUND_SECONDS}
        # Once more on a new connection: the one at hand may have died since the last event.
        self._redis = redis.Redis.from_url(redis_url, **bounds, retry=Retry(NoBackoff(), 1))
        self._origin = uuid4().hex
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._away = False

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        """Send the live event that belongs to this fact, if one does."""
        if name == "sync.completed":
            self._send(SYNCED, facts, contactId=facts["contact_id"], mock=facts["mock"])
        elif name == "sync.failed":
            error = {"errorType": facts["error_type"], "exhaustedRetries": facts["exhausted_retries"]}
            self._send(SYNC_FAILED, facts, **error)

    def flush(self, within: timedelta = LAST_WORDS) -> None:
        """Wait until what was told has left, at most so long."""
        until = time.monotonic() + within.total_seconds()
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks and (left := until - time.monotonic()) > 0:
                self._waiting.all_tasks_done.wait(left)

    def _send(self, event: str, facts: dict[str, Any], **more: Any) -> None:
        payload = {
            "signupId": facts["signup_id"],
            "jobId": facts["job_id"],
            "syncPhase": facts["phase"],
            "operatorId": facts["operator_id"],
            **more,
            "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        self._start()
        try:
            self._waiting.put_nowait(self._as_message(event, payload))
        except queue.Full:
            counters.add(LOST)

    def _as_message(self, event: str, payload: dict[str, Any]) -> str:
        """Return what python-socketio's own manager would publish, so that its servers understand it too."""
        to_everybody = {"namespace": "/", "room": None, "skip_sid": None, "callback": None}
        sent = {"method": "emit", "event": event, "data": [payload], "binary": False}
        return json.dumps({**sent, **to_everybody, "host_id": self._origin})

    def _start(self) -> None:
        """Start the thread with the first event: a process that delivers nothing needs none."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._publish_all, name="live events", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def _publish_all(self) -> None:
        while True:
            message = self._waiting.get()
            try:
                self._publish(message)
            finally:
                self._waiting.task_done()
            if self._away:
                time.sleep(PAUSE_SECONDS)

    def _publish(self, message: str) -> None:
        try:
            self._redis.publish(CHANNEL, message)
        except (redis.RedisError, OSError) as error:
            counters.add(LOST)
            self._tell(away=True, why=type(error).__name__)
        else:
            self._tell(away=False)

    def _tell(self, *, away: bool, why: str = "") -> None:
        """Log the beginning and the end of an outage, and nothing in between."""
        if away is not self._away:
            self._away = away
            log = logging.getLogger(__name__)
            log.warning("live events are lost: %s", why) if away else log.warning("live events leave again")
