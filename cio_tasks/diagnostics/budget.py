"""One time limit for many questions, asked side by side: what is not answered by then is a failure like any other."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Final, Generic, TypeVar

from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.diagnostics.bounded import start

SHARE: Final = 4
"""One request may take this part of the budget, so that a hanging one leaves time for the three rounds of others, and
whoever gives more time waits longer for a slow one."""
TOO_MANY: Final = "http_429"

T = TypeVar("T")


class Asked(Generic[T]):
    """A question on its way."""

    def __init__(self, future: Future[T | Failure], budget: "Budget") -> None:
        self._future = future
        self._budget = budget

    def answer(self, *, at_most: timedelta | None = None) -> T | Failure:
        """Wait for the answer, `at_most` so long, and return it, or the failure that the time is used up."""
        left = self._budget.left
        try:
            return self._future.result(min(left, at_most or left).total_seconds())
        except TimeoutError:
            return self._budget.used_up


class Budget:
    """The time that all questions of one investigation have together, from now on."""

    def __init__(self, total: timedelta) -> None:
        self._total = total
        self._until = time.monotonic() + total.total_seconds()

    @property
    def left(self) -> timedelta:
        """What is left of it, never below zero."""
        return timedelta(seconds=max(0.0, self._until - time.monotonic()))

    @property
    def for_one(self) -> timedelta:
        """How long a single request may take."""
        return self._total / SHARE

    @property
    def for_pages(self) -> timedelta:
        """For how long pages of a list may still be begun: the last of them has to end in time, or all would be lost."""
        return max(timedelta(0), self.left - self.for_one)

    @property
    def used_up(self) -> Failure:
        """The failure of a question that was not answered in time."""
        seconds = f"{self._total.total_seconds():g}"
        detail = f"not answered in time: all questions together have {seconds} s"
        return Failure(Trouble.UNREACHABLE, "time_used_up", detail)

    def ask(self, question: Callable[[], T | Failure], *, name: str) -> Asked[T]:
        """Begin to ask, in a thread of its own. A 429 is obeyed once, when its wait fits into half of what is left."""
        return Asked(start(lambda: self._ask_patiently(question), name=f"ciosync {name}"), self)

    def _ask_patiently(self, question: Callable[[], T | Failure]) -> T | Failure:
        answer = question()
        if isinstance(answer, Failure) and answer.code == TOO_MANY and answer.retry_after:
            wait = answer.retry_after
            if wait <= self.left / 2:
                time.sleep(wait.total_seconds())
                return question()
        return answer
