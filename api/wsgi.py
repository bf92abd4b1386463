"""The application that gunicorn serves: the one module that does something when it is imported."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from flask import Flask

from api.app import create_app
from cio_tasks import events, logs
from cio_tasks.errors import ConfigurationError
from cio_tasks.live import LiveEvents
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
    _tell_what_happens(settings)
    _end_on_stop(app.extensions["live_clients"].stopping, app.extensions["stopping"])
    return app


def _tell_what_happens(settings: Settings) -> None:
    """Log and send out what this process delivers itself, as a worker does."""
    events.listen(logs.log_event)
    if settings.redis_url is not None:
        events.listen(LiveEvents(settings.redis_url.get_secret_value()))


def _end_on_stop(*stopping: threading.Event) -> None:
    """End live connections and sweeps first when the server is told to stop: it waits for its threads, which they hold."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            for event in stopping:
                _do_before(number, event.set)


def _do_before(number: signal.Signals, action: Callable[[], object]) -> None:
    """Do `action`, and then what the server has set for this signal; nothing changes when it has set nothing."""
    servers = signal.getsignal(number)
    if not callable(servers) or isinstance(servers, signal.Handlers):
        return

    def handle(received: int, frame: FrameType | None) -> None:
        action()
        servers(received, frame)

    signal.signal(number, handle)


app: Final = _start()
