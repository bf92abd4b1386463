"""Counts of this process that belong to no earlier test."""

from sqlalchemy import text

from cio_tasks import counters
from cio_tasks.db import Sessions


def flush(sessions: Sessions) -> None:
    """Add what this process has counted to the table."""
    with sessions.begin() as session:
        counters.flush(session)


def begin_at_nought(sessions: Sessions) -> None:
    """Forget what other tests have counted in this process."""
    flush(sessions)
    with sessions.begin() as session:
        session.execute(text("DELETE FROM customerio_counters"))
