import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import text

from api import create_app
from cio_tasks.db import Sessions
from cio_tasks.settings import Settings
from tests.api.callers import NOT_LISTENING, Caller, Reply

ALL_WELL = {"database": "ok", "migrations": "ok", "redis": "ok"}


def ask(settings: Settings, **urls: str | None) -> Reply:
    secrets = {name: None if url is None else SecretStr(url) for name, url in urls.items()}
    return Caller(create_app(settings.model_copy(update=secrets))).get("/readyz")


def set_version(sessions: Sessions, version: str) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def test_a_process_is_alive_whatever_it_depends_on(settings: Settings) -> None:
    nothing = {"database_url": SecretStr(f"postgresql+psycopg2://{NOT_LISTENING}/d"), "redis_url": None}
    reply = Caller(create_app(settings.model_copy(update=nothing))).get("/healthz")
    assert (reply.status_code, reply.json) == (200, {"status": "ok"})


def test_a_process_is_ready_when_all_its_parts_are(app: Flask) -> None:
    reply = Caller(app).get("/readyz")
    assert (reply.status_code, reply.json) == (200, {"status": "ready", "checks": ALL_WELL})


@pytest.mark.parametrize(("url", "state"), [(f"redis://{NOT_LISTENING}/0", "failed"), (None, "not_configured")])
def test_a_process_without_redis_is_not_ready(url: str | None, state: str, settings: Settings) -> None:
    reply = ask(settings, redis_url=url)
    assert (reply.status_code, reply.json["checks"]) == (503, ALL_WELL | {"redis": state})


def test_a_process_without_its_database_is_not_ready(settings: Settings) -> None:
    reply = ask(settings, database_url=f"postgresql+psycopg2://{NOT_LISTENING}/d")
    assert reply.status_code == 503
    assert reply.json == {
        "status": "not_ready",
        "checks": {"database": "failed", "migrations": "failed", "redis": "ok"},
    }


def test_parts_that_do_not_answer_are_not_waited_for(settings: Settings, silent_port: int) -> None:
    reply = ask(settings, database_url=f"postgresql+psycopg2://u@127.0.0.1:{silent_port}/d")
    assert reply.json["checks"] == {"database": "no_answer", "migrations": "no_answer", "redis": "ok"}


def test_a_schema_that_lags_behind_is_not_ready(app: Flask, sessions: Sessions) -> None:
    set_version(sessions, "0000")
    assert Caller(app).get("/readyz").json["checks"] == ALL_WELL | {"migrations": "behind"}


def test_a_schema_that_is_ahead_is_ready(app: Flask, sessions: Sessions) -> None:
    """During a release the schema is migrated before the last old process has gone."""
    set_version(sessions, "9999")
    assert Caller(app).get("/readyz").status_code == 200
