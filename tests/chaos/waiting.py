"""Jobs that wait although nothing keeps them from being delivered: seen again and again, under the same claim."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 60.0
"""Seconds for which a job that is due may be passed over while everything is well."""

Held = tuple[str, int]
"""A job and its token, which changes when somebody claims it."""


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """A job that nobody took for so many seconds in which everything was well."""

    job_id: str
    token: int
    seconds: float


@dataclass
class Waiting:
    """Adds up for how long each job was passed over. Time in which something was broken does not count."""

    stuck: dict[Held, Stuck] = field(default_factory=dict)
    longest: float = 0.0
    _seconds: dict[Held, float] = field(default_factory=dict)
    _last: tuple[float, bool] | None = None

    def see(self, at: float, waiting: Iterable[Held], *, well: bool) -> None:
        """Note who waits at this moment. The time since the last look counts if all was well at both."""
        since, was_well = self._last or (at, False)
        passed = at - since if well and was_well else 0.0
        self._seconds = {held: self._seconds[held] + passed if held in self._seconds else 0.0 for held in waiting}
        self._last = at, well
        self.longest = max([self.longest, *self._seconds.values()])
        for (job_id, token), seconds in self._seconds.items():
            if seconds > LONGEST:
                self.stuck[job_id, token] = Stuck(job_id=job_id, token=token, seconds=round(seconds, 1))
