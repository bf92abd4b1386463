import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cio_tasks import webhook_events
from cio_tasks.customerio.webhooks import read_event
from cio_tasks.db import Sessions
from cio_tasks.models import WebhookEvent
from tests.cli.conftest import CommandLine
from tests.cli.terminal import on_terminal
from tests.receiver import Receiver

SECRET = "SECRETCANARY-webhook-signing-key"
PERSON = "CANARY-mail@example.com"
EVENT_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
EVENT = {
    "event_id": EVENT_ID,
    "object_type": "email",
    "metric": "opened",
    "data": {"delivery_id": "dgTQ", "recipient": PERSON},
}
BODY = json.dumps(EVENT).encode() + b" \n"
SHAPE = {"sent", "eventId", "event", "delivery", "url", "bytes", "dryRun", "status", "failure", "latency"}


@pytest.fixture
def cli() -> CommandLine:
    Path("body.json").write_bytes(BODY)
    return CommandLine({"CUSTOMERIO_WEBHOOK_SECRET": f"{SECRET},SECRETCANARY-old"})


@pytest.fixture
def stored(sessions: Sessions) -> str:
    """Store the event as the receiver would, and return our id of it."""
    with sessions.begin() as session:
        webhook_events.store(session, read_event(BODY), body=BODY, signed_at=datetime.now(UTC))
        return str(session.query(WebhookEvent).one().id)


def signature_of(body: bytes, stamp: str) -> str:
    return hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("by", ["our id", "its own id"])
def test_a_stored_webhook_is_sent_once_more_freshly_signed(
    cli: CommandLine, stored: str, database_url: str, by: str
) -> None:
    before = int(time.time())
    key = stored if by == "our id" else EVENT_ID
    with Receiver() as receiver:
        answer = cli("webhook", "send", key, "--to", receiver.url, "--json", DATABASE_URL=database_url)
    [request] = receiver.received
    stamp = request.headers["x-cio-timestamp"]
    assert request.body == BODY
    assert before <= int(stamp) <= time.time()
    assert request.headers["x-cio-signature"] == signature_of(BODY, stamp)
    assert (answer.code, answer.json["sent"], answer.json["eventId"]) == (0, True, EVENT_ID)


def test_a_body_of_a_file_is_sent_without_any_database(cli: CommandLine) -> None:
    with Receiver(204) as receiver:
        answer = cli.process("webhook", "send", "--body", "body.json", "--to", receiver.url, "--json")
    assert receiver.bodies() == [BODY]
    assert answer.json.keys() == SHAPE
    assert (answer.code, answer.json["status"], answer.json["bytes"]) == (0, 204, len(BODY))


@pytest.mark.parametrize("key", ["01ARZ3NDEKTSV4RRFFQ69G5FAW", "0198c0de-0000-7000-8000-000000000000"])
def test_a_webhook_that_is_not_stored_is_not_found(
    cli: CommandLine, sessions: Sessions, database_url: str, key: str
) -> None:
    answer = cli("webhook", "send", key, "--to", "http://127.0.0.1:1/", "--json", DATABASE_URL=database_url)
    assert (answer.code, answer.fault["code"], answer.out) == (7, "not_found", "")


def test_a_dry_run_sends_nothing(cli: CommandLine, stored: str, database_url: str) -> None:
    with Receiver() as receiver:
        arguments = ["--to", receiver.url, "--dry-run", "--json"]
        answer = cli("webhook", "send", EVENT_ID, *arguments, DATABASE_URL=database_url)
    assert receiver.received == []
    assert answer.json.keys() == SHAPE
    assert (answer.code, answer.json["sent"], answer.json["dryRun"]) == (0, False, True)


@pytest.mark.parametrize(
    ("reply", "code", "fault"),
    [
        (401, 4, "webhook.unauthorized"),
        (403, 4, "webhook.unauthorized"),
        (404, 5, "webhook.refused"),
        (302, 5, "webhook.refused"),
        (429, 6, "webhook.failed"),
        (503, 6, "webhook.failed"),
        ("reset", 6, "webhook.unanswered"),
    ],
)
def test_a_receiver_that_does_not_take_it_decides_the_exit_code(
    cli: CommandLine, reply: int | str, code: int, fault: str
) -> None:
    with Receiver(reply) as receiver:
        answer = cli("webhook", "send", "--body", "body.json", "--to", receiver.url, "--json")
    assert (answer.code, answer.fault["code"], answer.json["sent"]) == (code, fault, False)
    assert len(receiver.received) == 1


