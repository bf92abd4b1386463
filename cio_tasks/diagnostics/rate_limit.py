"""How much of the rate limit is used (row O5): our own window is read, Customer.io's own limit only probed on request."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError

from cio_tasks.customerio.calls import as_call, identify
from cio_tasks.customerio.limits import encode
from cio_tasks.customerio.pace import WINDOW_KEY
from cio_tasks.customerio.replies import parse_retry_after
from cio_tasks.customerio.transport import Reply
from cio_tasks.diagnostics.bounded import start
from cio_tasks.diagnostics.requests import transport_of
from cio_tasks.settings import Settings

REDIS_SECONDS: Final = 0.5
MOST_PROBES: Final = 200
PROBING_THREADS: Final = 16
PROBE_PERSON: Final = "ciosync-limit-probe"
PROBE_ATTRIBUTES: Final = {"_update": True}
"""Changes only a person who exists, which this one does not: nobody is created, no campaign starts (Track API v1,
identify: `_update`). Customer.io notes a failed change of attributes."""


@dataclass(frozen=True, slots=True)
class Window:
    """Our own limit in requests per second, and how many all workers used in the last second; None: not known."""

    limit: int
    used: int | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a burst of calls found: after how many the first 429 came, if one did."""

    requests: int
    limited_after: int | None
    retry_after: timedelta | None
    elapsed: timedelta
    statuses: dict[str, int]

    def shown(self) -> dict[str, Any]:
        """Return the shape for scripts, with durations in seconds."""
        seconds = self.elapsed.total_seconds()
        return {
            "requests": self.requests,
            "limitedAfter": self.limited_after,
            "retryAfter": None if self.retry_after is None else self.retry_after.total_seconds(),
            "seconds": round(seconds, 3),
            "perSecond": round(self.requests / seconds, 1) if seconds else None,
            "statuses": self.statuses,
        }


def read_window(settings: Settings) -> Window:
    """Return how many calls of our own limit are used, without using one."""
    if settings.redis_url is None:
        return Window(settings.rate_limit, None, "REDIS_URL is not set: every process counts for itself")
    try:
        storage = RedisStorage(
            settings.redis_url.get_secret_value(), socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
        )
        item = RateLimitItemPerSecond(settings.rate_limit)
        stats = MovingWindowRateLimiter(storage).get_window_stats(item, *WINDOW_KEY)
    except (RedisError, StorageError, OSError):
        return Window(settings.rate_limit, None, "Redis is away: every process counts for itself")
    return Window(settings.rate_limit, settings.rate_limit - stats.remaining)


def probe_size(settings: Settings) -> int:
    """Return how many calls a probe makes at most: as many as we allow ourselves in a second."""
    return min(settings.rate_limit, MOST_PROBES)


def probe_limit(settings: Settings, *, timeout: timedelta) -> Probe:
    """Make harmless calls as fast as possible until one is refused with 429, at most `probe_size` of them.

    They are made past our own limit, and use up Customer.io's for the workers meanwhile.
    """
    transport = transport_of(settings, timeout=timeout)
    call = as_call(PROBE_PERSON, identify(PROBE_PERSON, PROBE_ATTRIBUTES), "v1")
    body = encode(call.document)
    burst = _Burst(probe_size(settings))
    began = time.monotonic()

    def run() -> None:
        while burst.take():
            burst.note(transport.send(call.method, call.path, body))
        transport.close()

    running = [start(run, name=f"probe {number}") for number in range(PROBING_THREADS)]
    for future in running:
        future.result()
    return burst.result(timedelta(seconds=time.monotonic() - began))


class _Burst:
    """Counts the calls of all threads; none starts after the first 429 or failure."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._left = size
        self._statuses: Counter[str] = Counter()
        self._limited_after: int | None = None
        self._retry_after: timedelta | None = None

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def note(self, reply: Reply) -> None:
        with self._lock:
            self._statuses[str(reply.status or reply.failure)] += 1
            if reply.status == HTTPStatus.TOO_MANY_REQUESTS and self._limited_after is None:
                self._limited_after = self._statuses.total()
                self._retry_after = parse_retry_after(reply.headers.get("retry-after"))
            if reply.status != HTTPStatus.OK:
                self._left = 0

    def result(self, elapsed: timedelta) -> Probe:
        return Probe(
            self._statuses.total(),
            self._limited_after,
            self._retry_after,
            elapsed,
            dict(sorted(self._statuses.items())),
        )
