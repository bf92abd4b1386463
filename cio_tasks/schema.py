"""The database's schema: bringing it to the newest version, and telling which version it has."""

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

SCRIPTS: Final = "cio_tasks:migrations"


def upgrade(database_url: str) -> str:
    """Apply the migrations that are missing and return the version reached. Safe to run at once from many processes."""
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return current_version(connection) or "none"


def current_version(connection: Connection) -> str | None:
    """Return the version of the schema, or None in an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_version() -> str:
    """Return the version that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or "none"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config
