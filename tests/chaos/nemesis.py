"""The nemesis: attacks up to three places at once, and leaves everything healed. A deck is played out; a storm goes on."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.attacks import Attack, Outcome, make
from tests.chaos.evidence import Strike
from tests.chaos.system import Shape, System

MOST_AT_ONCE: Final = 3
TICK_SECONDS: Final = 0.05
LONGEST_PAUSE: Final = 0.6
TURNS: Final = 12
"""How often an attack that found nobody is put back into the deck."""
CALM_SECONDS: Final = (1.0, 5.0)
"""How long nothing is broken between two waves of a storm."""

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


def draw_wave(names: Sequence[str], seed: int, number: int) -> list[str]:
    """Return which attacks make wave `number` of a storm: one to three, as the seed alone decides."""
    chance = random.Random(f"{seed}:wave:{number}")
    return chance.sample(names, chance.randint(1, MOST_AT_ONCE))


class Nemesis(ABC):
    """Attacks a system until it has had enough, or its time is over."""

    def __init__(self, system: System, shape: Shape, *, seed: int, tell: Tell = lambda _: None) -> None:
        self.strikes: list[Strike] = []
        self._system = system
        self._shape = shape
        self._seed = seed
        self._running: list[_Running] = []
        self._tell = tell
        self._pause = threading.Event()

    def busy(self) -> frozenset[str]:
        """Return the targets that are under attack now. May be asked from any thread."""
        return frozenset(running.attack.target for running in tuple(self._running))

    def run(self, seconds: float) -> None:
        """Attack, for at most so many seconds, and heal everything in the end."""
        until = time.monotonic() + seconds
        try:
            while (self._has_more() or self._running) and time.monotonic() < until:
                self._end_what_is_over()
                self._go_on()
                self._pause.wait(TICK_SECONDS)
        finally:
            for running in list(self._running):
                self._end(running)
            heal(self._system)

    @abstractmethod
    def _has_more(self) -> bool:
        """Tell whether there is another attack to begin, now or later."""

    @abstractmethod
    def _go_on(self) -> None:
        """Begin what is to begin now."""

    def _missed(self, running: _Running) -> bool:
        """Take an attack that found nobody back; return False when it counts as missed for good."""
        return False

    def _begin(self, name: str, number: int, turn: int) -> bool:
        """Begin an attack unless its target is under attack; return whether it began."""
        chance = random.Random(f"{self._seed}:{number}:{turn}")
        attack = make(name, chance, self._shape.time_scale, self._shape.stuck_after)
        if attack.target in self.busy():
            return False
        began = time.time(), time.monotonic()
        end = attack.begin(self._system)
        self._running.append(_Running(attack, number, turn, began[0], began[1] + attack.seconds, end))
        return True

    def _end_what_is_over(self) -> None:
        for running in list(self._running):
            if time.monotonic() >= running.until or running.attack.is_over(self._system):
                self._end(running)

    def _end(self, running: _Running) -> None:
        self._running.remove(running)
        outcome = running.end()
        if not outcome.struck and self._missed(running):
            return
        name, ended = running.attack.name, time.time()
        self.strikes.append(
            Strike(name=name, began_at=running.began_at, ended_at=ended, struck=outcome.struck, kills=outcome.kills)
        )
        self._tell(f"{name}{'' if outcome.struck else ': found nobody'} ({ended - running.began_at:.1f} s)")


class Deck(Nemesis):
    """Plays a shuffled deck of attacks until it is empty, one to three at any moment."""

    def __init__(
        self, system: System, shape: Shape, counts: Mapping[str, int], *, seed: int, tell: Tell = lambda _: None
    ) -> None:
        super().__init__(system, shape, seed=seed, tell=tell)
        self._cards = [(name, place, 1) for place, name in enumerate(shuffled(counts, seed))]
        self._chance = random.Random(f"{seed}:nemesis")
        self._wanted, self._next_at = 1, 0.0

    def _has_more(self) -> bool:
        return bool(self._cards)

    def _go_on(self) -> None:
        if len(self._running) < self._wanted and time.monotonic() >= self._next_at and self._begin_one():
            self._wanted = self._chance.randint(1, MOST_AT_ONCE)
            self._next_at = time.monotonic() + self._chance.uniform(0, LONGEST_PAUSE)

    def _begin_one(self) -> bool:
        """Begin the next attack in the deck whose target is free; return whether there was one."""
        for card in self._cards:
            if self._begin(*card):
                self._cards.remove(card)
                return True
        return False

    def _missed(self, running: _Running) -> bool:
        if running.turn < TURNS:
            self._cards.append((running.attack.name, running.number, running.turn + 1))
        return running.turn < TURNS


class Storm(Nemesis):
    """Attacks in waves that the seed draws: one to three faults begin together, all are healed, then comes a calm."""

    def __init__(
        self, system: System, shape: Shape, names: Sequence[str], *, seed: int, tell: Tell = lambda _: None
    ) -> None:
        super().__init__(system, shape, seed=seed, tell=tell)
        self._names = sorted(names)
        self._chance = random.Random(f"{seed}:calm")
        self._waves = 0
        self._next_at = 0.0

    def _has_more(self) -> bool:
        return True

    def _go_on(self) -> None:
        now = time.monotonic()
        if self._running or now < self._next_at:
            return
        self._waves += 1
        for place, name in enumerate(draw_wave(self._names, self._seed, self._waves)):
            self._begin(name, self._waves * MOST_AT_ONCE + place, 1)

    def _end(self, running: _Running) -> None:
        super()._end(running)
        self._next_at = time.monotonic() + self._chance.uniform(*CALM_SECONDS)


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
    system.second_beat.stop()
    system.change_customerio()
