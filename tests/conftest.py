"""Real parts for every test: a Postgres with a fresh database each, a Valkey, and the stand-in Customer.io over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cio_tasks import events, wake
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.embedded import EmbeddedValkey, create_database, drop_database, embedded_postgres, embedded_valkey
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.runtime import Runtime
from cio_tasks.schema import upgrade
from cio_tasks.settings import Role, Settings
from tests.factories import Factory

TEMPLATE = "ciosync_template"
SITE_ID, API_KEY = "SECRETCANARY-site", "SECRETCANARY-key"


@dataclass(frozen=True)
class Server:
    """A Postgres with a migrated database to copy."""

    url: str


@pytest.fixture(autouse=True)
def _listeners_of_one_test() -> Iterator[None]:
    """What a test has listen hears nothing of the next one."""
    before = events.listeners()
    yield
    for listener in set(events.listeners()) - set(before):
        events.unlisten(listener)


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """Where the servers live: not below pytest's own folder, which other runs of it shut and clean up."""
    with TemporaryDirectory(prefix="ciosync-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(servers_dir: Path) -> Iterator[Server]:
    with embedded_postgres(servers_dir, durable=False) as server:
        upgrade(create_database(server.url, TEMPLATE))
        yield Server(server.url)


@contextmanager
def copied_database(server_url: str, template: str) -> Iterator[str]:
    """Give the address of a copy of a database for as long as the body runs."""
    name = f"test_{uuid4().hex}"
    yield create_database(server_url, name, template=template)
    drop_database(server_url, name)


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    with copied_database(postgres.url, TEMPLATE) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    return make_sessions(engine)


@pytest.fixture
def session(sessions: Sessions) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture(scope="session")
def valkey_server(servers_dir: Path) -> Iterator[EmbeddedValkey]:
    with embedded_valkey(servers_dir) as server:
        yield server


@pytest.fixture
def redis_url(valkey_server: EmbeddedValkey) -> str:
    valkey_server.start()
    wake.flush(5)  # what an earlier test rang
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY) as fake:
        yield fake


@pytest.fixture
def settings(database_url: str, redis_url: str, fake: FakeCustomerIO) -> Settings:
    return Settings.from_env(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CUSTOMERIO_SITE_ID": SITE_ID,
            "CUSTOMERIO_API_KEY": API_KEY,
            "CUSTOMERIO_TRACK_URL": fake.url,
            "CUSTOMERIO_APP_URL": fake.url,
            "CUSTOMERIO_STATUS_URL": fake.url,
            "CIO_API_TOKENS": ",".join(f"{role}:{role}:{role}-token" for role in Role),
        }
    )


@pytest.fixture
def runtime(settings: Settings, sessions: Sessions) -> Runtime:
    wake.configure(settings)
    made = Runtime.from_settings(settings)
    return Runtime(settings, sessions, made.client, made.worker)


@pytest.fixture
def make(sessions: Sessions) -> Factory:
    return Factory(sessions)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep this machine's own settings out of the tests."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
