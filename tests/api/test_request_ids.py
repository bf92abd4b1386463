"""The id of a request is in every line that is logged while it is handled, and in no other line."""

import logging
import threading
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog
from flask import Flask
from sqlalchemy import event

from api.auth import public
from cio_tasks import logs
from cio_tasks.events import emit, listen, unlisten
from cio_tasks.models import SyncAttempt
from cio_tasks.settings import Settings
from tests.api.callers import SIGNUPS, Caller
from tests.api.webhook_sender import BODY, app_with, send, signed
from tests.concurrency.together import together
from tests.eventually import eventually
from tests.factories import Factory
from tests.log_lines import Lines, logging_to, read_lines

PERSON = "ada@example.com"


@pytest.fixture
def lines(settings: Settings) -> Iterator[Lines]:
    """Read what was logged so far, what `events` told included."""
    stderr = StringIO()
    listen(logs.log_event)
    with logging_to(stderr, settings):
        yield lambda: read_lines(stderr.getvalue())
    unlisten(logs.log_event)


@pytest.fixture
def talkative(app: Flask) -> Caller:
    """An API with a route that logs in all ways."""

    @public
    def talk() -> str:
        logging.getLogger("a.library").warning("library")
        structlog.stdlib.get_logger("api").info("ours")
        emit("fact", job_id="j-1")
        return "done"

    app.add_url_rule("/talk", view_func=talk)
    return Caller(app)


def ids_of(lines: Lines) -> dict[str, str | None]:
    return {line["event"]: line.get("request_id") for line in lines()}


def test_every_line_of_a_request_has_its_id_whoever_logs_it(talkative: Caller, lines: Lines) -> None:
    reply = talkative.get("/talk")
    assert ids_of(lines) == dict.fromkeys(["library", "ours", "fact", "request"], reply.headers["X-Request-Id"])


def test_an_id_does_not_outlive_its_request(talkative: Caller, lines: Lines) -> None:
    talkative.get("/talk", X_Request_Id="first")
    logging.getLogger("a.library").warning("between")
    talkative.get("/healthz", X_Request_Id="second")
    assert [line.get("request_id") for line in lines()] == ["first"] * 4 + [None, "second"]


def test_an_id_does_not_outlive_a_request_that_fails_outside_of_flask(app: Flask, lines: Lines) -> None:
    refused = Caller(app).get("/socket.io/?EIO=4&transport=polling", Origin="https://evil.example")
    logging.getLogger("a.library").warning("afterwards")
    assert refused.status_code == 403
    assert ids_of(lines) == {"request": refused.json["requestId"], "afterwards": None}
    assert refused.headers["X-Request-Id"] == refused.json["requestId"]


def test_requests_at_the_same_time_do_not_mix_their_ids(app: Flask, lines: Lines) -> None:
    all_there = threading.Barrier(4)

    @public
    def wait(name: str) -> str:
        all_there.wait(timeout=20)
        logging.getLogger("a.library").warning(name)
        return name

    app.add_url_rule("/wait/<name>", view_func=wait)
    together(4, lambda number: Caller(app).get(f"/wait/w{number}", X_Request_Id=f"w{number}"))
    assert {name: id_ for name, id_ in ids_of(lines).items() if name != "request"} == {
        f"w{n}": f"w{n}" for n in range(4)
    }


def test_a_job_that_a_request_has_delivered_is_logged_under_both_ids(
    operator: Caller, make: Factory, lines: Lines
) -> None:
    job = make.job(make.signup(PERSON))
    reply = operator.post(f"{SIGNUPS}/customerio/process")
    (line,) = [line for line in lines() if line["event"] == "sync.completed"]
    (attempt,) = make.all(SyncAttempt)
    assert (line["request_id"], line["delivery_request_id"]) == (reply.headers["X-Request-Id"], attempt.request_id)
    assert (line["job_id"], line["phase"]) == (str(job.id), "initial")
    assert PERSON not in str(lines())


def test_what_a_request_has_others_do_is_logged_under_its_id(settings: Settings, lines: Lines) -> None:
    app = app_with(settings)
    engine = app.extensions["database"].sessions.kw["bind"]
    event.listen(engine, "checkout", lambda *_: logging.getLogger("a.library").warning("connected"))
    send(app, headers=signed(BODY) | {"X-Request-Id": "webhook"})
    Caller(app).get("/readyz", X_Request_Id="readiness")

    def ids() -> set[str | None]:
        return {line.get("request_id") for line in lines() if line["event"] == "connected"}

    # None: the counts, once the answer has left. All of it may come later than the answer.
    eventually(ids, lambda found: found == {"webhook", None, "readiness"})
    app.extensions["database"].close()
