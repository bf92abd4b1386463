"""Checks as tests look at them: by their ids; and servers that take a connection and then say nothing."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from cio_tasks.checks import Check, Group
from cio_tasks.checks.running import run_checks
from cio_tasks.settings import Settings


def look(settings: Settings, *groups: Group, seconds: float = 3) -> dict[str, Check]:
    """Run the checks of these groups and return them by id."""
    report = run_checks(settings, only=groups or Group, timeout=timedelta(seconds=seconds))
    checks = {check.id: check for check in report.checks}
    assert len(checks) == len(report.checks), "an id is there twice"
    assert "SECRETCANARY" not in json.dumps(report.as_json())
    assert all(check.fix for check in report.checks if check.status in {"warn", "fail"})
    return checks


def changed(settings: Settings, **values: object) -> Settings:
    """Return valid settings that differ in these fields."""
    given = {field: getattr(settings, field) for field in settings.model_fields_set}
    return Settings.model_validate({**given, **values})


@contextmanager
def black_hole() -> Iterator[int]:
    """Give the port of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
