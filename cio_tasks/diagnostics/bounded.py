"""An end in time for what cannot be interrupted, such as asking a name server."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


def start(function: Callable[[], T], *, name: str) -> Future[T]:
    """Run `function` in a thread of its own, which does not keep the process alive, and return its result to be."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name=name, daemon=True).start()
    return future


def within(limit: timedelta, function: Callable[[], T], *, name: str) -> T:
    """Return what `function` returns, or raise what it raises.

    Raises:
        TimeoutError: when it has not ended within `limit`; it goes on in its thread, and nobody hears of it.
    """
    return start(function, name=name).result(limit.total_seconds())
