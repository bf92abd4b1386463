"""The Celery app: `celery -A cio_tasks.celery_app worker`. Its settings are read when it is first used, not on import."""

import sys
from typing import Any

from celery import Celery, signals

from cio_tasks import logs
from cio_tasks.celeryconfig import celery_settings
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings

app = Celery("cio_tasks")


def _settings() -> dict[str, Any]:
    """Read the environment. A fault ends the process in two lines, since a worker without settings can do nothing."""
    try:
        return celery_settings(Settings.from_env())
    except CioTasksError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint or 'see .env.example'}\n")
        raise SystemExit(3) from None


app.add_defaults(_settings)


@signals.setup_logging.connect
def _set_up_logging(loglevel: int, **_: Any) -> None:
    """Log as every other process does."""
    settings = Settings.from_env()
    logs.configure(settings, level=loglevel)
    logs.warn_about_mock(settings)
