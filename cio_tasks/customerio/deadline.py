"""A total deadline for a call of `requests`, whose own timeouts restart with every byte that drips in.

The connection in use is noted as it sends; when the time is up a timer shuts its socket down, and whatever waits on it,
headers or body, fails at once. The connection also notes when it was resolved, connected and secured.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from cio_tasks.customerio.timings import Moment

_in_use = threading.local()


class Deadline:
    """The time left for one call; `passed` tells whether it was cut short, `moments` (monotonic) how far it came."""

    def __init__(self) -> None:
        self.passed = False
        self.moments: dict[Moment, float] = {}
        self._socket: socket.socket | None = None

    def hold(self, sock: socket.socket | None) -> None:
        """Take the socket in use. The connection may let go of it while the body is still being read.

        Raises:
            TimeoutError: when the time is up already, as after a slow name server.
        """
        self._socket = sock
        if self.passed:
            raise TimeoutError

    def note(self, moment: Moment) -> None:
        """Note that a moment of the call is now; the first time counts."""
        self.moments.setdefault(moment, time.monotonic())

    def expire(self) -> None:
        """Shut the socket in use down, so that whoever waits on it stops waiting."""
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


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


def _hold(sock: socket.socket | None) -> None:
    current: Deadline | None = getattr(_in_use, "deadline", None)
    if current is not None:
        current.hold(sock)


def _note(moment: Moment) -> None:
    current: Deadline | None = getattr(_in_use, "deadline", None)
    if current is not None:
        current.note(moment)


class _WhenResolved(list[tuple[int, int, int | bytes]]):
    """Socket options that note when they are looked at.

    That is after the name was resolved and before the first address is tried: urllib3 does both in one function, and
    resolving the name ourselves would ask the name server twice.
    """

    def __iter__(self) -> Iterator[tuple[int, int, int | bytes]]:
        _note("resolved")
        return super().__iter__()


class _Held(HTTPConnection):
    """Hands its socket over as soon as there is one: plain, then wrapped, or kept from the last request."""

    def _new_conn(self) -> socket.socket:
        options = self.socket_options
        self.socket_options = _WhenResolved(options or [])
        _note("resolving")
        try:
            sock = super()._new_conn()
        finally:
            self.socket_options = options
        _note("connected")
        _hold(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        _hold(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _hold(self.sock)
        super().request(*args, **kwargs)


class _HeldHTTPS(_Held, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _note("secured")


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Held


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HeldHTTPS


POOLS: Final = {"http": _HTTPPool, "https": _HTTPSPool}


class DeadlineAdapter(HTTPAdapter):
    """An adapter whose connections obey `deadline`. It retries nothing."""

    def __init__(self) -> None:
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools use connections that note themselves."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools behind a proxy do the same."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager
