"""Times and numbers as diagnostics tell them: exact for scripts, in a few words for people."""

from datetime import UTC, datetime, timedelta
from typing import Final

DAY: Final = timedelta(days=1)
UNITS: Final = ((timedelta(days=2), DAY, "d"), (timedelta(hours=1), timedelta(hours=1), "h"))
"""From which age on an age is told in which unit: 26 hours say more than one day."""


def iso(at: datetime | None) -> str | None:
    """Return a time in UTC as the HTTP API writes times, or None."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def age(duration: timedelta) -> str:
    """Return a duration in the unit that fits it: `12 min`, `26 h`, `9 d`."""
    for least, unit, name in UNITS:
        if duration >= least:
            return f"{duration // unit} {name}"
    return f"{max(duration, timedelta(0)) // timedelta(minutes=1)} min"


def counted(count: int, thing: str) -> str:
    """Return how many of a thing there are: `1 event`, `1,200 events`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
