import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from cio_tasks import models
from cio_tasks.db import Base
from cio_tasks.embedded import create_database, drop_database
from cio_tasks.schema import SCRIPTS, current_version, newest_version, upgrade
from tests.conftest import Server
from tests.eventually import eventually

LOCK_KEY = 2_071_511_201
UPGRADE = "import sys; from cio_tasks.schema import upgrade; print(upgrade(sys.argv[1]))"
SHAPE = text("""
    SELECT attrelid::regclass::text AS place, attname AS name,
           format_type(atttypid, atttypmod) || attnotnull::text || attidentity::text
           || coalesce(pg_get_expr(adbin, adrelid), '')
      FROM pg_attribute
      JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r' AND relnamespace = 'public'::regnamespace
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
""")


@pytest.fixture
def empty_url(postgres: Server) -> Iterator[str]:
    name = f"empty_{uuid4().hex}"
    yield create_database(postgres.url, name)
    drop_database(postgres.url, name)


@pytest.fixture
def empty(empty_url: str) -> Engine:
    return create_engine(empty_url, poolclass=NullPool)


def shape(engine: Engine) -> set[tuple[str, str, str]]:
    """Return every column, constraint and index, without what Alembic keeps for itself."""
    with engine.connect() as connection:
        rows = connection.execute(SHAPE).all()
    return {(place, name, made) for place, name, made in rows if place != "alembic_version"}


def downgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def start_upgrade(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", UPGRADE, url], stdout=subprocess.PIPE, text=True)


def test_migrations_make_what_the_models_say(engine: Engine, empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE EXTENSION pg_trgm"))
    Base.metadata.create_all(empty)

    assert shape(engine) == shape(empty)


def test_autogenerate_finds_nothing_to_migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, models.SyncJob.metadata) == []


def test_upgrade_from_nothing_reaches_the_newest_version_and_stays_there(empty_url: str, empty: Engine) -> None:
    first = upgrade(empty_url)
    made = shape(empty)

    assert (first, upgrade(empty_url)) == (newest_version(), newest_version())
    assert shape(empty) == made


def test_downgrade_removes_every_table_and_upgrade_brings_them_back(empty_url: str, empty: Engine) -> None:
    upgrade(empty_url)
    made = shape(empty)
    with empty.connect() as connection:
        downgrade(connection)
        assert current_version(connection) is None
    assert shape(empty) == set()
    upgrade(empty_url)
    assert shape(empty) == made


def test_two_processes_that_migrate_at_once_take_turns(empty_url: str) -> None:
    plain = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as holder, holder.cursor() as cursor:
        holder.autocommit = True
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        starting = [start_upgrade(empty_url) for _ in range(2)]
        eventually(lambda: waiting_for_the_lock(cursor), lambda count: count == 2, seconds=60)
        cursor.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))
        reached = [process.communicate(timeout=60)[0].strip() for process in starting]

    assert reached == [newest_version(), newest_version()]


def waiting_for_the_lock(cursor: "psycopg2.extensions.cursor") -> int:
    cursor.execute("""
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
         WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
    """)
    return int((cursor.fetchone() or (0,))[0])


def test_migration_leaves_its_connection_as_it_found_it(empty: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with empty.connect() as connection:
        before = connection.scalar(
            text("SELECT current_setting('statement_timeout') || current_setting('lock_timeout')")
        )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        after = connection.scalar(
            text("SELECT current_setting('statement_timeout') || current_setting('lock_timeout')")
        )

        assert after == before
        assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0
