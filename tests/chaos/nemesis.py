"""The nemesis: draws from a shuffled deck of attacks, up to three at once, and leaves everything healed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.attacks import Attack, Outcome, make
from tests.chaos.evidence import Strike
from tests.chaos.system import Shape, System

MOST_AT_ONCE: Final = 3
TICK_SECONDS: Final = 0.05
LONGEST_PAUSE: Final = 0.6
TURNS: Final = 4
"""How often an attack that found nobody is put back into the deck."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Running:
    attack: Attack
    number: int
    turn: int
    began_at: float
    until: float
    end: Callable[[], Outcome]


def shuffled(counts: Mapping[str, int], seed: int) -> list[str]:
    """Return the deck: each name so often, in an order that the seed alone decides."""
    deck = sorted(Counter(counts).elements())
    random.Random(f"{seed}:deck").shuffle(deck)
    return deck


class Nemesis:
    """Attacks a system until the deck is empty or its time is over."""

    def __init__(
        self, system: System, shape: Shape, counts: Mapping[str, int], *, seed: int, tell: Tell = lambda _: None
    ) -> None:
        self.strikes: list[Strike] = []
        self._system = system
        self._shape = shape
        self._seed = seed
        self._deck = [(name, place, 1) for place, name in enumerate(shuffled(counts, seed))]
        self._chance = random.Random(f"{seed}:nemesis")
        self._running: list[_Running] = []
        self._tell = tell
        self._pause = threading.Event()

    @property
    def left(self) -> int:
        """How many attacks are still in the deck."""
        return len(self._deck)

    def run(self, seconds: float) -> None:
        """Attack, for at most so many seconds, and heal everything in the end."""
        until = time.monotonic() + seconds
        wanted, next_at = 1, 0.0
        try:
            while (self._deck or self._running) and time.monotonic() < until:
                self._end_what_is_over()
                if len(self._running) < wanted and time.monotonic() >= next_at and self._begin_one():
                    wanted = self._chance.randint(1, MOST_AT_ONCE)
                    next_at = time.monotonic() + self._chance.uniform(0, LONGEST_PAUSE)
                self._pause.wait(TICK_SECONDS)
        finally:
            for running in list(self._running):
                self._end(running)
            heal(self._system)

    def _begin_one(self) -> bool:
        """Begin the next attack in the deck whose target is free; return whether there was one."""
        busy = {running.attack.target for running in self._running}
        for place, (name, number, turn) in enumerate(self._deck):
            chance = random.Random(f"{self._seed}:{number}:{turn}")
            attack = make(name, chance, self._shape.time_scale, self._shape.stuck_after)
            if attack.target not in busy:
                del self._deck[place]
                began = time.time(), time.monotonic()
                end = attack.begin(self._system)
                self._running.append(_Running(attack, number, turn, began[0], began[1] + attack.seconds, end))
                return True
        return False

    def _end_what_is_over(self) -> None:
        for running in list(self._running):
            if time.monotonic() >= running.until or running.attack.is_over(self._system):
                self._end(running)

    def _end(self, running: _Running) -> None:
        self._running.remove(running)
        outcome = running.end()
        if not outcome.struck and running.turn < TURNS:
            self._deck.append((running.attack.name, running.number, running.turn + 1))
            return
        name, ended = running.attack.name, time.time()
        self.strikes.append(
            Strike(name=name, began_at=running.began_at, ended_at=ended, struck=outcome.struck, kills=outcome.kills)
        )
        self._tell(f"{name}{'' if outcome.struck else ': found nobody'} ({ended - running.began_at:.1f} s)")


def heal(system: System) -> None:
    """Make everything well again, whatever was done to it."""
    for token in (system.folder / "failpoints").glob("*.*"):
        if token.suffix != ".log":
            token.unlink(missing_ok=True)
    for proxy in system.proxies.values():
        proxy.heal()
    system.valkey.start()
    system.postgres.start()
    system.wake_stopped()
    system.change_customerio()
