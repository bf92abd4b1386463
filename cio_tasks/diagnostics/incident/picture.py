"""A row of numbers as a line of text, and a time as a clock shows it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

STEPS: Final = "▁▂▃▄▅▆▇█"
NOTHING: Final = "·"


def spark(values: Sequence[float | None]) -> str:
    """Return a character for each value, higher for more, the highest full; `·` where there is none."""
    top = max((value for value in values if value is not None), default=0)
    return "".join(_step(value, top) for value in values)


def clock(at: datetime | None) -> str | None:
    """Return a time for people, to the second, or None."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _step(value: float | None, top: float) -> str:
    if value is None:
        return NOTHING
    return STEPS[0] if top <= 0 else STEPS[min(len(STEPS) - 1, int(value / top * (len(STEPS) - 1) + 0.5))]
