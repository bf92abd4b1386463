"""Where the time of one call went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Self

Moment = Literal["resolving", "resolved", "connected", "secured", "answered"]


@dataclass(frozen=True, slots=True)
class Timings:
    """The parts of a call, as durations. A part that did not happen, or did not end, is None.

    A call over a connection that was kept has no `dns`, `connect` and `tls`; plain http has no `tls`. Behind a proxy
    `dns` and `connect` are the proxy's, and `tls` holds the way through it. `first_byte` is from the start to the head of
    the answer, `total` to the end of its body.
    """

    total: timedelta
    dns: timedelta | None = None
    connect: timedelta | None = None
    tls: timedelta | None = None
    first_byte: timedelta | None = None

    @classmethod
    def between(cls, started: float, moments: Mapping[Moment, float], ended: float) -> Self:
        """Return the parts that these moments of `time.monotonic` delimit, within a call from `started` to `ended`."""

        def part(begin: Moment, end: Moment) -> timedelta | None:
            is_whole = begin in moments and end in moments
            return timedelta(seconds=moments[end] - moments[begin]) if is_whole else None

        answered = moments.get("answered")
        return cls(
            total=timedelta(seconds=ended - started),
            dns=part("resolving", "resolved"),
            connect=part("resolved", "connected"),
            tls=part("connected", "secured"),
            first_byte=None if answered is None else timedelta(seconds=answered - started),
        )

    @property
    def reused(self) -> bool:
        """Whether an answer came over a connection that was kept from an earlier call."""
        return self.connect is None and self.first_byte is not None

    @property
    def waiting(self) -> timedelta | None:
        """What is left of `first_byte` without opening the connection: sending, and the other side's own time."""
        if self.first_byte is None:
            return None
        opening = sum((part for part in (self.dns, self.connect, self.tls) if part), timedelta(0))
        return max(self.first_byte - opening, timedelta(0))

    @property
    def body(self) -> timedelta | None:
        """From the head of the answer to its end."""
        return None if self.first_byte is None else self.total - self.first_byte
