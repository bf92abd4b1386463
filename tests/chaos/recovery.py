"""How soon deliveries were back after each fault."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from tests.chaos.evidence import Attempt, Strike

LOOKED_AT: Final = 50
"""Deliveries that began after a fault, of which one that began later may have ended first."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How long faults of one name kept deliveries away after their end, in seconds. `never` counts those that did so."""

    name: str
    seconds: tuple[float, ...]
    never: int = 0

    def quantile(self, share: float) -> float:
        """Return the time within which this share of them was over."""
        return self.seconds[max(ceil(share * len(self.seconds)), 1) - 1] if self.seconds else 0.0


def recoveries(strikes: Sequence[Strike], attempts: Iterable[Attempt]) -> list[Recovery]:
    """Return the faults that struck by their names, the slowest first.

    A fault is over when it and all that ran beside it are healed; deliveries are back when one that began afterwards has
    reached Customer.io.
    """
    delivered = sorted((one.started_at, one.finished_at) for one in attempts if one.outcome == "delivered")
    found: dict[str, list[float | None]] = defaultdict(list)
    for strike in strikes:
        if strike.struck and strike.ended_at:
            found[strike.name].append(_until_delivered(_healed_at(strike, strikes), delivered))
    return sorted((_recovery(name, waits) for name, waits in found.items()), key=lambda one: -one.quantile(1))


def _healed_at(strike: Strike, strikes: Iterable[Strike]) -> float:
    beside = [one.ended_at for one in strikes if one.began_at <= strike.ended_at and one.ended_at >= strike.began_at]
    return max(beside)


def _until_delivered(healed: float, delivered: Sequence[tuple[float, float]]) -> float | None:
    place = bisect_left(delivered, (healed, 0.0))
    soon = [finished for _, finished in delivered[place : place + LOOKED_AT]]
    return min(soon) - healed if soon else None


def _recovery(name: str, waits: Sequence[float | None]) -> Recovery:
    known = sorted(wait for wait in waits if wait is not None)
    return Recovery(name=name, seconds=tuple(known), never=len(waits) - len(known))
