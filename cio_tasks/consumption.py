"""Whether this worker still takes messages: what it took, what it refused, and an end for one that has stopped consuming.

Workers that reconnect to Redis and then consume nothing are the oldest bug of this broker. Such a process looks healthy
to whoever supervises it, so it has to notice by itself.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cio_tasks import counters

LOOK_EVERY: Final = timedelta(seconds=5)
PATIENCE: Final = timedelta(seconds=60)
"""Longer than all threads of a worker may be busy: a call ends within 15 s, a sweep begins nothing after 10 s."""
GRACE: Final = timedelta(seconds=20)
"""What an ordinary end gets before the process ends itself the hard way."""
SAID_EVERY: Final = timedelta(seconds=10)

log: Final = logging.getLogger(__name__)


class Consumption:
    """What came out of the queue. Called for every message, so it does next to nothing."""

    def __init__(self) -> None:
        self.taken = 0
        self._said_at = float("-inf")

    def take(self) -> None:
        """Note that a message of ours came."""
        self.taken += 1

    def refuse(self, kind: str) -> None:
        """Note that something came which is no message of ours; a flood of them makes one line every ten seconds."""
        self.taken += 1
        counters.add("messages_refused", kind)
        if time.monotonic() - self._said_at > SAID_EVERY.total_seconds():
            self._said_at = time.monotonic()
            log.warning("threw away what is no message of ours: %s", kind)


class Watchdog:
    """Ends a worker when messages wait, the broker answers, and yet none has been taken for a minute."""

    def __init__(
        self,
        consumption: Consumption,
        count_waiting: Callable[[], int],
        end: Callable[[], None],
        *,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._consumption = consumption
        self._count_waiting = count_waiting
        self._end = end
        self._patience = patience.total_seconds()
        self._idle_since: float | None = None
        self._taken = 0

    def start(self) -> None:
        """Look every five seconds from now on, in a thread that ends with the process."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        while not self.look(time.monotonic()):
            time.sleep(LOOK_EVERY.total_seconds())

    def look(self, now: float) -> bool:
        """Look once, at the monotonic time `now`; end the worker and return True when it does not consume."""
        if self._consumption.taken != self._taken or not self._is_something_waiting():
            self._taken, self._idle_since = self._consumption.taken, None
            return False
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since < self._patience:
            return False
        log.error("messages wait and this worker takes none: it ends, to be started anew")
        self._end()
        return True

    def _is_something_waiting(self) -> bool:
        try:
            return self._count_waiting() > 0
        except Exception:  # noqa: BLE001 - without the broker there is nothing to consume, and nothing to blame
            return False


def end_process() -> None:
    """End this process as a supervisor would; when that does not work, at once."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE.total_seconds())
    os._exit(1)
