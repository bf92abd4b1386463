"""Live events: what the worker tells the Socket.IO clients, through Redis (rows E4, E5).

A worker only writes to the queue of Flask-SocketIO, so it needs no Flask. Events are hints: ids and words, no names; when
Redis is away they are lost, and nothing else is.
"""

import time
from datetime import UTC, datetime
from typing import Any, Final

import socketio

SYNCED: Final = "sign_up.customerio_synced"
SYNC_FAILED: Final = "sign_up.customerio_sync_failed"
CHANNEL: Final = "flask-socketio"
"""The channel on which Flask-SocketIO listens."""

BOUND_SECONDS: Final = 0.25
QUIET_SECONDS: Final = 5.0


class LiveEvents:
    """A listener that passes the end of a job on to the Socket.IO clients."""

    def __init__(self, redis_url: str) -> None:
        bounds = {"socket_timeout": BOUND_SECONDS, "socket_connect_timeout": BOUND_SECONDS}
        self._manager = socketio.RedisManager(redis_url, channel=CHANNEL, write_only=True, redis_options=bounds)
        self._quiet_until = 0.0

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        """Send the live event that belongs to this fact, if one does."""
        if name == "sync.completed":
            self._emit(SYNCED, facts, contactId=facts["contact_id"], mock=facts["mock"])
        elif name == "sync.failed":
            error = {"errorType": facts["error_type"], "exhaustedRetries": facts["exhausted_retries"]}
            self._emit(SYNC_FAILED, facts, **error)

    def _emit(self, event: str, facts: dict[str, Any], **more: Any) -> None:
        started = time.monotonic()
        if started < self._quiet_until:
            return
        self._manager.emit(
            event,
            {
                "signupId": facts["signup_id"],
                "jobId": facts["job_id"],
                "syncPhase": facts["phase"],
                "operatorId": facts["operator_id"],
                **more,
                "at": datetime.now(UTC).isoformat(),
            },
        )
        if time.monotonic() - started >= 2 * BOUND_SECONDS:  # the manager hides its errors, not what they cost
            self._quiet_until = time.monotonic() + QUIET_SECONDS
