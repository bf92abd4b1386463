"""A total deadline for a call of `requests`, whose own timeouts restart with every byte that drips in.

The connection in use is noted as it sends; when the time is up a timer shuts its socket down, and whatever waits on it,
headers or body, fails at once.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_in_use = threading.local()


class Deadline:
    """The time left for one call; `passed` tells whether it was cut short."""

    def __init__(self) -> None:
        self.passed = False
        self.connection: HTTPConnection | None = None

    def expire(self) -> None:
        """Shut the connection in use down, so that whoever waits on it stops waiting."""
        self.passed = True
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def deadline(total: timedelta) -> Iterator[Deadline]:
    """Give the calls made inside, on this thread and through `DeadlineAdapter`, `total` to end."""
    current = Deadline()
    timer = threading.Timer(total.total_seconds(), current.expire)
    timer.daemon = True
    _in_use.deadline = current
    timer.start()
    try:
        yield current
    finally:
        timer.cancel()
        _in_use.deadline = None


def _note(connection: HTTPConnection) -> None:
    current: Deadline | None = getattr(_in_use, "deadline", None)
    if current is not None:
        current.connection = connection


class _NotedHTTPConnection(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self)
        super().request(*args, **kwargs)


class _NotedHTTPSConnection(HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self)
        super().request(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _NotedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _NotedHTTPSConnection


class DeadlineAdapter(HTTPAdapter):
    """An adapter whose connections obey `deadline`. It retries nothing."""

    def __init__(self) -> None:
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools use connections that note themselves."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
