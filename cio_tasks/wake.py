"""Ringing the bell: best effort, bounded, and never at the caller's expense (rule 3).

A message only wakes a worker. It may be lost, doubled or late, because the row decides.
"""

import atexit
import logging
import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from cio_tasks.bell import EXPIRES_SECONDS, Bell, Ring
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings

__all__ = ["EXPIRES_SECONDS", "configure", "flush", "ring", "sweep_after"]

AT_EXIT_SECONDS: Final = 0.25
"""How long a process that ends waits for its last rings."""


class _Current:
    """The bell of this process, made when first needed."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew in a forked process, which has neither the thread nor a right to the connections."""
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._absent = False

    def set(self, settings: Settings) -> None:
        with self._lock:
            if self._bell is not None:
                self._bell.close()
            self._settings = settings
            self._absent = settings.redis_url is None
            self._bell = None if self._absent else Bell(settings)

    def get(self) -> Bell | None:
        with self._lock:
            if self._bell is None and not self._absent:
                self._bell = self._make()
            return self._bell

    def flush(self, seconds: float) -> bool:
        bell = self._bell
        return bell is None or bell.flush(seconds)

    def _make(self) -> Bell | None:
        try:
            settings = self._settings or Settings.from_env()
            self._absent = settings.redis_url is None
            return None if self._absent else Bell(settings)
        except CioTasksError as error:
            self._absent = True
            logging.getLogger(__name__).warning("not ringing, the sweep alone finds jobs: %s", error)
            return None


_current: Final = _Current()
os.register_at_fork(after_in_child=_current.forget)
atexit.register(lambda: _current.flush(AT_EXIT_SECONDS))


def configure(settings: Settings) -> None:
    """Ring for these settings from now on. A process that does not call this rings for its environment's."""
    _current.set(settings)


def ring(job_ids: Sequence[UUID]) -> None:
    """Wake a worker for each of these jobs, at best effort: never an error, and never a wait."""
    _put([Ring("cio_tasks.sync_signup", (str(job_id),)) for job_id in job_ids])


def sweep_after(wait: timedelta) -> None:
    """Ask for a sweep after `wait`, at best effort, so that a gate is probed when its time has come."""
    _put([Ring("cio_tasks.process_due", countdown=wait.total_seconds())])


def flush(seconds: float = AT_EXIT_SECONDS) -> bool:
    """Wait until every ring so far was published or dropped; return False when that takes longer."""
    return _current.flush(seconds)


def _put(rings: Sequence[Ring]) -> None:
    bell = _current.get() if rings else None
    if bell is not None:
        bell.put(rings)
