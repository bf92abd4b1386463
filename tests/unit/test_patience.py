import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

from cio_tasks.patience import FIRST_PAUSE, Patience


def pause(_: int) -> float:
    waiting, began = Patience(Event(), timedelta(seconds=10)), time.monotonic()
    assert waiting.wait()
    return time.monotonic() - began


def test_workers_that_lost_the_database_together_do_not_come_back_together() -> None:
    """A busy machine may make a pause longer, and never shorter: without chance none would be below the longest."""
    with ThreadPoolExecutor(16) as pool:
        pauses = list(pool.map(pause, range(16)))
    assert min(pauses) < 0.9 * FIRST_PAUSE
    assert min(pauses) >= FIRST_PAUSE / 2
