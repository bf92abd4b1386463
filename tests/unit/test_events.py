import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cio_tasks import events
from cio_tasks.events import Listener, emit

Fact = tuple[str, dict[str, Any]]
Listen = Callable[[Listener], None]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Register listeners for the length of one test."""
    added: list[Listener] = []

    def register(listener: Listener) -> None:
        added.append(listener)
        events.listen(listener)

    yield register
    for listener in added:
        events.unlisten(listener)


class Notebook:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        self.facts.append((name, facts))


def fail(name: str, facts: dict[str, Any]) -> None:
    raise RuntimeError("ada@example.com and SECRETCANARY")


def test_fact_reaches_every_listener(listen: Listen) -> None:
    notebooks = [Notebook(), Notebook()]
    for notebook in notebooks:
        listen(notebook)
    emit("sync.completed", job_id="1", mock=False)

    assert [notebook.facts for notebook in notebooks] == [[("sync.completed", {"job_id": "1", "mock": False})]] * 2


def test_listener_registered_twice_is_told_once(listen: Listen) -> None:
    notebook = Notebook()
    listen(notebook)
    listen(notebook)
    emit("sync.completed")

    assert len(notebook.facts) == 1


def test_listener_that_left_is_told_nothing_more(listen: Listen) -> None:
    notebook = Notebook()
    listen(notebook)
    events.unlisten(notebook)
    events.unlisten(notebook)
    emit("sync.completed")

    assert notebook.facts == []


def test_listener_may_leave_while_it_is_told(listen: Listen) -> None:
    last = Notebook()
    listen(lambda _name, _facts: events.unlisten(last))
    listen(last)
    emit("sync.completed")
    emit("sync.completed")

    assert len(last.facts) == 1


def test_failing_listener_keeps_no_fact_from_the_others(listen: Listen) -> None:
    notebook = Notebook()
    listen(fail)
    listen(notebook)
    emit("sync.failed", job_id="1")

    assert notebook.facts == [("sync.failed", {"job_id": "1"})]


def test_failing_listener_is_logged_by_the_kind_of_its_error_alone(
    listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    listen(fail)
    emit("sync.failed", email="ada@example.com")

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "listener failed on sync.failed: RuntimeError")
    ]
    assert caplog.records[0].exc_info is None


def test_fact_without_listeners_is_told_to_nobody() -> None:
    emit("sync.completed", job_id="1")
