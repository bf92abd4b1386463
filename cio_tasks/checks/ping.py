"""Asking the workers through the broker, as Celery does: what they answer is gone again when it was read."""

import time
from datetime import timedelta
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from cio_tasks.celeryconfig import celery_settings
from cio_tasks.checks.broker import connect, explain
from cio_tasks.checks.readings import Reading, Trouble
from cio_tasks.checks.workers import Answers, Heartbeats
from cio_tasks.settings import Settings

PATIENCE: Final = 0.45
"""The share of the time that one answer may take: the last one is waited for as long again."""
KNOWN_WITHIN: Final = timedelta(seconds=0.5)


def ping(settings: Settings, timeout: timedelta, *, found: Reading[Heartbeats]) -> Answers:
    """Ask all workers whether they hear, and return how many do; with the number that lives known, no longer than needed.

    Raises:
        Unanswered: when Redis cannot be reached.
    """
    _check_reachable(settings, timeout)
    patience = timeout.total_seconds() * PATIENCE
    app = _make_app(settings, patience)
    alive = found.get(within=KNOWN_WITHIN)
    limit = None if isinstance(alive, Trouble) else len(alive.alive)
    heard: list[float] = []
    began = time.monotonic()
    try:
        app.control.ping(timeout=patience, limit=limit, callback=lambda _answer: heard.append(time.monotonic()))
    except (RedisError, OperationalError, OSError) as error:
        raise explain(error) from None
    finally:
        app.close()
    return Answers(len(heard), timedelta(seconds=max(heard, default=began) - began))


def _check_reachable(settings: Settings, timeout: timedelta) -> None:
    """Let Redis's own client say what is wrong: Celery's says less, and tries again."""
    try:
        with connect(settings, timeout) as client:
            client.ping()
    except (RedisError, OSError) as error:
        raise explain(error) from None


def _make_app(settings: Settings, patience: float) -> Celery:
    app = Celery("ciosync doctor", set_as_current=False)
    app.conf.update(celery_settings(settings))
    bounds = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), patience)
    app.conf.broker_transport_options = {**bounds, "max_retries": 0, "health_check_interval": 0}
    app.conf.broker_connection_timeout = patience
    return app
