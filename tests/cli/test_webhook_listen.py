import hashlib
import hmac
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from cio_tasks.fake import FakeCustomerIO
from tests.cli.conftest import CommandLine
from tests.eventually import eventually
from tests.receiver import Receiver

SECRET = "SECRETCANARY-webhook-signing-key"
PERSON = "CANARY-mail@example.com"
EVENT = {
    "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "object_type": "email",
    "metric": "bounced",
    "data": {"delivery_id": "dgTQ", "recipient": PERSON},
}
BODY = json.dumps(EVENT, indent=1).encode()


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine({"CUSTOMERIO_WEBHOOK_SECRET": SECRET})


def signed(body: bytes, key: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time()))
    signature = hmac.new(key.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-CIO-Timestamp": stamp, "X-CIO-Signature": signature, "Content-Type": "application/json"}


def post(url: str, body: bytes = BODY, key: str = SECRET) -> int:
    return requests.post(url, data=body, headers=signed(body, key), timeout=5).status_code


@contextmanager
def listening(cli: CommandLine, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `webhook listen --json` on a free port and give its address."""
    with cli.running("webhook", "listen", "--port", "0", "--json", *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        yield json.loads(line)["listening"], process


def ended(process: subprocess.Popen[str]) -> tuple[list[Any], str, int]:
    """Return the lines that are left, what was said beside them, and the exit code."""
    out, err = process.communicate(timeout=20)
    return [json.loads(line) for line in out.splitlines()], err, process.returncode


def test_a_webhook_is_answered_and_told_in_a_line(cli: CommandLine) -> None:
    with listening(cli, "--count", "1") as (url, process):
        assert post(url) == 200
        [line], err, code = ended(process)
    at = line.pop("at")
    assert line == {
        "direction": "in",
        "objectType": "email",
        "metric": "bounced",
        "deliveryId": "dgTQ",
        "eventId": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "bytes": len(BODY),
        "signatureValid": True,
        "explanation": None,
    }
    assert (err, code, at[-6:]) == ("", 0, "+00:00")


def test_a_wrong_signature_is_answered_told_and_explained(cli: CommandLine) -> None:
    with listening(cli, "--count", "2") as (url, process):
        assert [post(url, key="another"), post(url, key=f"{SECRET}\n")] == [200, 200]
        lines, _, code = ended(process)
    assert code == 1
    assert [line["signatureValid"] for line in lines] == [False, False]
    assert "a newline after the secret" in lines[1]["explanation"]


def test_without_a_secret_signatures_are_not_judged() -> None:
    with listening(CommandLine(), "--count", "1") as (url, process):
        requests.post(url, data=BODY, timeout=5)
        [line], _, code = ended(process)
    assert (line["signatureValid"], line["explanation"], code) == (None, None, 0)


def test_body_and_headers_are_forwarded_as_they_came(cli: CommandLine) -> None:
    with Receiver(200) as receiver, listening(cli, "--count", "1", "--forward-to", receiver.url) as (url, process):
        headers = signed(BODY)
        requests.post(url, data=BODY, headers={**headers, "X-Own": "kept"}, timeout=5)
        [_, line], _, code = ended(process)
    [request] = receiver.received
    assert (request.body, request.headers["x-own"]) == (BODY, "kept")
    assert request.headers["x-cio-signature"] == headers["X-CIO-Signature"]
    assert request.headers["host"] == urlsplit(receiver.url).netloc
    assert (line["direction"], line["status"], line["failure"], line["hint"], code) == ("out", 200, None, None, 0)


@pytest.mark.parametrize(
    ("answer", "status", "failure", "hint"),
    [(401, 401, None, "an hour"), (503, 503, None, "retry soon"), ("reset", None, "connection_reset", "an hour")],
)
def test_what_customerio_would_do_about_an_answer_is_told(
    cli: CommandLine, answer: int | str, status: int | None, failure: str | None, hint: str
) -> None:
    with Receiver(answer) as receiver, listening(cli, "--count", "1", "--forward-to", receiver.url) as (url, process):
        post(url)
        [_, line], _, code = ended(process)
    assert (line["status"], line["failure"], hint in line["hint"], code) == (status, failure, True, 1)


@pytest.mark.parametrize("slowness", ["hang", "drip"])
def test_a_receiver_has_four_seconds_and_the_sender_does_not_wait_for_it(cli: CommandLine, slowness: str) -> None:
    with Receiver(slowness) as receiver, listening(cli, "--count", "1", "--forward-to", receiver.url) as (url, process):
        started = time.monotonic()
        assert post(url) == 200
        waited = time.monotonic() - started
        [_, line], _, code = ended(process)
    assert (line["failure"], code) == ("timeout", 1)
    assert waited < 4 <= line["latency"] / 1_000 < 20
    assert "answer first, work later" in line["hint"]


def test_people_see_lines_without_personal_data(cli: CommandLine) -> None:
    with Receiver(200, 401) as receiver:
        arguments = ["--port", "0", "--count", "2", "--forward-to", f"{receiver.url}?key=CANARY-query"]
        with cli.running("webhook", "listen", *arguments) as process:
            assert process.stderr is not None
            ready = process.stderr.readline()
            url = "http://" + ready.split()[2]
            post(url)
            post(url, json.dumps({"event_id": PERSON, "object_type": PERSON, "data": {"delivery_id": PERSON}}).encode())
            out, err = process.communicate(timeout=20)
    patterns = [
        r"\d\d:\d\d:\d\d  -->  email bounced     dgTQ  01ARZ3NDEKTSV4RRFFQ69G5FAV",
        r"\d\d:\d\d:\d\d  <--  \[200\] POST /hook  \d+ ms",
        r"\d\d:\d\d:\d\d  -->  unknown event     C•••@ex•••\.com  C•••@ex•••\.com",
        r"\d\d:\d\d:\d\d  <--  \[401\] POST /hook  \d+ ms  Customer\.io would wait for an hour.*",
    ]
    for line, pattern in zip(out.splitlines(), patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert "2 webhooks, 0 with a wrong signature, 1 forwarded, 1 not taken" in err
    assert not re.search(rf"SECRETCANARY|{PERSON}|CANARY-query", ready + out + err)


def test_ctrl_c_ends_with_a_summary(cli: CommandLine) -> None:
    with cli.running("webhook", "listen", "--port", "0") as process:
        assert process.stderr is not None
        url = "http://" + process.stderr.readline().split()[2]
        post(url)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "1 webhook, 0 with a wrong signature"


def test_ctrl_c_does_not_wait_for_a_receiver_that_hangs(cli: CommandLine) -> None:
    with Receiver("hang") as receiver, listening(cli, "--forward-to", receiver.url) as (url, process):
        post(url)
        eventually(lambda: receiver.received)
        process.send_signal(signal.SIGINT)
        lines, _, code = ended(process)
    assert ([line["direction"] for line in lines], code) == (["in"], 130)


def test_a_port_that_is_taken_is_told_in_three_lines(cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = cli("webhook", "listen", "--port", str(port))
    error, cause, hint = answer.err.splitlines()
    assert answer.code == 6
    assert error == f"error: port {port} of 127.0.0.1 is taken"
    assert "address already in use" in cause
    assert "--port 0" in hint


@pytest.mark.parametrize("body", [b"", b"rubbish", b"\x00\xff", b"[" * 100_000, b"x" * 1_000_000])
def test_rubbish_is_told_as_rubbish(cli: CommandLine, body: bytes) -> None:
    with listening(cli, "--count", "1") as (url, process):
        assert post(url, body) == 200
        [line], _, code = ended(process)
    assert (line["objectType"], line["eventId"], line["signatureValid"], code) == (None, "-", True, 0)


def test_what_is_no_webhook_is_refused_and_not_counted(cli: CommandLine) -> None:
    with listening(cli, "--count", "1") as (url, process):
        assert requests.get(url, timeout=5).status_code == 405
        assert requests.post(url, data=iter([b"a", b"b"]), timeout=5).status_code == 411
        assert requests.post(url, headers={"Content-Length": "1000001"}, timeout=5).status_code == 413
        assert post(url) == 200
        lines, _, code = ended(process)
    assert (len(lines), code) == (1, 0)


def test_the_webhooks_of_the_stand_in_are_understood(cli: CommandLine) -> None:
    with FakeCustomerIO() as fake, listening(cli, "--count", "3") as (url, process):
        fake.webhooks.add(url=url, secret=SECRET)
        ids = fake.webhooks.send("sent", "delivered", "opened")
        lines, _, code = ended(process)
    assert [(line["eventId"], line["signatureValid"]) for line in lines] == [(event_id, True) for event_id in ids]
    assert code == 0


def test_forwarding_to_another_machine_is_asked_for(cli: CommandLine) -> None:
    answer = cli("webhook", "listen", "--forward-to", "https://hooks.example.com/x")
    assert (answer.code, "--yes" in answer.err) == (2, True)


def test_a_secret_may_come_from_a_file() -> None:
    Path("key").write_text(f"{SECRET}\n", encoding="utf-8")
    with listening(CommandLine(), "--count", "1", "--secret-file", "key") as (url, process):
        post(url)
        [line], _, code = ended(process)
    assert (line["signatureValid"], code) == (True, 0)
