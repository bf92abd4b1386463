"""What processes take of the machine: memory and file descriptors, from when they are warm to when they end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

WARM_AFTER: Final = 20.0
"""Seconds after which a process has loaded what it needs."""
MEGABYTE: Final = 1_000_000
MOST_MEGABYTES: Final = 400
"""More than twice what a worker takes at rest."""
MOST_FILES: Final = 64
"""As many descriptors may come on top: connections that an outage left to be closed."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One look at one process. `kind` is what it does: `worker`, `web`, `beat`."""

    at: float
    kind: str
    pid: int
    bytes: int
    files: int


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process, between its first look when warm and its last."""

    kind: str
    seconds: float
    bytes_before: int
    bytes_after: int
    files_before: int
    files_after: int


@dataclass
class Growth:
    """Follows processes by their pid."""

    most_bytes: dict[str, int] = field(default_factory=dict)
    most_files: dict[str, int] = field(default_factory=dict)
    _seen: dict[tuple[str, int], list[Reading]] = field(default_factory=dict)

    def see(self, readings: Iterable[Reading]) -> None:
        """Note what the processes take now. Of each only the first, the first when warm and the last are kept."""
        for reading in readings:
            self.most_bytes[reading.kind] = max(self.most_bytes.get(reading.kind, 0), reading.bytes)
            self.most_files[reading.kind] = max(self.most_files.get(reading.kind, 0), reading.files)
            kept = self._seen.setdefault((reading.kind, reading.pid), [reading])
            if reading.at - kept[0].at >= WARM_AFTER:
                kept[1:] = [*kept[1:2], reading]

    def count(self, kind: str) -> int:
        """Return how many processes of this kind there were."""
        return sum(seen == kind for seen, _ in self._seen)

    def lives(self) -> list[Life]:
        """Return those that lived long enough to have grown, the longest life first."""
        long_enough = [kept for kept in self._seen.values() if len(kept) == len(("first", "warm", "last"))]
        return sorted((_life(warm, last) for _, warm, last in long_enough), key=lambda life: -life.seconds)


def _life(warm: Reading, last: Reading) -> Life:
    return Life(
        kind=warm.kind,
        seconds=round(last.at - warm.at, 1),
        bytes_before=warm.bytes,
        bytes_after=last.bytes,
        files_before=warm.files,
        files_after=last.files,
    )


def find_grown(growth: Growth) -> Iterator[tuple[str, str]]:
    """Yield the kinds of processes that took too much, and how much it was."""
    for kind, most in growth.most_bytes.items():
        if most > MOST_MEGABYTES * MEGABYTE:
            yield kind, f"took {most // MEGABYTE} MB"
    for life in growth.lives():
        if life.files_after - life.files_before > MOST_FILES:
            yield life.kind, f"from {life.files_before} to {life.files_after} descriptors in {life.seconds:g} s"
