"""The database down, silent or busy: the sender is told to come again within a second, and nothing is lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import text

from api.sessions import POOL_SIZE
from api.webhooks import THREADS
from cio_tasks.db import Sessions
from cio_tasks.embedded import create_database, drop_database
from cio_tasks.models import WebhookEvent
from cio_tasks.settings import Settings
from tests.api.callers import NOT_LISTENING, Reply
from tests.api.webhook_sender import SECRET, app_with, body_of, send
from tests.concurrency.together import together
from tests.conftest import Server
from tests.eventually import eventually
from tests.factories import Factory

LOCK = text("LOCK TABLE customerio_webhook_events IN ACCESS EXCLUSIVE MODE")
DROP = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'ciosync api' AND datname = current_database()
""")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = app_with(settings)
    yield app
    app.extensions["database"].close()


@contextmanager
def locked(sessions: Sessions) -> Iterator[None]:
    """Keep everybody else from the table."""
    with sessions.begin() as session:
        session.execute(LOCK)
        yield


def is_unavailable(reply: Reply) -> bool:
    return (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "unavailable", "2")


def quickest_refusal(app: Flask) -> float:
    """Return how many seconds the quickest of three refusals took: this machine may be busy with something else."""
    taken = []
    for _ in range(3):
        started = time.monotonic()
        assert is_unavailable(send(app))
        taken.append(time.monotonic() - started)
    return min(taken)


def hanging() -> int:
    return sum(thread.name.startswith("webhooks") for thread in threading.enumerate())


def test_a_database_that_is_down_is_answered_at_once(settings: Settings) -> None:
    app = app_with(settings, database_url=SecretStr(f"postgresql+psycopg2://u@{NOT_LISTENING}/d"))
    assert quickest_refusal(app) < 0.5


def test_a_database_that_does_not_answer_costs_less_than_a_second(settings: Settings, silent_port: int) -> None:
    app = app_with(settings, database_url=SecretStr(f"postgresql+psycopg2://u@127.0.0.1:{silent_port}/d"))
    assert quickest_refusal(app) < 1
    assert send(app, headers={}).status_code == 401


def test_an_exhausted_pool_costs_less_than_a_second(app: Flask) -> None:
    with ExitStack() as held:
        for _ in range(2 * POOL_SIZE):
            held.enter_context(app.extensions["database"].sessions()).execute(text("SELECT 1"))
        assert quickest_refusal(app) < 1
    assert send(app).status_code == 200


def test_an_event_that_could_not_be_stored_in_time_is_stored_once_when_it_comes_again(
    app: Flask, sessions: Sessions, make: Factory
) -> None:
    with locked(sessions):
        assert quickest_refusal(app) < 1
    eventually(lambda: send(app).status_code, lambda status: status == 200)
    assert len(make.all(WebhookEvent)) == 1


def test_many_webhooks_hold_few_threads_on_a_database_that_hangs(app: Flask, sessions: Sessions, make: Factory) -> None:
    before = hanging()
    with locked(sessions):
        replies = together(40, lambda number: send(app, body_of(f"e{number}")))
        assert hanging() - before <= THREADS
    assert all(map(is_unavailable, replies))
    eventually(lambda: send(app).status_code, lambda status: status == 200)
    assert len(make.all(WebhookEvent)) <= THREADS + 1


def test_connections_that_the_server_dropped_are_replaced(app: Flask, sessions: Sessions) -> None:
    assert send(app).json["duplicate"] is False
    with sessions.begin() as session:
        session.execute(DROP)
    assert send(app).json["duplicate"] is True


def test_a_database_that_is_not_migrated_yet_is_unavailable(settings: Settings, postgres: Server) -> None:
    name = f"empty_{uuid4().hex}"
    app = app_with(settings, SECRET, database_url=SecretStr(create_database(postgres.url, name)))
    assert is_unavailable(send(app))
    app.extensions["database"].close()
    drop_database(postgres.url, name)
