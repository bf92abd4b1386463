"""From Redis to the clients: what workers tell, and nothing else that somebody writes there.

The manager of python-socketio would do whatever a message says (disconnect, join, emit anything), would send to clients
that have not yet said who they are, and after an outage may take a minute to listen again.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import redis
import structlog
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from cio_tasks.live import CHANNEL, FIELDS

BOUND_SECONDS: Final = 2.0
"""The longest that a connect or an answer of Redis may take."""
QUIET_SECONDS: Final = 5.0
"""After so long without a message Redis is asked whether it is there, and has as long again to say so."""
RETRY_SECONDS: Final = 1.0
LONGEST_MESSAGE: Final = 4_096

log: Final = structlog.stdlib.get_logger("api")

Tell = Callable[[str, dict[str, Any]], None]


class Relay:
    """Listens in a thread of its own and calls `tell` with the name and the payload of each live event."""

    def __init__(self, redis_url: str, tell: Tell) -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=BOUND_SECONDS,
            socket_connect_timeout=BOUND_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._tell = tell
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._away = False

    def start(self) -> None:
        """Begin to listen; calling it again changes nothing."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen_on, name="live relay", daemon=True)
                self._thread.start()

    def _listen_on(self) -> None:
        while True:
            try:
                self._listen()
            except (redis.RedisError, OSError, ValueError) as error:
                self._report(away=True, exception=type(error).__name__)
                time.sleep(RETRY_SECONDS)

    def _listen(self) -> None:
        """Pass messages on until the connection breaks or falls silent."""
        with closing(self._redis.pubsub()) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(CHANNEL)
            while True:
                self._pass_on(_next_message(channel))
                self._report(away=False)

    def _pass_on(self, message: dict[str, Any]) -> None:
        if message["type"] == "message" and (event := read_event(message["data"])) is not None:
            self._tell(*event)

    def _report(self, *, away: bool, **facts: str) -> None:
        """Log the beginning and the end of an outage, and nothing in between."""
        if away is not self._away:
            self._away = away
            log.warning("live_events_interrupted" if away else "live_events_resumed", **facts)


def _next_message(channel: PubSub) -> dict[str, Any]:
    """Return what comes next, be it only the answer to our question whether anybody is there.

    Raises:
        ConnectionError: when nobody is.
    """
    for is_last in (False, True):
        message: dict[str, Any] | None = channel.get_message(timeout=QUIET_SECONDS)
        if message is not None:
            return message
        if not is_last:
            channel.ping()
    raise redis.ConnectionError


def read_event(content: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return name and payload of a live event as `cio_tasks.live` publishes it, or None when it is anything else."""
    try:
        message = json.loads(content) if len(content) <= LONGEST_MESSAGE else None
    except (ValueError, RecursionError):
        return None
    match message:
        case {"method": "emit", "event": str(name), "data": [dict(payload)]} if payload.keys() == FIELDS.get(name):
            return name, payload
    return None