def test_a_receiver_has_four_seconds(cli: CommandLine) -> None:
    with Receiver("drip") as receiver:
        answer = cli("webhook", "send", "--body", "body.json", "--to", receiver.url, "--json")
    assert (answer.code, answer.json["failure"]) == (6, "timeout")
    assert 4_000 <= answer.json["latency"] < 6_000
    assert "answer first, work later" in answer.fault["hint"]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/x",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://localhost.example/",
    ],
)
def test_another_machine_is_not_sent_to_unasked(cli: CommandLine, url: str) -> None:
    answer = cli("webhook", "send", "--body", "body.json", "--to", url)
    assert (answer.code, "--yes" in answer.err) == (2, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1", "[::1]"])
def test_this_machine_is_sent_to_at_once(cli: CommandLine, host: str) -> None:
    answer = cli("webhook", "send", "--body", "body.json", "--to", f"http://{host}:1/", "--json")
    assert (answer.code, answer.json["failure"]) == (6, "connection_refused")


@pytest.mark.parametrize(("reply", "code", "told"), [("n\n", 130, "nothing was done"), ("y\n", 6, "error: ")])
def test_at_a_terminal_a_person_is_asked(cli: CommandLine, reply: str, code: int, told: str) -> None:
    arguments = ["webhook", "send", "--body", "body.json", "--to", "http://nowhere.invalid/"]
    shown = on_terminal(cli, *arguments, stream="stderr", typed=reply)
    assert shown.code == code
    assert shown.text.index("Send there? [y/N]") < shown.text.index(told)


def test_another_machine_is_tried_with_yes(cli: CommandLine) -> None:
    answer = cli("webhook", "send", "--body", "body.json", "--to", "http://nowhere.invalid/", "--yes", "--json")
    assert (answer.code, answer.json["sent"], answer.fault["code"]) == (6, False, "webhook.unanswered")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://127.0.0.1/", "http://", "http://me:hunter2@127.0.0.1/", "http://127.0.0.1/#x", ""]
)
def test_an_impossible_address_is_refused_and_not_repeated(cli: CommandLine, url: str) -> None:
    answer = cli("webhook", "send", "--body", "body.json", "--to", url)
    assert (answer.code, "--to" in answer.err, "hunter2" in answer.err) == (2, True, False)


@pytest.mark.parametrize("arguments", [[], ["an-id", "--body", "body.json"]])
def test_there_must_be_one_webhook_to_send(cli: CommandLine, arguments: list[str]) -> None:
    answer = cli("webhook", "send", *arguments, "--to", "http://127.0.0.1:1/")
    assert (answer.code, "either" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "CUSTOMERIO_WEBHOOK_SECRET is not set"), ({"CUSTOMERIO_WEBHOOK_SECRET": SECRET}, "DATABASE_URL is not set")],
)
def test_what_is_not_set_is_named(environment: dict[str, str], told: str) -> None:
    answer = CommandLine(environment)("webhook", "send", EVENT_ID, "--to", "http://127.0.0.1:1/")
    assert (answer.code, told in answer.err) == (3, True)


@pytest.mark.parametrize("flags", [[], ["--json"], ["--debug"], ["--dry-run"]], ids=str)
def test_neither_secret_nor_person_is_told(cli: CommandLine, stored: str, database_url: str, flags: list[str]) -> None:
    with Receiver(401, 200) as receiver:
        to = ["--to", f"{receiver.url}?key=SECRETCANARY-query", *flags]
        runs = [cli("webhook", "send", stored, *to, DATABASE_URL=database_url) for _ in range(2)]
    told = "".join(run.out + run.err for run in runs)
    assert not re.search(rf"SECRETCANARY|{PERSON}|[0-9a-f]{{64}}", told)
