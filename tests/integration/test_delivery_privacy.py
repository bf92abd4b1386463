import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from cio_tasks import events
from cio_tasks.customerio import CustomerIO
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.conftest import API_KEY
from tests.factories import Factory

ADA: dict[str, Any] = {"first_name": "Ada-Canary", "last_name": "Lovelace-Canary", "phone": "+15550001111"}
BOB: dict[str, Any] = {"first_name": "Bob-Canary", "last_name": "Babbage-Canary", "phone": "+15550002222"}


class Parrot(BaseHTTPRequestHandler):
    """A Customer.io that puts into its refusals whatever it was sent."""

    status = 400

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = [value for item in body["batch"] for value in item["attributes"].values()]
        message = f"cannot take {said} of {API_KEY} with {self.headers['authorization']}"
        error = {"batch_index": 0, "reason": "invalid", "field": "attributes", "message": message}
        answer = json.dumps({"errors": [error]}).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def parroting(runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """A runtime whose Customer.io answers every batch with `request.param` and an echo."""
    handler = type("StatusParrot", (Parrot,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        settings = runtime.settings.model_copy(update={"customerio_track_url": url})
        yield replace(runtime, settings=settings, client=CustomerIO.from_settings(settings))
        server.shutdown()


def stored_texts(make: Factory) -> str:
    """Return everything that was written about errors."""
    found = [row.error_message for model in (SyncJob, SyncAttempt, DeadLetter) for row in make.all(model)]
    found += [row.customerio_sync_error for row in make.all(Signup)]
    return " ".join([*filter(None, found), *(str(entry.details) for entry in make.all(AuditEntry))])


def leaks(text: str) -> set[str]:
    canaries = {
        *ADA.values(),
        *BOB.values(),
        "ada@example.com",
        "bob@example.com",
        "Rovers-Canary",
        API_KEY,
        "Basic U0",
    }
    return {canary for canary in canaries if canary in text}


@pytest.mark.parametrize("parroting", [400, 403, 500, 207], indirect=True)
def test_no_error_text_holds_what_the_reply_echoes(parroting: Runtime, make: Factory) -> None:
    signup = make.signup("ada@example.com", **ADA)
    process_due(parroting, limit=10)

    assert "cannot take" in (make.job(signup).error_message or "")
    assert leaks(stored_texts(make)) == set()


@pytest.mark.parametrize("parroting", [400, 429, 500], indirect=True)
def test_no_error_text_holds_what_belongs_to_a_neighbour_in_the_batch(parroting: Runtime, make: Factory) -> None:
    for number in range(4):
        make.signup(f"ada{number}@example.com", **ADA)
        make.signup(f"bob{number}@example.com", **BOB)
    process_due(parroting, limit=10)

    assert leaks(stored_texts(make)) == set()


@pytest.mark.parametrize("parroting", [400], indirect=True)
def test_no_error_text_holds_a_bet_slip(parroting: Runtime, make: Factory) -> None:
    make.confirm(make.signup(enqueue=False), team_bet_on="Rovers-Canary")
    process_due(parroting, limit=10)

    assert leaks(stored_texts(make)) == set()


@pytest.mark.parametrize("parroting", [400], indirect=True)
def test_no_fact_that_listeners_hear_holds_personal_data(parroting: Runtime, make: Factory) -> None:
    heard: list[str] = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        heard.append(f"{name} {facts}")

    make.signup("ada@example.com", **ADA)
    events.listen(listener)
    process_due(parroting, limit=10)
    events.unlisten(listener)

    assert [fact.split()[0] for fact in heard] == ["sync.failed"]
    assert leaks(" ".join(heard)) == set()


def test_an_over_long_value_is_not_repeated_in_its_error(runtime: Runtime, make: Factory) -> None:
    make.signup("ada@example.com", first_name="Ada-Canary" * 101)
    process_due(runtime, limit=10)

    assert leaks(stored_texts(make)) == set()
