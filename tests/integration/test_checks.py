"""All checks together: what one part's trouble does to the others, the end in time, and that nothing is written."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, text

from cio_tasks import gate, heartbeats
from cio_tasks.checks import Group, Status
from cio_tasks.checks.running import run_checks
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from tests.checking import black_hole, changed, look, nobody
from tests.factories import Factory

DATABASE = "postgresql://SECRETCANARY-user:SECRETCANARY-password@127.0.0.1:{}/SECRETCANARY-name"
REDIS = "redis://:SECRETCANARY-password@127.0.0.1:{}/0"
OF_THE_DATABASE = {"celery.workers", "beat.tick", "queue.age", "gate.open", "clock.database"}


@pytest.fixture
def near(settings: Settings, fake: FakeCustomerIO) -> Settings:
    """Return settings with which nothing leaves this machine."""
    return changed(
        settings,
        customerio_app_url=fake.url,
        customerio_status_url=fake.url,
        customerio_app_api_key=SecretStr("app-key"),
        customerio_webhook_secret=SecretStr("SECRETCANARY-webhook"),
    )


def rows_of(engine: Engine) -> str:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
    with engine.connect() as connection:
        names = connection.scalars(text(tables)).all()
        return str({name: connection.execute(text(f"SELECT * FROM {name}")).all() for name in names})


def test_a_healthy_system_without_processes_lacks_only_them(near: Settings) -> None:
    checks = look(near)
    assert {check.id for check in checks.values() if check.status is Status.FAIL} == {"celery.workers", "beat.tick"}
    assert {check.id for check in checks.values() if check.status is Status.SKIP} == {
        "celery.ping",
        "config.production",
    }
    assert {check.group for check in checks.values()} == set(Group)


@pytest.mark.parametrize("hole", [nobody, black_hole])
def test_one_cause_fails_one_check(near: Settings, hole: Callable[[], object]) -> None:
    with hole() as port:  # type: ignore[attr-defined]
        checks = look(changed(near, database_url=SecretStr(DATABASE.format(port))), seconds=1)
    failed = {id_ for id_, check in checks.items() if check.status is Status.FAIL}
    assert failed == {"database.reachable", "celery.ping"}, "no worker answers either, which is known without it"
    assert {id_ for id_ in OF_THE_DATABASE if checks[id_].status is Status.SKIP} == OF_THE_DATABASE
    assert checks["redis.reachable"].status is Status.OK


@pytest.mark.parametrize("group", [Group.BEAT, Group.QUEUE, Group.GATE, Group.CELERY, Group.CLOCK])
def test_a_cause_that_nobody_else_tells_is_a_failure(near: Settings, group: Group) -> None:
    with nobody() as port:
        report = run_checks(changed(near, database_url=SecretStr(DATABASE.format(port))), only=[group])
    assert not report.ok
    assert "the database refuses connections" in report.checks[0].message


@pytest.mark.parametrize("hole", [nobody, black_hole])
def test_without_redis_the_rest_is_known(near: Settings, hole: Callable[[], object]) -> None:
    with hole() as port:  # type: ignore[attr-defined]
        checks = look(changed(near, redis_url=SecretStr(REDIS.format(port))), seconds=1)
    assert checks["redis.reachable"].status is Status.FAIL
    assert {checks[id_].status for id_ in ("celery.ping", "customerio.rate_limit")} == {Status.SKIP}
    assert {checks[id_].status for id_ in ("database.reachable", "customerio.credentials")} == {Status.OK}


def test_when_all_hang_it_ends_all_the_same(near: Settings, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="hang")
    began = time.monotonic()
    with black_hole() as port:
        address = f"http://127.0.0.1:{port}"
        places = {"customerio_status_url": address, "customerio_app_url": address}
        stores = {"database_url": SecretStr(DATABASE.format(port)), "redis_url": SecretStr(REDIS.format(port))}
        checks = look(changed(near, **places, **stores), seconds=1)
    assert time.monotonic() - began < 15
    failed = {id_ for id_, check in checks.items() if check.status is Status.FAIL}
    assert failed == {"database.reachable", "redis.reachable", "customerio.credentials"}


@contextmanager
def web_server() -> Iterator[int]:
    """Give the port of a server that speaks HTTP, whoever calls."""
    with FakeCustomerIO() as other:
        yield int(other.url.rpartition(":")[2])


def test_what_is_no_store_at_all_is_told(near: Settings) -> None:
    with web_server() as port:
        stores = {"database_url": SecretStr(DATABASE.format(port)), "redis_url": SecretStr(REDIS.format(port))}
        checks = look(changed(near, **stores), Group.DATABASE, Group.REDIS)
    assert checks["database.reachable"].message == "what answers at DATABASE_URL is not Postgres"
    assert checks["redis.reachable"].message == "what answers at REDIS_URL is not Redis"


def test_nothing_set_is_told_and_not_raised() -> None:
    checks = look(Settings.from_env({"CUSTOMERIO_STATUS_URL": "http://127.0.0.1:1"}))
    assert {id_ for id_, check in checks.items() if check.status is Status.FAIL} == {
        "database.reachable",
        "redis.reachable",
    }
    assert checks["database.reachable"].message == "DATABASE_URL is not set"
    assert checks["redis.reachable"].message == "REDIS_URL is not set"


@pytest.mark.parametrize(
    ("name", "value"), [("database_url", "postgresql+psycopg2://host:no/x"), ("redis_url", "redis://host:no/0")]
)
def test_an_address_that_cannot_be_used_is_told(near: Settings, name: str, value: str) -> None:
    settings = near.model_copy(update={name: SecretStr(value)})
    (check,) = (check for check in look(settings, Group.DATABASE, Group.REDIS).values() if check.status is Status.FAIL)
    assert "no address that can be used" in check.message


@pytest.mark.parametrize("groups", [(Group.CONFIG,), (Group.CLOCK, Group.REDIS)])
def test_only_what_was_asked_for_is_looked_at(near: Settings, fake: FakeCustomerIO, groups: tuple[Group, ...]) -> None:
    assert {check.group for check in look(near, *groups).values()} == set(groups)
    assert len(fake.ledger.entries()) == int(Group.CLOCK in groups)


def test_nothing_is_written(near: Settings, engine: Engine, runtime: Runtime, make: Factory, redis_url: str) -> None:
    make.signup(enqueue=False)
    heartbeats.note_tick(runtime)
    heartbeats.report(runtime)
    with redis.Redis.from_url(redis_url) as client:
        before = rows_of(engine)
        look(near)
        assert rows_of(engine) == before
        assert client.keys("*") == [b"_kombu.binding_deadlines"], "Celery's own note that a question was asked"
        assert client.zcard("_kombu.binding_deadlines") == 1


def test_what_others_wrote_is_shown_without_addresses(near: Settings, runtime: Runtime) -> None:
    with runtime.sessions.begin() as session:
        note = "ask ada@example.com, the key is SECRETCANARY-key"
        gate.close(session, Reason.OPERATOR, wait=timedelta(hours=1), note=note, actor="api:ada@example.com")
    message = look(near, Group.GATE)["gate.operator"].message
    assert "a•••@ex" in message
    assert "ada@example" not in message
