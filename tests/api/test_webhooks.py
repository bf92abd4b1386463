"""The receiver as Customer.io finds it: what is taken, what is refused, and what either leaves behind."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
import structlog
import time_machine
from flask import Flask

from cio_tasks import counters
from cio_tasks.db import Sessions
from cio_tasks.models import WebhookEvent
from cio_tasks.settings import Role, Settings
from tests.api.callers import Caller, Reply
from tests.api.conftest import Counts
from tests.api.webhook_sender import (
    BODY,
    EVENT,
    HOOK,
    PREVIOUS,
    SECRET,
    app_with,
    body_of,
    send,
    signature_of,
    signed,
)
from tests.concurrency.together import together
from tests.eventually import eventually
from tests.factories import Factory

CountRows = Callable[[], Counts]


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = app_with(settings, f"{SECRET}, {PREVIOUS}")
    yield app
    app.extensions["database"].close()


@pytest.fixture
def count_rows(count_rows: CountRows) -> CountRows:
    """Count all rows but the counters: the API adds them to their table in its own time."""
    return lambda: {table: n for table, n in count_rows().items() if table != "customerio_counters"}


@pytest.fixture
def counted(sessions: Sessions) -> Callable[[], dict[str, int]]:
    """Return how often each thing has happened to a webhook since the test began."""

    def read() -> dict[str, int]:
        with sessions.begin() as session:
            counters.flush(session)
            return {label: n for (name, label), n in counters.read(session).items() if name == "webhooks"}

    before = read()
    return lambda: {label: n - before.get(label, 0) for label, n in read().items() if n != before.get(label, 0)}


@pytest.mark.row("P4.1", "P4.2")
def test_a_signed_event_is_stored_as_it_came(app: Flask, make: Factory) -> None:
    reply = send(app)
    assert (reply.status_code, reply.json) == (200, {"stored": True, "duplicate": False})
    [row] = make.all(WebhookEvent)
    assert (row.body, row.event_id, row.metric, row.person_id) == (BODY, EVENT["event_id"], "opened", "person-1")
    assert abs((row.received_at - row.signed_at).total_seconds()) < 10


@pytest.mark.row("P4.4", "P4.5")
def test_an_event_that_comes_a_hundred_times_is_stored_once(
    app: Flask, count_rows: CountRows, counted: Callable[[], dict[str, int]]
) -> None:
    send(app)
    before = count_rows()
    answers = [send(app, headers=signed(BODY, age=age)).json for age in range(100)]
    assert answers == [{"stored": True, "duplicate": True}] * 100
    assert count_rows() == before
    assert counted() == {"stored": 1, "duplicate": 100}


def test_of_fifty_that_come_at_once_one_is_stored(app: Flask, make: Factory) -> None:
    def insist(_: int) -> Reply:
        """Send until it is taken, as Customer.io does: on a busy machine the database may be too slow for some."""
        return eventually(lambda: send(app), lambda reply: reply.status_code == 200)

    replies = together(50, insist)
    assert sum(not reply.json["duplicate"] for reply in replies) <= 1
    assert len(make.all(WebhookEvent)) == 1


def test_the_previous_secret_is_good_while_it_is_listed(app: Flask, settings: Settings, count_rows: CountRows) -> None:
    assert send(app, headers=signed(BODY, secret=PREVIOUS)).status_code == 200
    before = count_rows()
    rotated, late = app_with(settings, SECRET), body_of("later")
    assert send(rotated, late, signed(late, secret=PREVIOUS)).status_code == 401
    assert count_rows() == before


KEPT: dict[str, tuple[bytes, list[str]]] = {
    "unknown type": (body_of("e", object_type="pigeon"), ["unknown_type"]),
    "unknown metric": (body_of("e", metric="eaten"), ["unknown_metric"]),
    "more fields": (body_of("e", colour="red"), []),
    "no data": (b'{"event_id":"e","object_type":"email","metric":"sent"}', []),
    "no id": (b'{"object_type":"email","metric":"sent"}', ["no_event_id"]),
    "an array": (json.dumps([EVENT] * 200).encode(), ["unreadable"]),
    "NUL": (body_of("e", object_type="a\0b"), ["unknown_type"]),
    "raw NUL": (BODY + b"\0", ["unreadable"]),
    "lone surrogate": (body_of("e", metric="\ud800"), ["unknown_metric"]),
    "NaN": (body_of("e", cost=float("nan")), []),
    "10,000 deep": (b"[" * 10_000 + b"]" * 10_000, ["unreadable"]),
    "100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ["unreadable"]),
    "5,000 digits": (BODY[:-1] + b',"n":' + b"9" * 5_000 + b"}", []),
    "a name twice": (BODY[:-1] + b',"metric":"clicked"}', ["duplicate_key"]),
    "UTF-16": (BODY.decode().encode("utf-16"), ["unreadable"]),
    "byte order mark": (b"\xef\xbb\xbf" + BODY, []),
    "no JSON": (bytes(range(256)), ["unreadable"]),
    "nothing": (b"", ["unreadable"]),
    "a megabyte": (BODY + b" " * (1_000_000 - len(BODY)), []),
}


@pytest.mark.row("P4.3")
@pytest.mark.parametrize("case", KEPT)
def test_whatever_is_signed_is_kept_byte_for_byte(case: str, app: Flask, make: Factory) -> None:
    body, flags = KEPT[case]
    assert [send(app, body).json for _ in range(2)] == [{"stored": True, "duplicate": again} for again in (False, True)]
    [row] = make.all(WebhookEvent)
    assert (row.body, row.flags) == (body, flags)


def test_what_cannot_be_read_is_counted(app: Flask, counted: Callable[[], dict[str, int]]) -> None:
    send(app, b"[]")
    assert counted() == {"unreadable": 1}


@pytest.mark.parametrize("age", [-10 * 60, -330, 330, 10 * 60, 8 * 24 * 60 * 60])
def test_a_stale_event_is_refused(
    age: int, app: Flask, count_rows: CountRows, counted: Callable[[], dict[str, int]]
) -> None:
    before = count_rows()
    with structlog.testing.capture_logs() as lines:
        reply = send(app, headers=signed(BODY, age=age))
    assert (reply.status_code, reply.json["code"]) == (401, "bad_signature")
    assert count_rows() == before
    assert counted() == {"refused_stale": 1}
    assert [line["log_level"] for line in lines if line["event"] == "webhook_stale"] == ["warning"]


@pytest.mark.parametrize("timestamp", ["0" * 10, "9" * 10])
def test_the_ends_of_time_are_stale(timestamp: str, app: Flask, count_rows: CountRows) -> None:
    before = count_rows()
    assert send(app, headers=signed(BODY, timestamp=timestamp)).status_code == 401
    assert count_rows() == before


@pytest.mark.parametrize("minutes", [-10, 10])
def test_the_clock_of_the_web_host_decides_nothing(minutes: int, app: Flask, make: Factory) -> None:
    true, wrong = signed(BODY), signed(BODY, age=-60 * minutes)
    with time_machine.travel(time.time() + 60 * minutes, tick=True):
        assert send(app, headers=wrong).status_code == 401
        assert make.all(WebhookEvent) == []
        assert send(app, headers=true).status_code == 200


def test_a_stale_event_is_kept_once_when_the_settings_say_so(settings: Settings, make: Factory) -> None:
    app = app_with(settings, webhook_stale="keep")
    replies = [send(app, headers=signed(BODY, age=age)) for age in (700, 700, 0)]
    assert [(reply.status_code, reply.json["duplicate"]) for reply in replies] == [
        (200, False),
        (200, True),
        (200, True),
    ]
    assert [row.flags for row in make.all(WebhookEvent)] == [["stale"]]


@pytest.mark.parametrize("credential", [*Role, "nobody"])
def test_a_token_changes_nothing(credential: str, app: Flask) -> None:
    caller = Caller(app, f"{credential}-token")
    assert caller.post(HOOK, BODY, **signed(BODY)).status_code == 200
    assert caller.post(HOOK, BODY).status_code == 401


@pytest.mark.parametrize("secrets", [None, ",", " , "])
def test_without_a_secret_nothing_is_taken(secrets: str | None, settings: Settings, count_rows: CountRows) -> None:
    before, app = count_rows(), app_with(settings, secrets)
    replies = [send(app), send(app, headers={}), send(app, headers=signed(BODY, secret=""))]
    assert [(reply.status_code, reply.json["code"]) for reply in replies] == [(503, "no_webhook_secret")] * 3
    assert count_rows() == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_only_a_post_is_a_webhook(method: str, app: Flask, count_rows: CountRows) -> None:
    before = count_rows()
    reply = Caller(app).send(method, HOOK, BODY, **signed(BODY))
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")
    assert count_rows() == before


@pytest.mark.parametrize(
    "declared",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonp"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "identity"},
        {"Content-Encoding": ""},
    ],
)
def test_another_type_or_an_encoding_is_refused(declared: dict[str, str], app: Flask, count_rows: CountRows) -> None:
    before = count_rows()
    reply = send(app, headers=signed(BODY) | declared)
    assert (reply.status_code, reply.json["code"]) == (415, "unsupported_media_type")
    assert count_rows() == before


@pytest.mark.parametrize("declared", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;v=1"])
def test_json_may_be_declared_with_parameters(declared: str, app: Flask) -> None:
    assert send(app, headers=signed(BODY) | {"Content-Type": declared}).status_code == 200


@pytest.mark.parametrize("headers", [signed(b"x" * 1_000_001), {}], ids=["signed", "unsigned"])
def test_a_body_over_a_megabyte_is_refused(headers: dict[str, str], app: Flask, count_rows: CountRows) -> None:
    before = count_rows()
    reply = send(app, b"x" * 1_000_001, headers)
    assert (reply.status_code, reply.json["code"]) == (413, "too_large")
    assert count_rows() == before


def test_the_answer_to_a_bad_signature_says_no_more_than_that(app: Flask) -> None:
    stale, malformed = signed(BODY, age=900), signed(BODY) | {"X-CIO-Signature": "x"}
    replies = [send(app, headers=headers) for headers in (stale, malformed, signed(BODY, secret="x"), {})]
    [answer] = {json.dumps({**reply.json, "requestId": ""}, sort_keys=True) for reply in replies}
    assert signature_of(BODY, stale["X-CIO-Timestamp"]) not in answer
    assert "SECRETCANARY" not in answer


def test_the_log_has_the_reason_and_nothing_of_the_event(app: Flask, counted: Callable[[], dict[str, int]]) -> None:
    with structlog.testing.capture_logs() as lines:
        send(app, headers=signed(BODY, secret="x"))
        send(app, headers={})
        send(app)
    assert [line["reason"] for line in lines if line["event"] == "webhook_refused"] == ["mismatch", "missing_header"]
    assert not any(word in str(lines) for word in ("SECRETCANARY", "ada@", "person-1", str(EVENT["event_id"])))
    assert counted() == {"refused_signature": 2, "stored": 1}
