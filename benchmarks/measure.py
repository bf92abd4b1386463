"""Timing two ways of doing the same, in turns, so that whatever else the machine does meets both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Comparison:
    """Median seconds of each side over the rounds; `ratio` is how many times faster ours is."""

    name: str
    ours: str
    theirs: str
    ours_seconds: float
    theirs_seconds: float
    count: int

    @property
    def ratio(self) -> float:
        return self.theirs_seconds / self.ours_seconds

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": round(self.ratio, 2)}


def compare(
    name: str,
    *,
    ours: tuple[str, Callable[[], None]],
    theirs: tuple[str, Callable[[], None]],
    count: int,
    prepare: Callable[[], None] = lambda: None,
    rounds: int = ROUNDS,
) -> Comparison:
    """Run both sides in turns, each after `prepare`, which is not timed."""
    times: dict[str, list[float]] = {ours[0]: [], theirs[0]: []}
    for _ in range(rounds):
        for label, run in (ours, theirs):
            prepare()
            began = time.perf_counter()
            run()
            times[label].append(time.perf_counter() - began)
    medians = [statistics.median(times[label]) for label in (ours[0], theirs[0])]
    return Comparison(name, ours[0], theirs[0], *medians, count)
