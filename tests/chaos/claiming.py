"""Claimers: threads of one process, each with a connection of its own, that claim jobs and record what became of them."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cio_tasks import transitions
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.outcomes import Deferred, Delivered
from tests.chaos.holdings import note

GATE: Final = 20_261_122
"""The advisory lock behind which all claimers wait for the start."""
AT_MOST: Final = 16
"""Jobs in one claim."""
COMPLETED: Final = 0.08
PUT_OFF: Final = 0.2
"""The share of claims that is completed, or given back to be due a moment later; the rest is due again at once."""
MOMENT: Final = timedelta(milliseconds=20)
LATE_AT: Final = 2
LATE_EVERY: Final = 100
"""A claimer's second claim, and then every hundredth, is recorded only when the cleanup has taken it back."""
NOTHING_SECONDS: Final = 0.01

Ending = Callable[[Session, Sequence[Claim]], list[Claim]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one process does: so many claims for each of these claimers, until a moment of the wall clock at the latest."""

    url: str
    claimers: Sequence[int]
    claims_each: int
    stale: timedelta
    until: float
    seed: int


@dataclass(kw_only=True)
class Tally:
    """What a claimer did. `refused` counts the jobs that it recorded too late, `seconds` has the time of each claim."""

    claims: int = 0
    refused: int = 0
    empty: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What the database refused, by its class. Nothing may."""


def claim_together(order: Order) -> list[Tally]:
    """Let all claimers of this process work at the same time; return what each did."""
    many = len(order.claimers)
    engine = make_engine(order.url, pool_size=many, application="claimers")
    for connection in [engine.connect() for _ in order.claimers]:  # one by one: all at once would take too long
        connection.close()
    with ThreadPoolExecutor(many) as pool:
        tallies = list(pool.map(lambda number: _Claimer(order, make_sessions(engine), number).run(), order.claimers))
    engine.dispose()
    return tallies


class _Claimer:
    def __init__(self, order: Order, sessions: Sessions, number: int) -> None:
        self._order = order
        self._sessions = sessions
        self._name = f"claimer{number}"
        self._chance = random.Random(f"{order.seed}:{number}")
        self._pause = threading.Event()
        self._tally = Tally()

    def run(self) -> Tally:
        """Claim and record until it was enough, and return what happened."""
        self._wait_for_start()
        for turn in count(1):
            if self._tally.claims >= self._order.claims_each or time.time() > self._order.until:
                break
            try:
                self._take_turn(is_late=turn % LATE_EVERY == LATE_AT)
            except DBAPIError as error:
                self._tally.failures.append(type(error.orig).__name__)
        return self._tally

    def _wait_for_start(self) -> None:
        with self._sessions.begin() as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            session.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": GATE})

    def _take_turn(self, *, is_late: bool) -> None:
        claims = self._claim()
        if is_late:
            self._pause.wait(2 * self._order.stale.total_seconds())
        if claims:
            self._end(claims)
        else:
            self._pause.wait(NOTHING_SECONDS)

    def _claim(self) -> list[Claim]:
        limit = min(self._chance.randint(1, AT_MOST), self._order.claims_each - self._tally.claims)
        began = time.perf_counter()
        with self._sessions.begin() as session:
            claims = transitions.claim(session, worker=self._name, limit=limit)
            note(session, "taken", claims, self._name)
        self._tally.seconds.append(time.perf_counter() - began)
        self._tally.claims += len(claims)
        self._tally.empty += not claims
        return claims

    def _end(self, claims: Sequence[Claim]) -> None:
        ending = self._draw_ending()
        with self._sessions.begin() as session:
            held = ending(session, claims)
            note(session, "ended", held, self._name)
        self._tally.refused += len(claims) - len(held)

    def _draw_ending(self) -> Ending:
        drawn = self._chance.random()
        if drawn < COMPLETED:
            return lambda session, claims: transitions.complete(session, claims, Delivered(200), None)
        given_back = Deferred("test", "given back", MOMENT if drawn < COMPLETED + PUT_OFF else None)
        return lambda session, claims: transitions.release(session, claims, given_back, None)
