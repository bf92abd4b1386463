"""`/metrics`, and the counts of this process, which it needs to be true for all processes at once.

The counts of jobs, which the database keeps, are shortened here as well: where only the API runs, nobody else would.
"""

import atexit
import threading
import time
from typing import ClassVar, Final

import structlog
from flask import Blueprint, Flask, Response, current_app
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import RootModel
from sqlalchemy.exc import SQLAlchemyError

from api.auth import Action, requires
from api.operations import operation
from api.sessions import Database, transaction
from cio_tasks import counters, events, stats
from cio_tasks.metrics import count_event, expose
from cio_tasks.settings import Settings

FLUSH_SECONDS: Final = 5.0
"""The shortest time between two flushes."""
ADDED_UP: Final = 20_000
"""Rows of the counts of jobs that a flush adds up at most, in some tenths of a second: more than come in between."""

log: Final = structlog.stdlib.get_logger("api")
metrics: Final = Blueprint("metrics", __name__)


class Exposition(RootModel[str]):
    """All metrics, in Prometheus's text format."""

    media_type: ClassVar[str] = "text/plain"


class Flushing:
    """Adds what this process counted to the table, beside its requests: with no thread, and so none to lose in a fork."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._next = 0.0

    def after(self, response: Response) -> Response:
        """Flush once `response` has left, if it is time to."""
        with self._lock:
            is_time = time.monotonic() >= self._next
            if is_time:
                self._next = time.monotonic() + FLUSH_SECONDS
        if is_time:
            response.call_on_close(self.flush)
        return response

    def flush(self) -> None:
        """Add the counts to the table, and keep those of jobs short; without a database both stay for the next time."""
        try:
            with self._database.sessions.begin() as session:
                counters.flush(session)
            with self._database.sessions.begin() as session:
                stats.roll_up_counts(session, at_most=ADDED_UP)
        except SQLAlchemyError as error:
            log.warning("counts_not_flushed", exception=type(error).__name__)


def show_metrics(app: Flask, database: Database, settings: Settings) -> None:
    """Give `app` its metrics: count what happens here, add it up after requests and at the end, and show the whole."""
    flushing = Flushing(database)
    events.listen(count_event)
    app.after_request(flushing.after)
    atexit.unregister(_flush_the_rest)  # of an earlier app in this process: the counts are the process's, not the app's
    atexit.register(_flush_the_rest, flushing)
    app.extensions["settings"] = settings
    app.register_blueprint(metrics)


def _flush_the_rest(flushing: Flushing) -> None:
    flushing.flush()


@metrics.get("/metrics")
@requires(Action.READ)
@operation("What to watch, in Prometheus's text format.", answers={200: Exposition})
def show() -> Response:
    """Return all metrics, with what this process has counted until now."""
    settings: Settings = current_app.extensions["settings"]
    with transaction() as session:
        counters.flush(session)
        return Response(expose(session, settings), content_type=CONTENT_TYPE_PLAIN_0_0_4)
