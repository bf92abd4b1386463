"""The Celery app: `celery -A cio_tasks.celery_app worker`. Its settings are read when it is first used, not on import."""

import sys
from typing import Any, Final

from celery import Celery, signals
from celery.app.amqp import AMQP
from kombu.connection import Connection as KombuConnection

from cio_tasks import logs
from cio_tasks.celeryconfig import celery_settings
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings

RECONNECT_EVERY: Final = 2.0
"""Seconds between two looks for a lost broker. Celery's own steps grow to 32 s, and no setting reaches them."""


class Connection(KombuConnection):
    """A connection that looks for its broker at a steady pace, so that a worker consumes soon after Redis is back."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect, trying again every `RECONNECT_EVERY` seconds."""
        steady = {"interval_start": RECONNECT_EVERY, "interval_step": 0, "interval_max": 0}
        return super().ensure_connection(*args, **{**kwargs, **steady})


class Broker(AMQP):
    """Celery's part that makes connections, making ours."""

    Connection = Connection


app = Celery("cio_tasks", amqp="cio_tasks.celery_app:Broker")


def _settings() -> dict[str, Any]:
    """Read the environment. A fault ends the process in three lines, since a worker without settings can do nothing."""
    try:
        settings = Settings.from_env()
        settings.require_stores()
        return celery_settings(settings)
    except CioTasksError as error:
        hint = error.hint or "see .env.example"
        sys.stderr.write(f"error: Celery cannot start, its configuration is at fault\ncause: {error}\nhint: {hint}\n")
        raise SystemExit(3) from None


app.add_defaults(_settings)


@signals.setup_logging.connect
def _set_up_logging(loglevel: int, **_: Any) -> None:
    """Log as every other process does."""
    settings = Settings.from_env()
    logs.configure(settings, level=loglevel)
    logs.warn_about_mock(settings)
