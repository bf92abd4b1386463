import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from flask import Flask
from sqlalchemy import func, select

from api import create_app
from cio_tasks.db import Base, Sessions
from cio_tasks.models import Counter
from cio_tasks.settings import Settings
from tests.api.callers import Caller

Counts = dict[str, int]


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    app.extensions["database"].close()


@pytest.fixture
def shop(app: Flask) -> Caller:
    """The application that submits signups."""
    return Caller(app, "app-token")


@pytest.fixture
def viewer(app: Flask) -> Caller:
    return Caller(app, "viewer-token")


@pytest.fixture
def operator(app: Flask) -> Caller:
    return Caller(app, "operator-token")


@pytest.fixture
def admin(app: Flask) -> Caller:
    return Caller(app, "admin-token")


@pytest.fixture
def anybody(app: Flask) -> Caller:
    return Caller(app)


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server


@pytest.fixture
def silent_port(silent_server: socket.socket) -> int:
    """The port of the silent server."""
    port: int = silent_server.getsockname()[1]
    return port


@pytest.fixture
def count_callers(silent_server: socket.socket) -> Callable[[], int]:
    """Count the connections that the silent server was asked for."""

    def count() -> int:
        silent_server.setblocking(False)
        callers = 0
        with suppress(BlockingIOError):
            while True:
                silent_server.accept()[0].close()
                callers += 1
        return callers

    return count


@pytest.fixture
def count_rows(sessions: Sessions) -> Callable[[], Counts]:
    """Count the rows of every table: what must not change when a request is refused. That it was asked is counted."""

    def count() -> Counts:
        with sessions() as session:
            tables = [table for table in Base.metadata.sorted_tables if table is not Counter.__table__]
            return {table.name: session.scalars(select(func.count()).select_from(table)).one() for table in tables}

    return count
