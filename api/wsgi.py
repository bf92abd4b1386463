"""The application that gunicorn serves: the one module that does something when it is imported."""

import sys
from typing import Final

from flask import Flask

from api.app import create_app
from cio_tasks import logs
from cio_tasks.errors import ConfigurationError
from cio_tasks.settings import Settings

CONFIGURATION: Final = 3
"""The exit code of a configuration fault; gunicorn stops on it rather than starting the worker again."""


def _start() -> Flask:
    try:
        settings = Settings.from_env()
        app = create_app(settings)
    except ConfigurationError as error:
        hint = error.hint or "the names and values: .env.example"
        sys.stderr.write(f"error: the API cannot start, its configuration is at fault\ncause: {error}\nhint: {hint}\n")
        raise SystemExit(CONFIGURATION) from None
    logs.configure(settings)
    logs.warn_about_mock(settings)
    return app


app: Final = _start()
