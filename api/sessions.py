"""The database of this process: one transaction a request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from flask import Flask, current_app
from sqlalchemy import event
from sqlalchemy.orm import Session

from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.runtime import Runtime, name_worker
from cio_tasks.settings import Settings

POOL_SIZE: Final = 16
"""As many again may overflow, so that each of 32 threads can have a connection."""
BOUNDS: Final = "SET statement_timeout = '5s'; SET lock_timeout = '2s'"
"""A client waits; it is better told to try again than left waiting."""


class Database:
    """Sessions on an engine that is made when first needed, and so after the server has forked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._sessions: Sessions | None = None

    @property
    def sessions(self) -> Sessions:
        """The factory of sessions."""
        with self._lock:
            if self._sessions is None:
                engine = make_engine(self._url, pool_size=POOL_SIZE, application="ciosync api")
                event.listen(engine, "connect", _bound)
                self._sessions = make_sessions(engine)
            return self._sessions

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            if self._sessions is not None:
                self._sessions.kw["bind"].dispose()
                self._sessions = None


def _bound(connection: Any, _record: object) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(BOUNDS)
    connection.autocommit = False


def open_database(app: Flask, settings: Settings) -> Database:
    """Give `app` its database, and return it.

    Raises:
        ConfigurationError: when `DATABASE_URL` is not set.
    """
    database = Database(settings.required_database_url())
    app.extensions["database"] = database
    stopping = app.extensions["stopping"] = threading.Event()
    app.extensions["runtime"] = cache(
        lambda: Runtime(settings, database.sessions, CustomerIO.from_settings(settings), name_worker(), stopping)
    )
    return database


def current_sessions() -> Sessions:
    """Return the factory of sessions, for what opens its own transactions."""
    database: Database = current_app.extensions["database"]
    return database.sessions


def current_runtime() -> Runtime:
    """Return what delivering in this process takes, made when first needed."""
    found: Runtime = current_app.extensions["runtime"]()
    return found


@contextmanager
def snapshot() -> Iterator[Session]:
    """Open a session that reads, whatever others commit meanwhile, what there was at its first statement."""
    with current_sessions()() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        yield session


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session whose transaction is committed at the end of the block, or rolled back when the block raises."""
    with current_sessions().begin() as session:
        yield session
