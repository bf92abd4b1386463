"""The database for commands that work on the rows, and who they say did it."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from cio_tasks import counters, events, failpoints, metrics, wake
from cio_tasks.cli.config import load_settings
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.live import LiveEvents
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings


@contextmanager
def open_sessions(command: str) -> Iterator[tuple[Settings, Sessions]]:
    """Give the settings and a factory of sessions for as long as the body runs.

    Raises:
        ConfigurationError: when the settings are at fault or name no database.
    """
    settings = load_settings()
    wake.configure(settings)
    engine = make_engine(settings.required_database_url(), pool_size=2, application=f"ciosync {command}")
    try:
        yield settings, make_sessions(engine)
    finally:
        engine.dispose()


@contextmanager
def open_runtime(command: str) -> Iterator[Runtime]:
    """Give what delivering in this process takes, under the same conditions; what it counted is added up at the end."""
    with open_sessions(command) as (settings, sessions):
        failpoints.arm(settings.failpoints)
        made = Runtime.from_settings(settings)
        made.sessions.kw["bind"].dispose()
        events.listen(metrics.count_event)
        with _telling_live(settings):
            yield replace(made, sessions=sessions)
        with suppress(SQLAlchemyError), sessions.begin() as session:
            counters.flush(session)


@contextmanager
def _telling_live(settings: Settings) -> Iterator[None]:
    """Pass what happens on to the Socket.IO clients, if there is a Redis, and wait a moment for the last of it to leave."""
    if settings.redis_url is None:
        yield
        return
    live = LiveEvents(settings.redis_url.get_secret_value())
    events.listen(live)
    try:
        yield
    finally:
        events.unlisten(live)
        live.close()


def name_actor() -> str:
    """Return who runs this command, for the audit."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"
