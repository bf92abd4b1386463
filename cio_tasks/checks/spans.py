"""Times as people read them."""

from datetime import timedelta
from typing import Final

UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(time: timedelta) -> str:
    """Return a time in its largest unit: `37 min`, `2 h`. The direction is left out."""
    seconds = round(abs(time.total_seconds()))
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds // size} {unit}"


def brief(time: timedelta) -> str:
    """Return the time that an answer took: `4 ms`, `1.2 s`."""
    seconds = time.total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def many(count: int, noun: str) -> str:
    """Return a number of things: `1 worker`, `2 workers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
