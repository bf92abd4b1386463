"""The database down, slow or busy: 503, soon, and nothing half done. Redis down: nothing is wrong."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from uuid import uuid4

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import select, text

from api import create_app
from api.sessions import POOL_SIZE
from cio_tasks.db import Sessions
from cio_tasks.embedded import create_database
from cio_tasks.models import Signup
from cio_tasks.settings import Settings
from tests.api.callers import NOT_LISTENING, SIGNUP, SIGNUPS, Caller, Reply
from tests.api.conftest import Counts
from tests.conftest import Server
from tests.factories import Factory


def with_database(settings: Settings, url: str) -> Caller:
    return Caller(create_app(settings.model_copy(update={"database_url": SecretStr(url)})), "app-token")


def with_redis(settings: Settings, url: str | None) -> Caller:
    secret = None if url is None else SecretStr(url)
    return Caller(create_app(settings.model_copy(update={"redis_url": secret})), "app-token")


def is_unavailable(reply: Reply) -> bool:
    return (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "unavailable", "2")


def test_a_database_that_is_down_is_answered_at_once(settings: Settings) -> None:
    shop, started = with_database(settings, f"postgresql+psycopg2://u@{NOT_LISTENING}/d"), time.monotonic()
    assert is_unavailable(shop.post(SIGNUPS, SIGNUP))
    assert time.monotonic() - started < 10, "no time is spent on trying again"


def test_a_database_that_does_not_answer_is_given_up_in_seconds(settings: Settings, silent_port: int) -> None:
    shop = with_database(settings, f"postgresql+psycopg2://u@127.0.0.1:{silent_port}/d")
    started = time.monotonic()
    assert is_unavailable(shop.post(SIGNUPS, SIGNUP))
    assert time.monotonic() - started < 30, "the driver alone would wait for ever"


def test_an_exhausted_pool_is_answered_in_about_a_second(app: Flask, shop: Caller) -> None:
    with ExitStack() as held:
        for _ in range(2 * POOL_SIZE):
            held.enter_context(app.extensions["database"].sessions()).execute(text("SELECT 1"))
        started = time.monotonic()
        assert is_unavailable(shop.submit())
        assert time.monotonic() - started < 15, "SQLAlchemy alone would wait for 30 s"
    assert shop.submit().status_code == 201


def test_a_lock_held_elsewhere_is_not_waited_for_long(
    shop: Caller, make: Factory, sessions: Sessions, count_rows: Callable[[], Counts]
) -> None:
    signup = make.signup()
    before = count_rows()
    with sessions.begin() as session:
        session.execute(select(Signup.id).where(Signup.id == signup.id).with_for_update())
        started = time.monotonic()
        assert is_unavailable(shop.confirm(signup.id))
        assert time.monotonic() - started < 15, "Postgres alone would wait for ever"
    assert count_rows() == before
    assert shop.confirm(signup.id).status_code == 200


@pytest.mark.parametrize(("bound", "value"), [("lock_timeout", "2s"), ("statement_timeout", "5s")])
def test_a_lock_is_waited_for_two_seconds_and_a_statement_five(bound: str, value: str, app: Flask) -> None:
    with app.extensions["database"].sessions() as session:
        assert session.scalar(text(f"SHOW {bound}")) == value


def test_connections_that_the_server_dropped_are_replaced(shop: Caller, make: Factory, sessions: Sessions) -> None:
    assert shop.submit(externalId="1").status_code == 201
    with sessions.begin() as session:
        ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ciosync api'"
        session.execute(text(ours + " AND datname = current_database()"))
    assert shop.submit(externalId="2").status_code == 201


@pytest.mark.parametrize("address", [f"redis://{NOT_LISTENING}/0", None])
def test_a_signup_is_taken_while_redis_is_down(address: str | None, settings: Settings, make: Factory) -> None:
    assert with_redis(settings, address).submit().status_code == 201
    assert len(make.all(Signup)) == 1


def test_a_silent_redis_is_asked_once_and_then_left_alone(
    settings: Settings, silent_port: int, count_callers: Callable[[], int]
) -> None:
    shop = with_redis(settings, f"redis://127.0.0.1:{silent_port}/0")
    assert {shop.submit(externalId=str(number)).status_code for number in range(20)} == {201}
    assert 1 <= count_callers() < 10  # once for the limits and once for the bell, and again after five seconds


def test_a_database_that_is_not_migrated_yet_is_unavailable(settings: Settings, postgres: Server) -> None:
    url = create_database(postgres.url, f"empty_{uuid4().hex}")
    assert is_unavailable(with_database(settings, url).post(SIGNUPS, SIGNUP))
