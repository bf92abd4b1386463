"""What the App API may already show: what the Track API accepted appears there only after a while."""

import copy
import threading
from collections import deque

from cio_tasks.fake.operations import Operation
from cio_tasks.fake.people import Effect, People


class Visibility:
    """The people as they are, and, while something accepted is still on its way, the people as they are shown."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._lock = threading.Lock()
        self._behind: People | None = None
        self._waiting: deque[tuple[float, Operation, float]] = deque()

    def apply(self, operation: Operation, at: float, delay: float) -> Effect:
        """Carry out an operation that arrived `at` (unix seconds) and is shown `delay` seconds later."""
        with self._lock:
            if delay and self._behind is None:
                self._behind = copy.deepcopy(self._people)
            if self._behind is not None:
                self._waiting.append((at + delay, operation, at))
            return self._people.apply(operation, at)

    def shown(self, now: float) -> People:
        """Return the people as the App API shows them at `now` (unix seconds); operations appear in their order."""
        with self._lock:
            while self._behind is not None and self._waiting and self._waiting[0][0] <= now:
                _, operation, at = self._waiting.popleft()
                self._behind.apply(operation, at)
            if not self._waiting:
                self._behind = None
            return self._behind or self._people

    def catch_up(self) -> None:
        """Show everything at once."""
        with self._lock:
            self._waiting.clear()
            self._behind = None
