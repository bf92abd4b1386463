"""Where the time of a call went, as a line and a picture for people."""

from datetime import timedelta
from typing import Final

from cio_tasks.customerio.timings import Timings

WIDTH: Final = 40
PARTS: Final = (("dns", "░"), ("tcp", "▒"), ("tls", "▓"), ("wait", "█"), ("body", "·"))


def picture(timings: Timings) -> list[str]:
    """Return the parts of a call as a bar, and what each character of it stands for, in milliseconds.

    `wait` is what the other side takes until its answer begins, `body` until the answer is complete.
    """
    durations = (timings.dns, timings.connect, timings.tls, timings.waiting, timings.body)
    parts = [(name, sign, duration) for (name, sign), duration in zip(PARTS, durations, strict=True) if duration]
    bar = "".join(sign * _width(duration, timings.total) for _, sign, duration in parts)
    legend = [f"{sign} {name} {in_ms(duration)}" for name, sign, duration in parts]
    return [f"▕{bar[:WIDTH]:<{WIDTH}}▏", "  ".join([*legend, f"total {in_ms(timings.total)} ms"])]


def in_ms(duration: timedelta) -> str:
    """Return a duration in milliseconds as it is shown, to the tenth."""
    return f"{duration.total_seconds() * 1000:.1f}"


def _width(part: timedelta, total: timedelta) -> int:
    """Return the characters of a part: at least one, so that it is seen."""
    return max(1, round(WIDTH * (part / total))) if total else 1
