"""Which errors are waited out, and for how long."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.patience import HURRIED_TRIES, Patience, insist
from tests.concurrency.together import together

NOWHERE = "postgresql+psycopg2://nobody@127.0.0.1:1/nothing"


def patience(seconds: float = 20, *, stopping: bool = False) -> Patience:
    event = threading.Event()
    if stopping:
        event.set()
    return Patience(event, timedelta(seconds=seconds))


def failing_once(state: str, tries: list[bool]) -> Callable[[Session, bool], str]:
    """Return work that meets an SQLSTATE the first time."""

    def work(session: Session, again: bool) -> str:
        tries.append(again)
        if not again:
            session.execute(text("SELECT set_config('ciosync.state', :state, false)"), {"state": state})
            session.execute(
                text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = current_setting('ciosync.state'); END $$")
            )
        return "done"

    return work


@pytest.mark.parametrize(
    "state",
    ["40001", "40P01", "55P03", "57P01", "57P03", "53300"],
    ids=["serialization", "deadlock", "lock_timeout", "shutdown", "starting", "too_many_connections"],
)
def test_what_passes_is_tried_again(sessions: Sessions, state: str) -> None:
    tries: list[bool] = []

    assert insist(sessions, patience(), failing_once(state, tries)) == "done"
    assert tries == [False, True]


@pytest.mark.parametrize("state", ["23505", "22P02", "42703"], ids=["unique", "bad_text", "no_column"])
def test_what_does_not_pass_is_raised_at_once(sessions: Sessions, state: str) -> None:
    tries: list[bool] = []
    with pytest.raises(DBAPIError):
        insist(sessions, patience(), failing_once(state, tries))

    assert tries == [False]


def test_a_real_deadlock_is_resolved(sessions: Sessions) -> None:
    """Two take the same two locks the other way round."""
    both = threading.Barrier(2)

    def work(number: int) -> int:
        def locking(session: Session, again: bool) -> int:
            first, second = (1, 2) if number else (2, 1)
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": first})
            if not again:
                both.wait(timeout=10)
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": second})
            return number

        return insist(sessions, patience(), locking)

    assert together(2, work) == [0, 1]


def test_a_pool_without_a_free_connection_is_waited_for(database_url: str) -> None:
    engine = make_engine(database_url, pool_size=1)
    held = [engine.connect(), engine.connect()]
    tries: list[bool] = []

    def work(_session: Session, again: bool) -> bool:
        tries.append(again)
        _session.execute(text("SELECT 1"))
        return again

    threading.Timer(1.2, held[0].close).start()
    assert insist(make_sessions(engine), patience(), work)
    assert tries[0] is False
    held[1].close()
    engine.dispose()


@pytest.mark.parametrize("seconds", [0.5, 2])
def test_patience_ends(seconds: float) -> None:
    started = time.monotonic()
    with pytest.raises(OperationalError):
        insist(make_sessions(make_engine(NOWHERE)), patience(seconds), lambda session, _: session.connection())

    assert time.monotonic() - started < seconds + 15


def test_a_worker_that_has_to_stop_tries_a_few_times_more() -> None:
    tries = []

    def work(session: Session, again: bool) -> None:
        tries.append(again)
        session.connection()

    with pytest.raises(OperationalError):
        insist(make_sessions(make_engine(NOWHERE)), patience(stopping=True), work)

    assert len(tries) == 1 + HURRIED_TRIES


class Impatient(threading.Event):
    """Notes how long it was waited for, and keeps nobody waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        return super().wait(0)


def pause(times: int) -> list[float]:
    event = Impatient()
    waiting = Patience(event, timedelta(hours=1))
    assert all(waiting.wait() for _ in range(times))
    return event.pauses


def test_being_told_to_stop_cuts_a_pause_short() -> None:
    assert len(pause(5)) == 5  # each of them is spent waiting to be told


def test_pauses_grow_and_differ() -> None:
    pauses = [pause(2) for _ in range(5)]

    assert all(0.1 <= first <= 0.2 <= second <= 0.4 for first, second in pauses)
    assert len({first for first, _ in pauses}) > 1


def test_pauses_stop_growing() -> None:
    assert all(1 <= one <= 2 for one in pause(8)[4:])
