"""The two stores: what they are, what is wrong with them, and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg2
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text

from cio_tasks.checks import Check, Group, Status
from cio_tasks.checks import database as database_checks
from cio_tasks.checks.database import Server
from cio_tasks.checks.running import run_checks
from cio_tasks.embedded import create_database, drop_database
from cio_tasks.settings import Settings
from tests import conftest
from tests.checking import changed, look

SERVER = Server("18.1", timedelta(0), timedelta(0), 5, 97, is_standby=False, has_trigrams=True, schema="0002")


def database(settings: Settings) -> dict[str, Check]:
    return look(settings, Group.DATABASE)


def broker(settings: Settings) -> dict[str, Check]:
    return look(settings, Group.REDIS)


def judged(server: Server) -> dict[str, Check]:
    return {check.id: check for check in database_checks.judge(server)}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")


@pytest.fixture
def empty_database(postgres: conftest.Server) -> Iterator[str]:
    yield create_database(postgres.url, "without_tables")
    drop_database(postgres.url, "without_tables")


def test_a_good_database_is_told_with_its_release(settings: Settings) -> None:
    checks = database(settings)
    assert {check.status for check in checks.values()} == {Status.OK}
    assert checks["database.reachable"].message.startswith("Postgres 18")
    assert "migrations at head (000" in checks["database.migrations"].message
    assert " connections in use" in checks["database.connections"].message


def test_a_database_without_tables_needs_the_migrations(settings: Settings, empty_database: str) -> None:
    checks = look(changed(settings, database_url=SecretStr(empty_database)), Group.DATABASE, Group.QUEUE, Group.BEAT)
    assert (checks["database.migrations"].status, checks["database.migrations"].fix) == ("fail", "ciosync db upgrade")
    assert checks["database.pg_trgm"].status is Status.WARN
    assert checks["queue.age"].status is checks["beat.tick"].status is Status.SKIP


def test_missing_tables_are_a_failure_where_nothing_else_tells_it(settings: Settings, empty_database: str) -> None:
    report = run_checks(changed(settings, database_url=SecretStr(empty_database)), only=[Group.QUEUE])
    (check,) = report.checks
    assert (check.status, check.fix) == (Status.FAIL, "ciosync db upgrade")


@pytest.mark.parametrize(
    ("version", "status", "word"), [("0001", "fail", "behind"), ("9999", "warn", "ahead"), ("0001_x", "fail", "behind")]
)
def test_tables_of_another_release_are_told(
    settings: Settings, engine: Engine, version: str, status: str, word: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    check = database(settings)["database.migrations"]
    assert (check.status, word in check.message) == (status, True)


def test_a_lock_on_the_tables_is_told_and_not_waited_for(settings: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("LOCK signup_customerio_sync_jobs IN ACCESS EXCLUSIVE MODE"))
        check = look(settings, Group.QUEUE, seconds=1)["queue.age"]
    assert (check.status, "the database is too slow to answer" in check.message) == ("fail", True)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"database": "SECRETCANARY"}, "the database has no such database or user"),
        ({"username": "SECRETCANARY"}, "the database has no such database or user"),
        ({"host": "SECRETCANARY.invalid", "query": {}}, "the database's host has no address"),
        ({"query": {"sslmode": "SECRETCANARY"}}, "the database and DATABASE_URL do not agree about TLS"),
        ({"query": {"SECRETCANARY": "1"}}, "the database cannot be reached, or broke off"),
    ],
)
def test_why_a_database_cannot_be_entered_is_told(settings: Settings, part: dict[str, object], message: str) -> None:
    url = make_url(settings.required_database_url()).set(**part)  # type: ignore[arg-type]
    entered = changed(settings, database_url=SecretStr(url.render_as_string(hide_password=False)))
    assert database(entered)["database.reachable"].message == message


def test_a_database_with_hardly_a_connection_left_is_a_warning(settings: Settings, postgres: conftest.Server) -> None:
    assert judged(replace(SERVER, used=78))["database.connections"].status is Status.WARN
    assert judged(replace(SERVER, used=77))["database.connections"].status is Status.OK
    used = database(settings)["database.connections"].message.split()[0]
    with psycopg2.connect(postgres.url.replace("+psycopg2", "")):
        assert int(database(settings)["database.connections"].message.split()[0]) > int(used) - 1


def test_a_standby_cannot_be_worked_on() -> None:
    assert judged(replace(SERVER, is_standby=True))["database.reachable"].status is Status.FAIL


def test_a_good_redis_is_told_with_its_release(settings: Settings) -> None:
    checks = broker(settings)
    assert {check.status for check in checks.values()} == {Status.OK}
    assert checks["redis.reachable"].message.startswith("Valkey ")
    assert checks["redis.policy"].message == "maxmemory-policy noeviction"
    assert checks["redis.queue"].message == "0 messages waiting in the queue"


def test_a_redis_that_may_throw_messages_away_is_a_warning(settings: Settings, client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    check = broker(settings)["redis.policy"]
    assert (check.status, check.fix) == (Status.WARN, "CONFIG SET maxmemory-policy noeviction")


def test_a_redis_that_is_nearly_full_is_a_warning(settings: Settings, client: redis.Redis) -> None:
    client.config_set("maxmemory", str(2**40))
    assert broker(settings)["redis.memory"].status is Status.OK
    client.config_set("maxmemory", str(int(client.info("memory")["used_memory"] * 1.05)))  # type: ignore[index]
    assert broker(settings)["redis.memory"].status is Status.WARN


@pytest.mark.parametrize(("length", "status"), [(200, "ok"), (201, "warn")])
def test_a_queue_beyond_the_window_is_a_warning(
    settings: Settings, client: redis.Redis, length: int, status: str
) -> None:
    client.rpush("cio", *["{}"] * length)
    check = broker(settings)["redis.queue"]
    assert (check.status, check.message.startswith(f"{length} messages")) == (status, True)


def test_what_is_no_queue_under_its_name_is_a_failure(settings: Settings, client: redis.Redis) -> None:
    client.set("cio", "SECRETCANARY")
    check = broker(settings)["redis.queue"]
    assert (check.status, "is a string and no queue" in check.message) == (Status.FAIL, True)


@pytest.fixture
def with_user(client: redis.Redis, redis_url: str) -> Iterator[Callable[..., str]]:
    """Return what makes a user with these rights and returns the address with which it enters."""

    def make(*rights: str) -> str:
        client.acl_setuser("guest", enabled=True, reset=True, passwords=["+SECRETCANARY"], keys=["*"], commands=rights)
        return redis_url.replace("redis://", "redis://guest:SECRETCANARY@")

    yield make
    client.acl_deluser("guest")


def test_a_redis_that_tells_little_is_no_fault(settings: Settings, with_user: Callable[..., str]) -> None:
    checks = broker(changed(settings, redis_url=SecretStr(with_user("+@all", "-info"))))
    assert checks["redis.reachable"].status is Status.OK
    assert checks["redis.policy"].status is checks["redis.memory"].status is Status.SKIP


def test_a_wrong_password_is_told(settings: Settings, with_user: Callable[..., str]) -> None:
    url = with_user("+@all").replace(":SECRETCANARY@", ":SECRETCANARY-other@")
    assert broker(changed(settings, redis_url=SecretStr(url)))["redis.reachable"].message == (
        "Redis refuses user or password"
    )


def test_a_host_without_an_address_is_told(settings: Settings) -> None:
    url = SecretStr("redis://SECRETCANARY.invalid:6379/0")
    assert broker(changed(settings, redis_url=url))["redis.reachable"].message == "Redis's host has no address"
