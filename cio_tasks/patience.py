"""Transactions that outlast a database which is away for a moment: tried again as a whole, and never for long.

Only what a transaction does is repeated. A request to Customer.io never is.
"""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cio_tasks.db import Sessions
from cio_tasks.events import emit

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
HURRIED_PAUSE: Final = 0.5
HURRIED_TRIES: Final = 4
"""How often a process that was told to stop tries again: about two seconds."""

Done = TypeVar("Done")


class Patience:
    """How long to wait for the database: `longest` in all, and only a few tries more once `stopping` is set."""

    def __init__(self, stopping: threading.Event, longest: timedelta) -> None:
        self._until = time.monotonic() + longest.total_seconds()
        self._stopping = stopping
        self._tries = 0
        self._hurried = 0

    def wait(self) -> bool:
        """Wait a moment, a longer one each time; return whether there is time for another try."""
        if self._stopping.is_set():
            return self._hurry()
        longest = min(FIRST_PAUSE * 2**self._tries, LONGEST_PAUSE)
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - so that workers do not all come back at once
        self._tries += 1
        if time.monotonic() + pause > self._until:
            return False
        self._stopping.wait(pause)
        return True

    def _hurry(self) -> bool:
        self._hurried += 1
        if self._hurried > HURRIED_TRIES or time.monotonic() > self._until:
            return False
        time.sleep(HURRIED_PAUSE)
        return True


def insist(sessions: Sessions, patience: Patience, work: Callable[[Session, bool], Done]) -> Done:
    """Do `work(session, again)` in a transaction of its own and return its result, trying again while `patience` lasts.

    `again` says that an earlier try may have been committed: its answer can be what was lost. `work` has to find out.

    Raises:
        DBAPIError, TimeoutError (of SQLAlchemy): the database stayed away, or refused for a reason that does not pass.
    """
    again = False
    while True:
        try:
            with sessions.begin() as session:
                return work(session, again)
        except (DBAPIError, PoolTimeout) as error:
            if not may_pass(error) or not patience.wait():
                raise
            again = True
            emit("store.tried_again", error=type(getattr(error, "orig", None) or error).__name__)


def may_pass(error: Exception) -> bool:
    """Tell whether the same transaction may succeed in a moment.

    An `OperationalError` is a lost or refused connection, a serialization failure, a deadlock or a lock's timeout.
    """
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, (OperationalError, PoolTimeout))
