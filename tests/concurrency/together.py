"""Threads that start at the same instant, and crowds of jobs for them to fight over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from sqlalchemy import Engine, text

from cio_tasks.db import Sessions

T = TypeVar("T")

CUSTOMERS = """
    INSERT INTO customers (email, first_name, last_name)
    SELECT 'crowd' || i || '@example.com', 'Ada', 'Lovelace' FROM generate_series(1, :count) i
"""
SIGNUPS = "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-1' FROM customers"
JOBS = "INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase) SELECT id, 'initial' FROM signups"
BLOCKED = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Call `work(0)` to `work(count - 1)` in as many threads at once; return what they return, or raise what one raises."""
    start = Barrier(count)

    def run(number: int) -> T:
        start.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def crowd(sessions: Sessions, count: int) -> None:
    """Make so many signups, each with an initial job that is due."""
    with sessions.begin() as session:
        session.execute(text(CUSTOMERS), {"count": count})
        session.execute(text(SIGNUPS))
        session.execute(text(JOBS))


def blocked(sessions: Sessions) -> int:
    """Return how many sessions wait for a lock now."""
    with sessions() as session:
        return int(session.scalar(BLOCKED) or 0)


def deadlocks(engine: Engine) -> int:
    """Return how often the database had to break a deadlock. Sessions report that at the latest when they end."""
    engine.dispose()
    with engine.connect() as connection:
        return int(connection.scalar(DEADLOCKS) or 0)
