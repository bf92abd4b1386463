"""Logs: one JSON object a line, redacted, written by one listener of `events`.

The lines of libraries (Celery, gunicorn, Alembic) take the same way out. Whatever is bound with structlog's context
variables is in all of them: the `request_id` of a request that is handled, the `task_id` and `job_id` of a task.
"""

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from cio_tasks.redaction import redact
from cio_tasks.settings import Settings

NOISY: Final = ("urllib3", "alembic", "kombu", "amqp")
LOGGED_FRAMES: Final = 12
SENT_AS: Final = "delivery_request_id"
"""`request_id` is what the API was asked under; a request may well have jobs delivered."""
LEVELS: Final = {"sync.failed": logging.WARNING, "gate.closed": logging.WARNING, "sync.claim_lost": logging.WARNING}


def configure(settings: Settings, *, level: int = logging.INFO) -> None:
    """Send every log line of this process to stderr as redacted JSON, and warn when credentials are missing (row A2)."""
    handler = logging.StreamHandler(sys.stderr)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name_exception,
                _Redactor(settings.secrets),
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def warn_about_mock(settings: Settings) -> None:
    """Warn that nothing will be sent, when the credentials are missing (row A2)."""
    if settings.mock:
        structlog.stdlib.get_logger("ciosync").warning(
            "mock_mode",
            detail="CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are missing: nothing is sent, deliveries only pretend",
        )


def log_event(name: str, facts: dict[str, Any]) -> None:
    """Log one fact of `events`. The id of a request to Customer.io gets a name of its own here."""
    named = {SENT_AS if key == "request_id" else key: value for key, value in facts.items()}
    structlog.stdlib.get_logger("ciosync").log(LEVELS.get(name, logging.INFO), name, **named)


def begin_task(task_id: str, job_ids: Sequence[str]) -> None:
    """Put the id of a task, and of its job if it has one, into every line of this thread until `end_task`."""
    end_task()
    structlog.contextvars.bind_contextvars(task_id=task_id, **dict(zip(("job_id",), job_ids, strict=False)))


def end_task() -> None:
    """Put no such ids into the lines of this thread any more: it goes on with another task."""
    structlog.contextvars.unbind_contextvars("task_id", "job_id")


class _Redactor:
    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {key: value if key.startswith("_") else self._shown(value) for key, value in line.items()}

    def _shown(self, value: Any) -> Any:
        match value:
            case None | bool() | int() | float():
                return value
            case dict():
                return {str(key): self._shown(part) for key, part in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._shown(part) for part in value]
            case BaseException():
                return _class_of(value)
        return redact(str(value), *self._secrets, limit=2_000)


def _name_exception(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Show an exception by its class and where it was raised: its text may hold the values of a row."""
    info = line.pop("exc_info", None)
    match info:
        case BaseException():
            error: BaseException | None = info
        case tuple():
            error = info[1]
        case _:
            error = sys.exc_info()[1] if info else None
    if error is not None:
        line.update(describe(error))
    line.pop("stack_info", None)
    return line


def describe(error: BaseException) -> dict[str, Any]:
    """Return what may be logged of an exception: its class and where it was raised. Its text may hold a row."""
    frames = traceback.extract_tb(error.__traceback__)[-LOGGED_FRAMES:]
    raised_at = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return {"exception": _class_of(error), "raised_at": raised_at}


def _class_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
