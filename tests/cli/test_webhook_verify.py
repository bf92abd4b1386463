import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, CommandLine

SECRET = "SECRETCANARY-webhook-signing-key"
OLD = "SECRETCANARY-old-signing-key"
PERSON = "CANARY-mail@example.com"
EVENT = {
    "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "object_type": "email",
    "metric": "bounced",
    "timestamp": 1_700_000_000,
    "data": {"delivery_id": "dgTQ", "recipient": PERSON, "identifiers": {"id": "u1", "email": PERSON}},
}
SHAPE = {"signatureValid", "payloadParsed", "eventsProcessed", "errors", "processingTime", "explanation"}
VECTOR = (
    b'{"event_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","object_type":"email","metric":"opened","timestamp":1700000000,'
    b'"data":{"delivery_id":"abc"}}'
)


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine({"CUSTOMERIO_WEBHOOK_SECRET": SECRET, "CUSTOMERIO_API_KEY": "SECRETCANARY-api-key"})


def now() -> str:
    return str(int(time.time()))


def sign(body: bytes, stamp: str, key: str = SECRET) -> str:
    return hmac.new(key.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


def written(body: object = EVENT) -> bytes:
    """Write body.json and return its bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    Path("body.json").write_bytes(raw)
    return raw


def verify(
    cli: CommandLine, signature: str | None = None, *more: str, stamp: str | None = None, key: str = SECRET
) -> Answer:
    """Verify body.json with this signature, by default the right one of now."""
    at = stamp or now()
    given = sign(Path("body.json").read_bytes(), at, key) if signature is None else signature
    return cli("webhook", "verify", "--body", "body.json", "--timestamp", at, "--signature", given, *more)


@pytest.mark.row("N1", "N2", "N3", "N5")
def test_a_right_signature_is_told_with_what_is_in_the_event(cli: CommandLine) -> None:
    written()
    answer = verify(cli, None, "--json")
    assert answer.code == 0
    assert answer.json.keys() == SHAPE
    facts = {name: answer.json[name] for name in SHAPE - {"processingTime"}}
    good = {"signatureValid": True, "payloadParsed": True, "eventsProcessed": 1}
    assert facts == {**good, "errors": [], "explanation": None}
    assert 0 < answer.json["processingTime"] < 5_000


@pytest.mark.row("N6", "N7")
def test_a_wrong_signature_stops_before_anything_is_read(cli: CommandLine) -> None:
    written(b'{"event_id":"x","object_type":"pigeon"}')
    answer = verify(cli, "0" * 64, "--json")
    assert answer.code == 1
    assert [answer.json[name] for name in ("signatureValid", "payloadParsed", "eventsProcessed")] == [False, False, 0]
    assert answer.json["errors"] == []
    assert "known ways" in answer.json["explanation"]
    assert "pigeon" not in answer.out + answer.err


@pytest.mark.row("N4")
@pytest.mark.parametrize(
    ("body", "parsed", "error", "code"),
    [
        (b"rubbish", False, "JSON", 1),
        (b"\x00\xff" * 700, False, "JSON", 1),
        (b"", False, "JSON", 1),
        (b"[]", False, "JSON", 1),
        (b"[" * 100_000, False, "JSON", 1),
        ({"object_type": "email", "metric": "sent"}, True, "event_id", 0),
        ({"event_id": "x", "object_type": "pigeon", "metric": "sent"}, True, "object_type", 0),
        ({"event_id": "x", "object_type": "email", "metric": "landed"}, True, "metric", 0),
        (b'{"event_id":"x","event_id":"y","object_type":"email","metric":"sent"}', True, "twice", 0),
    ],
)
def test_what_is_odd_about_an_event_is_told(
    cli: CommandLine, body: object, parsed: bool, error: str, code: int
) -> None:
    written(body)
    answer = verify(cli, None, "--json")
    assert (answer.code, answer.json["signatureValid"], answer.json["payloadParsed"]) == (code, True, parsed)
    assert answer.json["eventsProcessed"] == int(parsed)
    [one] = answer.json["errors"]
    assert one.keys() == {"event", "error"}
    assert error in one["error"]


def test_the_published_scheme_is_checked(cli: CommandLine) -> None:
    written(VECTOR)
    digest = "e098758bd49d9b7adee55794b2f72717a4508897faeeae7ab518750f58784c20"
    Path("key").write_text("test-signing-key\n", encoding="utf-8")
    answer = verify(cli, digest, "--secret-file", "key", "--json", stamp="1700000000")
    assert (answer.code, answer.json["signatureValid"]) == (0, True)
    assert "stale" in answer.json["explanation"]


def test_a_mismatch_is_explained_to_people(cli: CommandLine) -> None:
    raw = written(json.dumps(EVENT).encode() + b"\n")
    stamp = str(int(time.time()) - 41)
    answer = verify(cli, sign(raw[:-1], stamp), stamp=stamp)
    first, second, third = answer.out.splitlines()
    assert first.startswith(f"✗ signature does not match (scheme v0, {len(raw)}-byte body, secret SECR…ey (32 chars))")
    assert "the last newline of the body left out" in second
    assert re.fullmatch(r"  timestamp 4\d s old \(tolerance 300 s\)", third)


def test_a_right_signature_is_told_to_people(cli: CommandLine) -> None:
    written()
    answer = verify(cli)
    assert answer.out.splitlines()[0].startswith("✓ signature is right")
    assert answer.out.splitlines()[-1] == "✓ email bounced     dgTQ  01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_either_of_two_secrets_may_have_signed(cli: CommandLine) -> None:
    written()
    line = CommandLine({"CUSTOMERIO_WEBHOOK_SECRET": f"{SECRET},{OLD}"})
    assert verify(line, None, "--json").json["explanation"] is None
    answer = verify(line, None, "--json", key=OLD)
    assert (answer.code, answer.json["explanation"]) == (0, "signed with number 2 of 2 secrets")


@pytest.mark.parametrize(
    ("key", "name"), [(SECRET, "CUSTOMERIO_WEBHOOK_SECRET"), ("SECRETCANARY-api-key", "CUSTOMERIO_API_KEY")]
)
def test_a_secret_of_the_settings_is_named_when_the_file_has_another(cli: CommandLine, key: str, name: str) -> None:
    written()
    Path("key").write_text("another", encoding="utf-8")
    answer = verify(cli, None, "--secret-file", "key", "--json", key=key)
    assert answer.code == 1
    assert f"{name} for the secret" in answer.json["explanation"]


def test_body_and_secret_may_come_by_stdin_but_not_both(cli: CommandLine) -> None:
    raw = written()
    stamp = now()
    arguments = ["webhook", "verify", "--timestamp", stamp, "--signature", sign(raw, stamp)]
    assert cli(*arguments, "--body", "-", stdin=raw).code == 0
    plain = CommandLine()
    assert plain(*arguments, "--body", "body.json", "--secret-file", "-", stdin=f"{SECRET}\n").code == 0
    answer = plain(*arguments, "--body", "-", "--secret-file", "-", stdin=raw)
    assert (answer.code, "stdin cannot be both" in answer.err) == (2, True)


def test_without_a_secret_nothing_can_be_checked() -> None:
    written()
    answer = verify(CommandLine(), "0" * 64, "--json")
    assert (answer.code, answer.fault["code"], answer.out) == (3, "config.invalid", "")
    assert "--secret-file" in answer.fault["hint"]


@pytest.mark.parametrize("content", [b"", b" \n", b",", b"\xff\xfe", b"x" * 5_000])
def test_a_secret_file_that_holds_none_is_a_fault_of_configuration(cli: CommandLine, content: bytes) -> None:
    written()
    Path("key").write_bytes(content)
    answer = verify(cli, "0" * 64, "--secret-file", "key")
    assert answer.code == 3
    assert "the secret file" in answer.err


@pytest.mark.parametrize("path", ["nowhere.json", "."])
def test_a_body_that_cannot_be_opened_is_named(cli: CommandLine, path: str) -> None:
    answer = cli("webhook", "verify", "--body", path, "--timestamp", now(), "--signature", "0" * 64)
    assert answer.code == 2
    assert "--body" in answer.err


def test_a_body_beyond_what_a_receiver_takes_is_told(cli: CommandLine) -> None:
    written({**EVENT, "padding": "x" * 1_100_000})
    answer = verify(cli, None, "--json")
    assert (answer.code, answer.json["signatureValid"]) == (1, True)
    assert "413" in answer.json["errors"][0]["error"]


def test_a_body_beyond_all_reason_is_not_read(cli: CommandLine) -> None:
    with Path("body.json").open("wb") as file:
        file.truncate(16_000_001)
    answer = verify(cli, "0" * 64)
    assert (answer.code, "more than 16 MB" in answer.err) == (2, True)


@pytest.mark.parametrize("missing", ["--body", "--timestamp", "--signature"])
def test_every_part_is_needed(cli: CommandLine, missing: str) -> None:
    written()
    given = {"--body": "body.json", "--timestamp": now(), "--signature": "0" * 64}
    del given[missing]
    answer = cli("webhook", "verify", *(word for pair in given.items() for word in pair))
    assert (answer.code, missing in answer.err) == (2, True)


@pytest.mark.parametrize("flags", [[], ["--json"], ["--debug"], ["--json", "--debug"]], ids=str)
def test_neither_signature_secret_nor_person_is_ever_told(cli: CommandLine, flags: list[str]) -> None:
    raw = written()
    stamp = now()
    wrongs = [sign(raw + b"\n", stamp), sign(raw, stamp).upper(), sign(raw, stamp, "SECRETCANARY-api-key"), "0" * 64]
    runs = [verify(cli, signature, *flags, stamp=stamp) for signature in [None, *wrongs, "", "é"]]
    written({"event_id": PERSON, "object_type": PERSON, "metric": SECRET, "data": {"delivery_id": PERSON}})
    told = "".join(run.out + run.err for run in [*runs, verify(cli, None, *flags)])
    assert not re.search(r"[0-9a-fA-F]{40}", told)
    assert "SECRETCANARY" not in told
    assert PERSON not in told


def test_a_real_process_answers_the_same(cli: CommandLine) -> None:
    raw = written()
    stamp = now()
    parts = ["--body", "-", "--timestamp", stamp, "--signature", sign(raw, stamp)]
    answer = cli.process("webhook", "verify", *parts, "--json", stdin=raw)
    assert (answer.code, answer.json["eventsProcessed"], answer.err) == (0, 1, "")


@pytest.mark.parametrize("command", ["verify", "sign", "listen", "send"])
def test_no_command_loads_what_it_may_not_need(command: str) -> None:
    program = (
        "import sys; from cio_tasks.cli.tree import root\n"
        f"try: root.main(['webhook', {command!r}, '-h'])\n"
        "finally: print([name for name in ('celery', 'sqlalchemy', 'flask', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
