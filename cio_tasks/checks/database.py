"""The database: whether it answers, which release it is, whether it has our tables, and whether it has room."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from cio_tasks.checks.readings import Trouble, Unanswered
from cio_tasks.checks.report import Check, failed, passed, warned
from cio_tasks.checks.spans import brief
from cio_tasks.db import make_engine
from cio_tasks.errors import ConfigurationError
from cio_tasks.schema import current_version, newest_version
from cio_tasks.settings import Settings

CROWDED: Final = 0.8
"""The share of the connections from which on there may soon be none left."""
WHERE: Final = "look at DATABASE_URL: ciosync config show --origin"
SCHEMA_CLASS: Final = "42"
"""The class of the SQLSTATEs of names that are not there (PostgreSQL, appendix A)."""
MISSING_TABLES: Final = Unanswered("the database does not have this release's tables", "ciosync db upgrade")
REASONS: Final = (
    ("connection refused", "the database refuses connections", f"start it, or {WHERE}"),
    ("could not translate host name", "the database's host has no address", WHERE),
    ("timeout expired", "the database gave no answer in time", f"is it running? {WHERE}"),
    ("timed out", "the database gave no answer in time", f"is it running? {WHERE}"),
    ("statement timeout", "the database is too slow to answer", "look at its load and its locks: pg_stat_activity"),
    ("authentication failed", "the database refuses user or password", WHERE),
    ("no password supplied", "the database wants a password", WHERE),
    ("pg_hba.conf", "the database takes no connection from here", "allow this host in its pg_hba.conf"),
    ("does not exist", "the database has no such database or user", f"create it, or {WHERE}"),
    ("too many clients", "the database has no connection left", "end idle ones, or raise its max_connections"),
    ("connection slots are reserved", "the database has no connection left", "end idle ones, or raise max_connections"),
    ("starting up", "the database is starting", "wait, and look again"),
    ("shutting down", "the database is stopping", "wait until it is back"),
    ("invalid response", "what answers at DATABASE_URL is not Postgres", WHERE),
    ("ssl", "the database and DATABASE_URL do not agree about TLS", WHERE),
)
"""What libpq and the server say in their texts, which are never shown: they hold addresses and names."""
ASK_SERVER: Final = text("""
    SELECT current_setting('server_version') AS version,
           pg_is_in_recovery() AS is_standby,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS usable,
           EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS has_trigrams
""")


@dataclass(frozen=True, slots=True)
class Server:
    """What the database says of itself. `ahead` is its clock less this host's, right to half of `latency`."""

    version: str
    latency: timedelta
    ahead: timedelta
    used: int
    usable: int
    is_standby: bool
    has_trigrams: bool
    schema: str | None
    """The version of its tables, None when it has none."""


# --- reading ----------------------------------------------------------------------------------------------------------


def read_server(settings: Settings, timeout: timedelta) -> Server:
    """Return what there is to know of the database.

    Raises:
        Unanswered: when it cannot be entered, or breaks off.
    """
    with open_session(settings, timeout) as session:
        row = session.execute(ASK_SERVER).one()
        began, asked_at = time.monotonic(), datetime.now(UTC)
        now = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        latency = timedelta(seconds=time.monotonic() - began)
        return Server(
            version=row.version.partition(" ")[0],
            latency=latency,
            ahead=now - (asked_at + latency / 2),
            used=row.used,
            usable=row.usable,
            is_standby=row.is_standby,
            has_trigrams=row.has_trigrams,
            schema=current_version(session.connection()),
        )


@contextmanager
def open_session(settings: Settings, timeout: timedelta) -> Iterator[Session]:
    """Give a session in which nothing can be written and no statement takes longer than `timeout`.

    Raises:
        Unanswered: for all that a database can do wrong, in words that may be shown.
    """
    try:
        engine = make_engine(settings.required_database_url(), pool_size=1, application="ciosync doctor")
    except ConfigurationError as error:
        raise Unanswered(str(error), "set DATABASE_URL, as .env.example shows; ciosync demo has its own") from None
    except (ArgumentError, ValueError):
        raise Unanswered("DATABASE_URL is no address that can be used", WHERE) from None
    try:
        with Session(engine.execution_options(postgresql_readonly=True)) as session:
            limit = {"milliseconds": str(round(timeout.total_seconds() * 1000))}
            session.execute(text("SELECT set_config('statement_timeout', :milliseconds, true)"), limit)
            yield session
    except SQLAlchemyError as error:
        raise _explain(error) from None
    finally:
        engine.dispose()


def _explain(error: SQLAlchemyError) -> Unanswered:
    origin = error.orig if isinstance(error, DBAPIError) else None
    if (getattr(origin, "pgcode", None) or "").startswith(SCHEMA_CLASS):
        return MISSING_TABLES
    said = str(origin or "").lower()
    for fragment, message, fix in REASONS:
        if fragment in said:
            return Unanswered(message, fix)
    return Unanswered("the database cannot be reached, or broke off", f"is it running? {WHERE}")


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(server: Server | Trouble) -> Iterator[Check]:
    """Yield what is to be said of the database."""
    if isinstance(server, Trouble):
        yield server.as_check("database.reachable", "database")
        return
    yield _judge_reachable(server)
    yield _judge_connections(server)
    yield _judge_schema(server.schema, newest_version())
    yield _judge_trigrams(server)


def _judge_reachable(server: Server) -> Check:
    if server.is_standby:
        message = f"Postgres {server.version} is a standby: nothing can be written"
        return failed("database.reachable", message, "name the primary in DATABASE_URL")
    return passed("database.reachable", f"Postgres {server.version}, {brief(server.latency)}")


def _judge_connections(server: Server) -> Check:
    message = f"{server.used} of {server.usable} connections in use"
    if server.used >= CROWDED * server.usable:
        return warned("database.connections", message, "end idle ones, or raise the database's max_connections")
    return passed("database.connections", message)


def _judge_schema(version: str | None, newest: str) -> Check:
    """Versions are numbered. A newer one than ours works: the next release migrates before it replaces this one."""
    if version is None:
        return failed("database.migrations", "the database has no tables yet", "ciosync db upgrade")
    if version < newest:
        message = f"migrations are behind: at {version}, this release needs {newest}"
        return failed("database.migrations", message, "ciosync db upgrade")
    if version > newest:
        message = f"migrations are ahead: at {version}, this release knows {newest}"
        return warned("database.migrations", message, "run the newer release here too: ciosync version")
    return passed("database.migrations", f"migrations at head ({version})")


def _judge_trigrams(server: Server) -> Check:
    if server.has_trigrams:
        return passed("database.pg_trgm", "the extension pg_trgm is there")
    message = "the extension pg_trgm is missing: failures cannot be searched through an index"
    return warned("database.pg_trgm", message, "CREATE EXTENSION pg_trgm, then ciosync db upgrade")
