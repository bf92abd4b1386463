"""Whether this process is alive, and whether it can serve."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import cache, partial
from typing import Final

import redis
from flask import Blueprint, Flask, Response, current_app
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import text

from api.auth import public
from api.operations import answer, operation
from api.schemas import Alive, Readiness
from api.sessions import Database
from cio_tasks.schema import newest_version
from cio_tasks.settings import Settings

BOUND_SECONDS: Final = 1.0
"""All parts are asked at once; one that has not answered by then is not ready."""
OK: Final = "ok"

Check = Callable[[], str]

health: Final = Blueprint("health", __name__)


class Checks:
    """What must hold for this process to serve. A check that hangs holds one of a few threads, never more."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="readiness")
        self._checks: Mapping[str, Check] = {
            "database": partial(_check_database, database),
            "migrations": partial(_check_migrations, database),
            "redis": partial(_check_redis, settings),
        }

    def run(self) -> dict[str, str]:
        """Return each part's state: `ok`, or a word for what is wrong with it."""
        futures = {name: self._threads.submit(copy_context().run, check) for name, check in self._checks.items()}
        wait(futures.values(), timeout=BOUND_SECONDS)
        return {name: _state(future) for name, future in futures.items()}


def watch_health(app: Flask, database: Database, settings: Settings) -> None:
    """Give `app` the checks that `/readyz` runs."""
    app.extensions["checks"] = Checks(database, settings)
    app.register_blueprint(health)


@health.get("/healthz")
@public
@operation("Whether this process answers; nothing else is asked.", answers={200: Alive})
def healthz() -> Response:
    """Answer, and depend on nothing."""
    return answer(Alive())


@health.get("/readyz")
@public
@operation(
    "Whether database, migrations and Redis are as this process needs them.", answers={200: Readiness, 503: Readiness}
)
def readyz() -> Response:
    """Answer 200 when every part is, and 503 when one is not."""
    checks: dict[str, str] = current_app.extensions["checks"].run()
    ready = set(checks.values()) == {OK}
    return answer(Readiness(status="ready" if ready else "not_ready", checks=checks), 200 if ready else 503)


def _state(future: Future[str]) -> str:
    future.cancel()
    if not future.done():
        return "no_answer"
    return "failed" if future.cancelled() or future.exception() is not None else future.result()


def _check_database(database: Database) -> str:
    with database.sessions() as session:
        session.execute(text("SELECT 1"))
    return OK


def _check_migrations(database: Database) -> str:
    """Versions are numbered. A newer one than ours is fine: the next release migrates before it replaces this one."""
    with database.sessions() as session:
        version: str = session.scalars(text("SELECT version_num FROM alembic_version")).one()
    return OK if version >= _needed_version() else "behind"


@cache
def _needed_version() -> str:
    return newest_version()


def _check_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        return "not_configured"
    with redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=BOUND_SECONDS / 2,
        socket_connect_timeout=BOUND_SECONDS / 2,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        client.ping()
    return OK
