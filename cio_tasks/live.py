"""Live events: what a process that delivers tells the Socket.IO clients, through Redis (rows E4, E5).

Events are hints: ids and words, no names. They leave in a thread of their own, so that a delivery never waits for Redis;
while that is away they are lost and counted, and nothing else is. They are written in the words of python-socketio's queue,
but not by its manager, which does not tell whether an event was lost.
"""

import atexit
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cio_tasks import counters
from cio_tasks.outbox import Outbox

SYNCED: Final = "sign_up.customerio_synced"
SYNC_FAILED: Final = "sign_up.customerio_sync_failed"
COMMON: Final = ("signupId", "jobId", "syncPhase", "operatorId", "at")
FIELDS: Final = {SYNCED: {*COMMON, "contactId", "mock"}, SYNC_FAILED: {*COMMON, "errorType", "exhaustedRetries"}}
"""What each event carries, and nothing else."""

CHANNEL: Final = "flask-socketio"
"""The channel that Flask-SocketIO has by default."""
LOST: Final = "live_events_lost"

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
        self._outbox: Outbox[str] = Outbox(self._publish, name="live events", lost=LOST)
        self._away = False
        atexit.register(self.flush)

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        """Send the live event that belongs to this fact, if one does."""
        if name == "sync.completed":
            self._send(SYNCED, facts, contactId=facts["contact_id"], mock=facts["mock"])
        elif name == "sync.failed":
            error = {"errorType": facts["error_type"], "exhaustedRetries": facts["exhausted_retries"]}
            self._send(SYNC_FAILED, facts, **error)

    def flush(self, within: timedelta = LAST_WORDS) -> None:
        """Wait until what was told has left, at most so long."""
        self._outbox.flush(within.total_seconds())

    def close(self) -> None:
        """Wait for the last words, then let the thread end."""
        self.flush()
        self._outbox.close()
        atexit.unregister(self.flush)

    def _send(self, event: str, facts: dict[str, Any], **more: Any) -> None:
        payload = {
            "signupId": facts["signup_id"],
            "jobId": facts["job_id"],
            "syncPhase": facts["phase"],
            "operatorId": facts["operator_id"],
            **more,
            "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        self._outbox.put([self._as_message(event, payload)])

    def _as_message(self, event: str, payload: dict[str, Any]) -> str:
        """Return what python-socketio's own manager would publish, so that its servers understand it too."""
        to_everybody = {"namespace": "/", "room": None, "skip_sid": None, "callback": None}
        sent = {"method": "emit", "event": event, "data": [payload], "binary": False}
        return json.dumps({**sent, **to_everybody, "host_id": self._origin})

    def _publish(self, messages: Sequence[str]) -> None:
        if self._away and self._outbox.closing.is_set():
            counters.add(LOST, n=len(messages))
            return
        try:
            for message in messages:
                self._redis.publish(CHANNEL, message)
        except (redis.RedisError, OSError) as error:
            counters.add(LOST)
            self._tell(away=True, why=type(error).__name__)
            self._outbox.closing.wait(PAUSE_SECONDS)
        else:
            self._tell(away=False)

    def _tell(self, *, away: bool, why: str = "") -> None:
        """Log the beginning and the end of an outage, and nothing in between."""
        if away is not self._away:
            self._away = away
            log = logging.getLogger(__name__)
            log.warning("live events are lost: %s", why) if away else log.warning("live events leave again")
