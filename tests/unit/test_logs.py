import json
import logging
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import pytest
import structlog

from cio_tasks import logs
from cio_tasks.events import emit, listen, unlisten
from cio_tasks.settings import Settings
from tests.log_lines import Lines, logging_to, read_lines

CANARY = "SECRETCANARY-key"
CREDENTIALS = {"CUSTOMERIO_SITE_ID": "SECRETCANARY-site", "CUSTOMERIO_API_KEY": CANARY}
PERSONAL = "ada@example.com"


@pytest.fixture
def stderr() -> Iterator[StringIO]:
    """The stderr of a process with credentials."""
    stderr = StringIO()
    with logging_to(stderr, Settings.from_env(CREDENTIALS)):
        yield stderr


@pytest.fixture
def lines(stderr: StringIO) -> Lines:
    """Read what was logged so far."""
    return lambda: read_lines(stderr.getvalue())


def fail() -> None:
    raise ValueError(f"{PERSONAL} was refused with {CANARY}")


def caught() -> Exception:
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError


def test_record_is_one_json_object_on_one_line(lines: Lines) -> None:
    logging.getLogger("celery.worker").warning("first %s\nsecond\r\nthird", "line")
    (line,) = lines()

    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "first line second third", "level": "warning", "logger": "celery.worker"}


def test_fact_is_logged_with_its_parts(lines: Lines) -> None:
    logs.log_event("sync.completed", {"job_id": "1", "mock": False, "http_status": 200})
    (line,) = lines()

    assert (line["event"], line["level"], line["logger"]) == ("sync.completed", "info", "ciosync")
    assert (line["job_id"], line["mock"], line["http_status"]) == ("1", False, 200)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("sync.completed", "info"),
        ("sync.failed", "warning"),
        ("gate.closed", "warning"),
        ("sync.claim_lost", "warning"),
    ],
)
def test_fact_that_somebody_should_look_at_is_a_warning(lines: Lines, name: str, level: str) -> None:
    logs.log_event(name, {})

    assert [line["level"] for line in lines()] == [level]


@pytest.mark.parametrize(
    "value",
    [
        f"{PERSONAL} {CANARY}",
        [PERSONAL, CANARY],
        {"to": PERSONAL, "with": [{"key": CANARY}]},
        ValueError(f"{PERSONAL} {CANARY}"),
        f"{PERSONAL} {CANARY}".encode(),
    ],
    ids=["text", "list", "nested", "exception", "bytes"],
)
def test_no_value_shows_an_address_or_a_secret(lines: Lines, value: Any) -> None:
    logs.log_event("sync.completed", {"value": value})
    shown = json.dumps(lines())

    assert "sync.completed" in shown
    assert PERSONAL not in shown
    assert CANARY not in shown


def test_lines_of_libraries_are_redacted_as_well(lines: Lines) -> None:
    logging.getLogger("celery").error("to %s with Authorization: Basic %s", PERSONAL, "c2l0ZTprZXk=")
    logging.getLogger("celery").info("key %s", CANARY)

    assert [line["event"] for line in lines()] == ["to a•••@ex•••.com with Authorization: Basic ••••", "key ••••"]


@pytest.mark.parametrize("through", ["logging", "structlog"])
def test_exception_is_shown_by_its_class_and_place_and_never_by_its_text(lines: Lines, through: str) -> None:
    logger = logging.getLogger("celery") if through == "logging" else structlog.stdlib.get_logger("ciosync")
    logger.error("it failed", exc_info=caught())
    (line,) = lines()

    assert line["exception"] == "builtins.ValueError"
    assert line["raised_at"][-1].endswith(" fail")
    assert "refused" not in json.dumps(line)
    assert "Traceback" not in json.dumps(line)


@pytest.mark.parametrize("through", ["logging", "structlog"])
def test_exception_being_handled_is_shown_the_same_way(lines: Lines, through: str) -> None:
    logger = logging.getLogger("celery") if through == "logging" else structlog.stdlib.get_logger("ciosync")
    try:
        fail()
    except ValueError:
        logger.exception("it failed", stack_info=True)
    (line,) = lines()

    assert line["exception"] == "builtins.ValueError"
    assert "refused" not in json.dumps(line)


def test_exc_info_without_an_exception_does_no_harm(lines: Lines) -> None:
    logging.getLogger("celery").warning("fine", exc_info=True)  # noqa: LOG014 - libraries do that

    assert [line["event"] for line in lines()] == ["fine"]


def test_deep_traceback_is_cut_to_its_last_places(lines: Lines) -> None:
    def dive(depth: int) -> None:
        if depth == 0:
            fail()
        dive(depth - 1)

    try:
        dive(50)
    except ValueError:
        logging.getLogger("celery").exception("it failed")

    assert len(lines()[0]["raised_at"]) == 12


@pytest.mark.parametrize("name", logs.NOISY)
def test_chatter_of_libraries_is_left_out(lines: Lines, name: str) -> None:
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble")

    assert [line["event"] for line in lines()] == ["trouble"]


def test_configuring_twice_writes_every_line_once(lines: Lines, stderr: StringIO) -> None:
    with redirect_stderr(stderr):
        logs.configure(Settings.from_env(CREDENTIALS))
    logging.getLogger("celery").warning("once")

    assert len(lines()) == 1


def test_the_request_that_sent_a_job_is_told_apart_from_the_one_that_is_handled(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(request_id="handled"):
        logs.log_event("sync.completed", {"request_id": "sent"})
    (line,) = lines()

    assert (line["request_id"], line["delivery_request_id"]) == ("handled", "sent")


def test_lines_of_a_task_name_it_and_its_job(lines: Lines) -> None:
    logs.begin_task("t-1", ["j-1"])
    logging.getLogger("celery").info("of a library")
    logs.log_event("sync.completed", {"phase": "initial"})
    logs.begin_task("t-2", [])
    logging.getLogger("celery").info("without a job")
    logs.end_task()
    logging.getLogger("celery").info("afterwards")

    named = [(line.get("task_id"), line.get("job_id")) for line in lines()]
    assert named == [("t-1", "j-1"), ("t-1", "j-1"), ("t-2", None), (None, None)]


def test_threads_write_whole_lines(lines: Lines) -> None:
    def write() -> None:
        for number in range(50):
            logs.log_event("sync.completed", {"number": number})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(line["number"] for line in lines()) == sorted([*range(50)] * 4)


def test_facts_reach_the_log_as_a_listener(lines: Lines) -> None:
    listen(logs.log_event)
    try:
        emit("gate.closed", reason="outage", seconds=15.0)
    finally:
        unlisten(logs.log_event)

    assert [(line["event"], line["reason"]) for line in lines()] == [("gate.closed", "outage")]


@pytest.mark.row("A2")
def test_missing_credentials_are_warned_about(lines: Lines) -> None:
    logs.warn_about_mock(Settings.from_env({}))
    (line,) = lines()

    assert (line["event"], line["level"]) == ("mock_mode", "warning")
    assert "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are missing" in line["detail"]


@pytest.mark.row("A2")
def test_present_credentials_are_no_reason_to_warn(lines: Lines) -> None:
    logs.warn_about_mock(Settings.from_env(CREDENTIALS))

    assert lines() == []
