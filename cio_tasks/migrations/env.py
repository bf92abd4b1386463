"""Runs the migrations: one process at a time, with short lock waits, against `DATABASE_URL` or a given connection."""

import sys

from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from cio_tasks import models
from cio_tasks.errors import ConfigurationError
from cio_tasks.settings import Settings

LOCK_KEY = 2_071_511_201
"""The advisory lock that lets one of several starting processes migrate while the others wait."""


def migrate(connection: Connection) -> None:
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.commit()
    connection.execute(text("SET lock_timeout = '5s'; SET statement_timeout = '10min'"))
    connection.commit()
    try:
        context.configure(
            connection=connection, target_metadata=models.SyncJob.metadata, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        connection.execute(text("RESET lock_timeout; RESET statement_timeout"))
        connection.commit()


def run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    engine = create_engine(_database_url(), poolclass=NullPool)
    with engine.connect() as connection:
        migrate(connection)


def _database_url() -> str:
    try:
        return Settings.from_env().required_database_url()
    except ConfigurationError as error:
        sys.stderr.write(f"error: cannot migrate, the configuration is at fault\ncause: {error}\nhint: {error.hint}\n")
        raise SystemExit(3) from None


run()
