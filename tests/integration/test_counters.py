import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from cio_tasks import counters
from cio_tasks.db import Sessions, make_engine, make_sessions
from tests.integration.counting import begin_at_nought, flush

SPAWN = multiprocessing.get_context("spawn")
NAMES = [f"counter-{number:03}" for number in range(300)]


@pytest.fixture(autouse=True)
def _nothing_counted_yet(sessions: Sessions) -> Iterator[None]:
    """Other tests have counted in this process."""
    begin_at_nought(sessions)
    yield
    flush(sessions)


def read(sessions: Sessions) -> counters.Counts:
    with sessions() as session:
        return counters.read(session)


def flush_and_be_cut_off(sessions: Sessions) -> None:
    def cut_off(_session: object) -> None:
        raise ConnectionResetError

    with sessions.begin() as session:
        event.listen(session, "before_commit", cut_off)
        counters.flush(session)


def count_elsewhere(url: str, names: list[str], rounds: int) -> None:
    """What another process does."""
    sessions = make_sessions(make_engine(url))
    for _ in range(rounds):
        for name in names:
            counters.add(name)
        flush(sessions)


def count_together(together: Barrier, url: str, names: list[str], rounds: int) -> None:
    together.wait(30)
    count_elsewhere(url, names, rounds)


def count_and_fork(url: str) -> None:
    """Count five, and one more in a child that is forked before they are flushed."""
    counters.add("webhooks", n=5)
    child = os.fork()
    count_elsewhere(url, ["webhooks"] if child == 0 else [], 1)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def elsewhere(*calls: Any) -> None:
    """Call a function with its arguments in a process of its own, which must end well."""
    function, *arguments = calls
    other = SPAWN.Process(target=function, args=arguments)
    other.start()
    other.join(60)
    assert other.exitcode == 0


def test_counts_add_up_over_flushes(sessions: Sessions) -> None:
    counters.add("webhooks", "stored")
    flush(sessions)
    counters.add("webhooks", "stored", n=2)
    counters.add("webhooks", "duplicate")
    flush(sessions)
    assert read(sessions) == {("webhooks", "stored"): 3, ("webhooks", "duplicate"): 1}


def test_a_flush_with_nothing_counted_writes_nothing(sessions: Sessions) -> None:
    counters.add("webhooks")
    flush(sessions)
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 1}


def test_threads_lose_no_count(sessions: Sessions) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(4_000):
            threads.submit(counters.add, "webhooks")
            if number % 500 == 0:
                threads.submit(flush, sessions)
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 4_000}


def test_processes_add_to_the_same_counter_without_a_deadlock(database_url: str, sessions: Sessions) -> None:
    together = SPAWN.Barrier(2)
    with ThreadPoolExecutor() as both:
        orders = (NAMES, NAMES[::-1])
        list(both.map(lambda names: elsewhere(count_together, together, database_url, names, 30), orders))
    assert read(sessions) == {(name, ""): 60 for name in NAMES}


def test_a_flush_that_is_rolled_back_loses_nothing(sessions: Sessions) -> None:
    counters.add("webhooks", n=3)
    with sessions() as session:
        counters.flush(session)
        session.rollback()
    assert read(sessions) == {}
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 3}


def test_a_flush_that_the_database_refuses_loses_nothing(sessions: Sessions) -> None:
    counters.add("webhooks", n=3)
    unreachable = make_sessions(make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"))
    with pytest.raises(OperationalError):
        flush(unreachable)
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 3}


def test_a_commit_that_fails_loses_nothing(sessions: Sessions) -> None:
    counters.add("webhooks", n=3)
    with pytest.raises(ConnectionResetError):
        flush_and_be_cut_off(sessions)
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 3}


def test_a_flush_is_kept_when_its_session_is_used_again(sessions: Sessions) -> None:
    counters.add("webhooks")
    with sessions() as session:
        counters.flush(session)
        session.commit()
        session.execute(text("SELECT 1"))
        session.rollback()
    flush(sessions)
    assert read(sessions) == {("webhooks", ""): 1}


def test_the_number_of_keys_is_bounded(database_url: str, sessions: Sessions) -> None:
    elsewhere(count_elsewhere, database_url, [f"made-up-{number}" for number in range(2 * counters.MOST_KEYS)], 1)
    counted = read(sessions)
    assert len(counted) == counters.MOST_KEYS + 1
    assert counted[counters.REFUSED] == counters.MOST_KEYS


def test_a_forked_process_does_not_tell_again_what_its_parent_counted(database_url: str, sessions: Sessions) -> None:
    elsewhere(count_and_fork, database_url)
    assert read(sessions) == {("webhooks", ""): 6}
