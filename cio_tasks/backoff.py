"""When a failed delivery is tried again: the retry schedule exists here and nowhere else (rows B6, B7)."""

from datetime import timedelta
from typing import Final

MAX_RETRIES: Final = 5
"""Retries after the first delivery, so a job is delivered at most six times."""


def retry_delay(retry: int, *, scale: float = 1.0) -> timedelta:
    """Return the wait before retry number `retry` (1 to 5): `5**retry` seconds, times the time scale.

    The default schedule is 5, 25, 125, 625 and 3125 s.

    Raises:
        ValueError: when `retry` is below 1.
    """
    if retry < 1:
        raise ValueError(f"retries are counted from 1, not {retry}")
    return timedelta(seconds=5**retry * scale)
