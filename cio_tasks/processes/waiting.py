"""Waiting for something to become true, never for a time to pass."""

import time
from collections.abc import Callable
from datetime import timedelta

from cio_tasks.errors import CioTasksError


class WaitTimeout(CioTasksError, TimeoutError):
    """What was waited for did not happen in time."""


def wait_until(
    condition: Callable[[], bool],
    timeout: timedelta,
    interval: timedelta = timedelta(milliseconds=20),
    *,
    what: str = "the condition",
) -> None:
    """Return once `condition()` is true, asking every `interval`; it is asked at least once.

    Raises:
        WaitTimeout: `what` did not happen within `timeout`.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not condition():
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"waited {timeout.total_seconds():g} s for {what}, in vain")
        time.sleep(interval.total_seconds())
