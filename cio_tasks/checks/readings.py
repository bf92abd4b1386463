"""One reading in a thread of its own. Whatever keeps it from its end becomes a value, and nobody waits beyond the bound."""

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from cio_tasks.checks.report import Check, Group, Status
from cio_tasks.diagnostics.bounded import start
from cio_tasks.settings import Settings

T = TypeVar("T")
SPARE: Final = timedelta(seconds=0.25)
"""What a reading may take beyond its bound, so that its own end in time is told rather than ours."""
NOT_ANSWERING: Final = {
    Group.DATABASE: ("the database gave no answer", "is it running, and can this host reach it? ciosync config show"),
    Group.REDIS: ("Redis gave no answer", "is it running, and can this host reach it? ciosync config show"),
    Group.CUSTOMERIO: ("Customer.io gave no answer", "ciosync network"),
}
"""What is told of a part that hangs, and what to do about it."""


class Unanswered(Exception):
    """A part could not be read. Message and fix are shown, so they hold no address and no secret."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something is not known. `is_told` says whether the group of that part is asked as well, and tells it there."""

    part: Group
    message: str
    fix: str
    is_told: bool

    def as_check(self, id_: str, what: str) -> Check:
        """Return it as the check that it kept from its answer, which would have told `what`.

        One cause fails one check: the others only say that they do not know, unless nobody else would tell.
        """
        check = Check(id_, Status.FAIL, self.message, self.fix)
        if check.group is self.part:
            return check
        unknown = f"{what} unknown: {self.message}"
        return Check(id_, Status.SKIP, unknown) if self.is_told else Check(id_, Status.FAIL, unknown, self.fix)


class Reading(Generic[T]):
    """What is being read. It is asked for as often as needed."""

    def __init__(self, future: Future[T], part: Group, until: float, *, is_told: bool) -> None:
        self._future = future
        self._part = part
        self._until = until
        self._is_told = is_told

    def get(self, *, within: timedelta | None = None) -> T | Trouble:
        """Return what was read, or why it was not; by the end of all readings, or sooner if `within` is over."""
        left = max(self._until - time.monotonic(), 0)
        wait = left if within is None else min(left, within.total_seconds())
        try:
            return self._future.result(wait)
        except Unanswered as error:
            return self._trouble(error.message, error.fix)
        except TimeoutError:
            message, fix = NOT_ANSWERING[self._part]
            return self._trouble(f"{message} in time", fix)
        except Exception as error:  # noqa: BLE001 - what is broken must not hide what else is known
            message, fix = NOT_ANSWERING[self._part]
            return self._trouble(f"{message} that could be used ({type(error).__name__})", fix)

    def _trouble(self, message: str, fix: str) -> Trouble:
        return Trouble(self._part, message, fix, self._is_told)


class Asking:
    """Starts readings, each once whoever asks for it, all with the same end in time."""

    def __init__(self, settings: Settings, groups: frozenset[Group], timeout: timedelta) -> None:
        self.settings = settings
        self._groups = groups
        self._timeout = timeout
        self._until = time.monotonic() + (timeout + SPARE).total_seconds()
        self._readings: dict[Hashable, Reading[Any]] = {}

    def __call__(self, part: Group, read: Callable[[Settings, timedelta], T]) -> Reading[T]:
        """Return the reading of `part` that `read` makes within the time; it begins now, unless it has already."""
        if read not in self._readings:
            future = start(lambda: read(self.settings, self._timeout), name=f"check {part}")
            self._readings[read] = Reading(future, part, self._until, is_told=part in self._groups)
        return self._readings[read]
