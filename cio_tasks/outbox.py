"""An outbox: what a process tells others by a thread of its own, so that telling costs the caller next to nothing.

For hints only. What does not fit is lost and counted, what waits in a process that is killed is lost, and nothing else is.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from cio_tasks import counters

MOST_WAITING: Final = 1_000
"""Items that wait while the other side is slow or away; what comes beyond is lost."""

T = TypeVar("T")


class Outbox(Generic[T]):
    """Hands what is put into it to `send`, up to `at_once` items a call, in a thread that starts with the first of them.

    `send` counts what it cannot send as `lost`; whatever it raises loses its items and never ends the thread.
    """

    def __init__(self, send: Callable[[Sequence[T]], None], *, name: str, lost: str, at_once: int = 1) -> None:
        self._send = send
        self._name = name
        self._lost = lost
        self._at_once = at_once
        self._waiting: queue.Queue[T | None] = queue.Queue(MOST_WAITING)
        """None only wakes the thread, so that it sees that it may end."""
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.closing: Final = threading.Event()

    def put(self, items: Sequence[T]) -> None:
        """Have these sent soon; those that do not fit are lost. Returns at once and raises nothing."""
        if self.closing.is_set():
            counters.add(self._lost, n=len(items))
            return
        self._start()
        for place, item in enumerate(items):
            try:
                self._waiting.put_nowait(item)
            except queue.Full:
                counters.add(self._lost, n=len(items) - place)
                return

    def flush(self, seconds: float) -> bool:
        """Wait until everything put so far was sent or lost; return False when that takes longer."""
        with self._waiting.all_tasks_done:
            return self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, seconds)

    def close(self) -> None:
        """Let the thread end once it has passed on what waits. Returns at once; what is put later is lost."""
        self.closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _start(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while not (self.closing.is_set() and self._waiting.empty()):
            taken = self._take()
            items = [item for item in taken if item is not None]
            try:
                if items:
                    self._send(items)
            except Exception as error:  # noqa: BLE001 - the thread outlives whatever one batch meets
                logging.getLogger(__name__).warning("%s lost: %s", self._name, type(error).__name__)
                counters.add(self._lost, n=len(items))
            finally:
                for _ in taken:
                    self._waiting.task_done()

    def _take(self) -> list[T | None]:
        """Wait for an item and return it with those behind it."""
        taken = [self._waiting.get()]
        with contextlib.suppress(queue.Empty):
            while len(taken) < self._at_once:
                taken.append(self._waiting.get_nowait())
        return taken
