"""What a process logs, read by the tests that are in it."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import structlog

from cio_tasks import logs
from cio_tasks.settings import Settings

Lines = Callable[[], list[dict[str, Any]]]


@contextmanager
def logging_to(stderr: StringIO, settings: Settings) -> Iterator[None]:
    """Set up the logs of a process with this stderr for as long as the body runs."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", *logs.NOISY)}
    with redirect_stderr(stderr):
        logs.configure(settings)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        structlog.reset_defaults()


def read_lines(text: str) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in text.splitlines()]
