"""How fast we may call: a moving window shared by all workers through Redis, or a local one while Redis is away.

Customer.io publishes limits from 30 to 3000 requests a second and may drop what exceeds them without an error, so we
keep our own (Track API overview: "rate limits").
"""

import logging
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError

WINDOW_KEY: Final = ("ciosync", "track")
LONGEST_WAIT_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.02
REDIS_QUIET_SECONDS: Final = 5.0


class Pace:
    """Lets at most `per_second` calls start in any one second, over all processes that share `redis_url`."""

    def __init__(self, per_second: int, *, redis_url: str | None) -> None:
        self._item = RateLimitItemPerSecond(per_second)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._redis_url = redis_url
        self._shared: MovingWindowRateLimiter | None = None
        self._quiet_until = 0.0

    def wait_for_turn(self) -> bool:
        """Wait until a call may start, at most 5 s, and return whether it may."""
        until = time.monotonic() + LONGEST_WAIT_SECONDS
        while not self._take():
            if time.monotonic() > until:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def _take(self) -> bool:
        if self._redis_url is not None and time.monotonic() >= self._quiet_until:
            try:
                return self._shared_window().hit(self._item, *WINDOW_KEY)
            except (RedisError, StorageError, OSError) as error:
                self._quiet_until = time.monotonic() + REDIS_QUIET_SECONDS
                logging.getLogger(__name__).warning("pace: Redis is away (%s), counting locally", type(error).__name__)
        return self._local.hit(self._item, *WINDOW_KEY)

    def _shared_window(self) -> MovingWindowRateLimiter:
        if self._shared is None:
            storage = RedisStorage(self._redis_url or "", socket_timeout=0.5, socket_connect_timeout=0.5)
            self._shared = MovingWindowRateLimiter(storage)
        return self._shared
