"""Thousands of hostile inputs at every door of the API: none is a fault of ours, none does what it should not."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from flask import Flask
from pydantic import SecretStr

from api import create_app
from cio_tasks.models import SyncJob
from cio_tasks.settings import Settings
from tests.api.callers import BASE, NOBODY, SIGNUPS, Caller
from tests.api.conftest import Counts
from tests.api.hostile import HOSTILE, NO_BODY, VALUES, bodies_of
from tests.factories import Factory
from tests.integration.buried import bury

CUSTOMERIO = f"{SIGNUPS}/customerio"
WEBHOOKS = f"{BASE}/webhooks/customerio"
PARAMETERS = [
    *(("GET", f"{CUSTOMERIO}/sync-failures", name) for name in ("syncPhase", "errorType", "search", "limit", "offset")),
    *(("GET", f"{CUSTOMERIO}/jobs", name) for name in ("status", "syncPhase", "limit", "cursor")),
    ("POST", f"{CUSTOMERIO}/process", "limit"),
    ("POST", f"{CUSTOMERIO}/{NOBODY}/retry", "syncPhase"),
    ("GET", f"{CUSTOMERIO}/stats", "x"),
]
FIELDS = [
    *((f"{CUSTOMERIO}/retry", name) for name in ("syncPhase", "errorType", "ids", "limit", "dryRun", "status")),
    (f"{CUSTOMERIO}/gate/close", "seconds"),
]
PATHS = [
    ("GET", SIGNUPS + "/{}"),
    ("GET", CUSTOMERIO + "/jobs/{}"),
    ("POST", CUSTOMERIO + "/{}/retry"),
    ("POST", SIGNUPS + "/{}/extraction/confirm"),
]
HEADERS = ["Authorization", "Idempotency-Key", "X-Request-Id", "Content-Type", "Content-Encoding", "Accept", "Cookie"]
SIGNED = ["X-CIO-Signature", "X-CIO-Timestamp"]
READS = {"search"}
"""Parameters that take any text: they are answered with what they match, which is nothing."""


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The API without a limit that would answer for it."""
    changes = {"api_rate_limit": 100_000, "customerio_webhook_secret": SecretStr("x" * 32)}
    app = create_app(settings.model_copy(update=changes))
    yield app
    app.extensions["database"].close()


@pytest.fixture
def state(make: Factory, count_rows: Callable[[], Counts]) -> Callable[[], object]:
    """Two signups, one failed; return what reads everything that must stay as it is."""
    make.signup()
    bury(make, make.signup())

    def read() -> object:
        return count_rows(), [(job.status, job.attempt_count, job.claim_token) for job in make.all(SyncJob)]

    return read


def test_there_are_thousands_of_them() -> None:
    texts = len(HOSTILE)
    parameters = texts * (len(PARAMETERS) + len(PATHS) + len(HEADERS) + len(SIGNED))
    fields = (texts + len(VALUES)) * len(FIELDS) + len(NO_BODY) * 4
    assert parameters + fields > 3_500


@pytest.mark.parametrize(("method", "path", "name"), PARAMETERS)
def test_no_parameter_does_harm(method: str, path: str, name: str, admin: Caller, state: Callable[[], object]) -> None:
    before = state()
    found = {text: admin.send(method, f"{path}?{name}={quote(text, safe='')}").status_code for text in HOSTILE}
    allowed = {200, 422} if name in READS else {422}
    assert {text[:40]: status for text, status in found.items() if status not in allowed} == {}
    assert state() == before


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_no_field_does_harm(path: str, field: str, admin: Caller, state: Callable[[], object]) -> None:
    before = state()
    replies = [(body, admin.post(path, body).status_code) for body in bodies_of(field)]
    assert {body[:60]: status for body, status in replies if status not in {200, 422}} == {}
    assert sum(status == 200 for _, status in replies) <= len(VALUES) // 5
    assert state() == before


@pytest.mark.parametrize("path", [SIGNUPS, f"{CUSTOMERIO}/retry", f"{CUSTOMERIO}/gate/close", WEBHOOKS])
def test_no_body_does_harm(path: str, admin: Caller, state: Callable[[], object]) -> None:
    before = state()
    statuses = {body[:40]: admin.post(path, body).status_code for body in NO_BODY}
    assert {body: status for body, status in statuses.items() if not 400 <= status < 500} == {}
    assert state() == before


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_path_does_harm(method: str, path: str, admin: Caller, state: Callable[[], object]) -> None:
    before = state()
    found = {text: admin.send(method, path.format(quote(text, safe=""))).status_code for text in HOSTILE}
    assert {text[:40]: status for text, status in found.items() if status not in {400, 404, 405, 422}} == {}
    assert state() == before


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_does_harm(name: str, admin: Caller, state: Callable[[], object]) -> None:
    before = state()
    sendable = [text for text in HOSTILE if not {"\r", "\n"} & set(text)]
    replies = [admin.send("GET", f"{CUSTOMERIO}/stats", **{name: text.encode().decode("latin-1")}) for text in sendable]
    assert {reply.status_code for reply in replies} <= {200, 401}
    assert [reply.headers["X-Request-Id"] for reply in replies if not reply.headers["X-Request-Id"].isascii()] == []
    assert state() == before


@pytest.mark.parametrize("name", SIGNED)
def test_no_header_of_a_webhook_does_harm(name: str, anybody: Caller, state: Callable[[], object]) -> None:
    before, good = state(), {"X-CIO-Signature": "0" * 64, "X-CIO-Timestamp": "1700000000"}
    sendable = [text for text in HOSTILE if not {"\r", "\n"} & set(text)]
    replies = [anybody.post(WEBHOOKS, b"{}", **{**good, name: text.encode().decode("latin-1")}) for text in sendable]
    assert {reply.status_code for reply in replies} == {401}
    assert state() == before
