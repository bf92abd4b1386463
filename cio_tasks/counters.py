"""Counters: how often something happened that leaves no row of its own, added up over all processes.

A process counts in memory and adds what it counted to the table now and then (`heartbeats.py`; the API: `api/metrics.py`).
What a killed process had not added is lost; nothing else is.
"""

import os
import threading
from collections.abc import Mapping
from typing import Final

from sqlalchemy import event, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, SessionTransaction

from cio_tasks.models import Counter

MOST_KEYS: Final = 1_000
"""The most pairs of name and label that a process knows; what comes beyond is counted as `counters_refused`."""
REFUSED: Final = ("counters_refused", "")
FLUSHED: Final = "ciosync.flushed_counters"

Key = tuple[str, str]
Counts = dict[Key, int]


class _Tally:
    """What this process has counted and not yet added to the table."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a forked process too: what was counted before the fork is the parent's to tell."""
        self._lock = threading.Lock()
        self._counts: Counts = {}

    def add(self, counts: Mapping[Key, int]) -> None:
        with self._lock:
            for key, n in counts.items():
                known = key in self._counts or len(self._counts) < MOST_KEYS
                place = key if known else REFUSED
                self._counts[place] = self._counts.get(place, 0) + n

    def take(self) -> Counts:
        """Return what was counted and start at nought; the keys stay, so that their number is bounded for good."""
        with self._lock:
            taken = {key: n for key, n in self._counts.items() if n}
            self._counts = dict.fromkeys(self._counts, 0)
            return taken


_tally: Final = _Tally()
os.register_at_fork(after_in_child=_tally.forget)


def add(name: str, label: str = "", n: int = 1) -> None:
    """Count `n` more of `name`. The label is a word from a fixed list, never anything that a sender made up."""
    _tally.add({(name, label): n})


def flush(session: Session) -> None:
    """Add what this process has counted to the table, in the caller's transaction, which should be a short one.

    When that is not committed, all of it is counted again at the next flush.
    """
    counted = _tally.take()
    if not counted:
        return
    _give_back_unless_committed(session, counted)
    # In one order for all processes, so that no two flushes wait for each other.
    rows = [{"name": name, "label": label, "value": n} for (name, label), n in sorted(counted.items())]
    added = insert(Counter).values(rows)
    total = {"value": Counter.value + added.excluded.value, "updated_at": func.now()}
    session.execute(added.on_conflict_do_update(index_elements=["name", "label"], set_=total))


def _give_back_unless_committed(session: Session, counted: Counts) -> None:
    if FLUSHED not in session.info:
        session.info[FLUSHED] = []
        event.listen(session, "after_commit", _keep)
        event.listen(session, "after_transaction_end", _give_back)
    session.info[FLUSHED].append(counted)


def _keep(session: Session) -> None:
    """Forget what was flushed: it is in the table. A released savepoint comes here too, and is not a commit yet."""
    if not session.in_nested_transaction():
        session.info[FLUSHED] = []


def _give_back(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        unsaved, session.info[FLUSHED] = session.info[FLUSHED], []
        for counted in unsaved:
            _tally.add(counted)


def read(session: Session) -> Counts:
    """Return all counters of all processes, by name and label."""
    rows = session.execute(select(Counter.name, Counter.label, Counter.value))
    return {(name, label): value for name, label, value in rows}
