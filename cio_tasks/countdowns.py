"""How many countdowns this process has out. Each costs a worker memory until it is due, so they are bounded (rule 6)."""

import heapq
import threading
import time
from datetime import timedelta
from typing import Final

MOST: Final = 1_000


class Countdowns:
    """Counts the retries that were published with a countdown and are not due yet."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._due: list[float] = []
        self._lock = threading.Lock()

    def hold(self, countdown: timedelta) -> bool:
        """Note one more, if there is room. Without room the row alone waits, and `process_due` picks it up."""
        now = time.monotonic()
        with self._lock:
            while self._due and self._due[0] <= now:
                heapq.heappop(self._due)
            if len(self._due) >= self._most:
                return False
            heapq.heappush(self._due, now + countdown.total_seconds())
            return True
