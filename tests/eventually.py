"""The one way in which a test may wait: until something holds, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    read: Callable[[], T], holds: Callable[[T], bool] = bool, *, seconds: float = 20, every: float = 0.05
) -> T:
    """Return what `read()` gives once `holds` is true of it; fail with the last value after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        value = read()
        if holds(value):
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s; the last value was {value!r}")
        time.sleep(every)
