"""How often one may call: so many requests a token, and so many wrong tokens an address.

Counted in Redis for all processes together, and in this process while Redis is away: a limit never fails a request, and
never holds one for long.
"""

import math
import time
from typing import Any, Final

import structlog
from flask import Flask, current_app, request
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter as Window
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.exceptions import TooManyRequests

from cio_tasks.settings import Role, Settings

WINDOW_SECONDS: Final = 10
"""A token may spend ten seconds' worth of requests at once."""
APP_SHARE: Final = 20
"""How much more an application may send, since it calls once for each customer and a person looks at one page."""
WRONG_TOKENS_A_MINUTE: Final = 20
BOUND_SECONDS: Final = 0.1
"""The longest that a connect or an answer of Redis may take."""
QUIET_SECONDS: Final = 5.0
"""How long Redis is left alone after it did not answer."""
PREFIX: Final = "ciosync:limits"

log: Final = structlog.stdlib.get_logger("api")


class Limits:
    """What the callers of this API have used up.

    Not Flask-Limiter: it counts after the permission was checked, so that refused requests would be free, and its limit
    inside a function changes the limits of the route for every later request.
    """

    def __init__(self, settings: Settings) -> None:
        self._requests = RateLimitItemPerSecond(settings.api_rate_limit * WINDOW_SECONDS, WINDOW_SECONDS)
        self._app_requests = RateLimitItemPerSecond(self._requests.amount * APP_SHARE, WINDOW_SECONDS)
        self._wrong_tokens = RateLimitItemPerMinute(WRONG_TOKENS_A_MINUTE)
        self._local = Window(MemoryStorage())
        self._shared = _shared_window(settings)
        self._quiet_until = 0.0
        self._away = False

    def count_request(self, name: str, role: Role) -> None:
        """Count a request made with the token called `name`.

        Raises:
            TooManyRequests: when it has used up what its role may send; it says when to come back.
        """
        self._count(self._app_requests if role is Role.APP else self._requests, "token", name)

    def count_wrong_token(self, address: str) -> None:
        """Count a wrong token from an address. One that is right is not counted, so others cannot lock its holder out.

        Raises:
            TooManyRequests: when the address has sent too many.
        """
        self._count(self._wrong_tokens, "wrong", address)

    def _count(self, item: RateLimitItem, *key: str) -> None:
        retry_after = self._hit(item, *key)
        if retry_after is not None:
            raise TooManyRequests(retry_after=retry_after)

    def _hit(self, item: RateLimitItem, *key: str) -> int | None:
        """Return None, or when the limit is reached after how many seconds to come back."""
        if self._shared is not None and time.monotonic() >= self._quiet_until:
            try:
                retry_after = _hit(self._shared, item, *key)
            except (RedisError, StorageError, OSError) as error:
                self._quiet_until = time.monotonic() + QUIET_SECONDS
                self._tell(away=True, exception=type(error).__name__)
            else:
                self._tell(away=False)
                return retry_after
        return _hit(self._local, item, *key)

    def _tell(self, *, away: bool, **facts: str) -> None:
        """Log the beginning and the end of an outage, and nothing in between."""
        if away is not self._away:
            self._away = away
            log.warning("limits_are_counted_here" if away else "limits_are_shared_again", **facts)


def _hit(window: Window, item: RateLimitItem, *key: str) -> int | None:
    if window.hit(item, *key):
        return None
    return max(1, math.ceil(window.get_window_stats(item, *key).reset_time - time.time()))


def _shared_window(settings: Settings) -> Window | None:
    """Two counters a key, however high the limit: a list of all requests could fill the broker's memory."""
    if settings.redis_url is None:
        return None
    bounds: dict[str, Any] = {"socket_timeout": BOUND_SECONDS, "socket_connect_timeout": BOUND_SECONDS}
    bounds["retry"] = Retry(NoBackoff(), 0)
    return Window(RedisStorage(settings.redis_url.get_secret_value(), key_prefix=PREFIX, **bounds))


def limit_requests(app: Flask, settings: Settings) -> None:
    """Give `app` the limits that its doors count against."""
    app.extensions["limits"] = Limits(settings)


def count_request(name: str, role: Role) -> None:
    """Count the current request for the token called `name`.

    Raises:
        TooManyRequests: when it has used up what its role may send.
    """
    _limits().count_request(name, role)


def count_wrong_token() -> None:
    """Count a wrong token for the address of the current request; what a proxy says of another address is not believed.

    Raises:
        TooManyRequests: when the address has sent too many.
    """
    _limits().count_wrong_token(request.remote_addr or "unknown")


def _limits() -> Limits:
    found: Limits = current_app.extensions["limits"]
    return found
