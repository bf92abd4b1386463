import hashlib
import hmac
import time
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

SECRET = "SECRETCANARY-webhook-signing-key"
BODY = b'{"event_id":"x"}'


@pytest.fixture
def cli() -> CommandLine:
    Path("body.json").write_bytes(BODY)
    return CommandLine({"CUSTOMERIO_WEBHOOK_SECRET": f"{SECRET},old"})


def signature_of(body: bytes, stamp: str, key: str = SECRET) -> str:
    return hmac.new(key.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


def test_the_headers_are_those_of_the_published_scheme(cli: CommandLine) -> None:
    answer = cli("webhook", "sign", "--body", "body.json", "--timestamp", "1700000000")
    signed = signature_of(BODY, "1700000000")
    assert answer.out == f"X-CIO-Timestamp: 1700000000\nX-CIO-Signature: {signed}\n"
    assert "receiver of your own" in answer.err


def test_scripts_get_the_headers_as_an_object_and_no_word_more(cli: CommandLine) -> None:
    answer = cli("webhook", "sign", "--body", "body.json", "--timestamp", "1700000000", "--json")
    headers = {"X-CIO-Timestamp": "1700000000", "X-CIO-Signature": signature_of(BODY, "1700000000")}
    assert (answer.json, answer.err) == ({"headers": headers, "bytes": 16}, "")


def test_the_timestamp_is_now_unless_it_is_given(cli: CommandLine) -> None:
    before = int(time.time())
    answer = cli("webhook", "sign", "--body", "body.json", "--json")
    assert before <= int(answer.json["headers"]["X-CIO-Timestamp"]) <= time.time()


@pytest.mark.parametrize("body", [b"", b"\x00\xff\r\n", b"x" * 1_500_000], ids=["empty", "binary", "large"])
def test_any_bytes_are_signed_as_they_are_and_verified_again(cli: CommandLine, body: bytes) -> None:
    headers = cli("webhook", "sign", "--body", "-", "--json", stdin=body).json["headers"]
    parts = ["--timestamp", headers["X-CIO-Timestamp"], "--signature", headers["X-CIO-Signature"]]
    assert cli("webhook", "verify", "--body", "-", *parts, "--json", stdin=body).json["signatureValid"]


@pytest.mark.parametrize("stamp", ["now", "1e9", "170000000", "17000000000", "+170000000", "\uff11" * 10])
def test_a_timestamp_that_no_receiver_takes_is_refused(cli: CommandLine, stamp: str) -> None:
    answer = cli("webhook", "sign", "--body", "body.json", "--timestamp", stamp)
    assert (answer.code, "ten digits" in answer.err) == (2, True)


def test_a_secret_of_a_file_comes_before_that_of_the_environment(cli: CommandLine) -> None:
    Path("key").write_text("mine\n", encoding="utf-8")
    answer = cli("webhook", "sign", "--body", "body.json", "--timestamp", "1700000000", "--secret-file", "key")
    assert signature_of(BODY, "1700000000", "mine") in answer.out


def test_the_secret_is_not_shown(cli: CommandLine) -> None:
    answer = cli("webhook", "sign", "--body", "body.json", "--debug")
    assert "SECRETCANARY" not in answer.out + answer.err


def test_without_a_secret_there_is_nothing_to_sign_with() -> None:
    Path("body.json").write_bytes(BODY)
    answer = CommandLine().process("webhook", "sign", "--body", "body.json")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[0] == "error: CUSTOMERIO_WEBHOOK_SECRET is not set"
