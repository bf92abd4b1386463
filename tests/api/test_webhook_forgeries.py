"""Everything that is nearly a signature: refused with one answer, never with an error of ours, and without effect."""

import base64
import gzip
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cio_tasks.settings import Settings
from tests.api.callers import Caller
from tests.api.conftest import Counts
from tests.api.webhook_sender import (
    BODY,
    EVENT,
    HOOK,
    PREVIOUS,
    SECRET,
    SIGNATURE,
    TIMESTAMP,
    app_with,
    send,
    signature_of,
    signed,
)

CountRows = Callable[[], Counts]
NOW = str(int(time.time()))
RIGHT = signature_of(BODY, NOW)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The receiver where age does not matter, so that nothing is refused for it which ought to be for another reason."""
    app = app_with(settings, f"{SECRET},{PREVIOUS}", webhook_stale="keep")
    yield app
    app.extensions["database"].close()


@pytest.fixture
def count_rows(count_rows: CountRows) -> CountRows:
    """Count all rows but the counters: the API adds them to their table in its own time."""
    return lambda: {table: n for table, n in count_rows().items() if table != "customerio_counters"}


@pytest.fixture
def refuses(app: Flask, count_rows: CountRows) -> Callable[..., None]:
    """Assert that a webhook is answered like any bad signature and leaves nothing behind."""
    before = count_rows()

    def refuse(body: bytes = BODY, headers: Any = None) -> None:
        with app.test_client().post(HOOK, data=body, headers=headers, content_type="application/json") as reply:
            assert (reply.status_code, reply.get_json()["code"]) == (401, "bad_signature")
        assert count_rows() == before

    return refuse


def mac(message: bytes, secret: str = SECRET) -> "hmac.HMAC":
    return hmac.new(secret.encode(), message, hashlib.sha256)


def wide(digits: str) -> str:
    """Return digits that `int` takes for digits, as their bytes arrive in a header."""
    return "".join(chr(ord(digit) + 0xFEE0) for digit in digits).encode().decode("latin-1")


SIGNATURES = {
    "empty": "",
    "a character short": RIGHT[:-1],
    "a character long": RIGHT + "0",
    "upper case": RIGHT.upper(),
    "base64": base64.b64encode(bytes.fromhex(RIGHT)).decode(),
    "two in one": f"{RIGHT}, {RIGHT}",
    "blank behind": f"{RIGHT} ",
    "blank before": f" {RIGHT}",
    "tab behind": f"{RIGHT}\t",
    "quoted": f'"{RIGHT}"',
    "hexadecimal": f"0x{RIGHT}",
    "prefix twice": f"v0=v0={RIGHT}",
    "another prefix": f"v1={RIGHT}",
    "named": f"sha256={RIGHT}",
    "letters with marks": "é" * 64,
    "bytes that are no text": "\xff\xfe" * 32,
    "UTF-8": "é".encode().decode("latin-1") * 32,
    "wide digits": wide("0" * 64),
    "nought": "0" * 64,
    "last digit off": RIGHT[:-1] + ("1" if RIGHT[-1] == "0" else "0"),
    "of the body alone": mac(BODY).hexdigest(),
    "with a dot": mac(f"{NOW}.".encode() + BODY).hexdigest(),
    "other version": mac(f"v1:{NOW}:".encode() + BODY).hexdigest(),
    "no time": mac(b"v0::" + BODY).hexdigest(),
    "without a key": hashlib.sha256(f"v0:{NOW}:".encode() + BODY).hexdigest(),
    "SHA-512": hmac.new(SECRET.encode(), f"v0:{NOW}:".encode() + BODY, "sha512").hexdigest()[:64],
    "other secret": signature_of(BODY, NOW, "another"),
    "empty secret": signature_of(BODY, NOW, ""),
    "both secrets": signature_of(BODY, NOW, f"{SECRET},{PREVIOUS}"),
    "a megabyte": RIGHT * 16_000,
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_signature_that_is_nearly_right_is_wrong(case: str, refuses: Callable[..., None]) -> None:
    refuses(headers={TIMESTAMP: NOW, SIGNATURE: SIGNATURES[case]})


TIMESTAMPS = {
    "empty": "",
    "nought": "0",
    "scientific": "1e9",
    "no number": "NaN",
    "fraction": f"{NOW}.5",
    "5,000 digits": "1" * 5_000,
    "padded": f"0{NOW}",
    "underscores": f"{NOW[0]}_{NOW[1:4]}_{NOW[4:7]}_{NOW[7:]}",
    "blanks": f" {NOW} ",
    "plus": f"+{NOW}",
    "minus": f"-{NOW}",
    "hexadecimal": hex(int(NOW)),
    "milliseconds": f"{NOW}000",
    "wide digits": wide(NOW),
    "two": f"{NOW}, {NOW}",
    "ISO 8601": "2026-01-31T12:00:00Z",
    "non-ASCII": "\xff" * 10,
}


@pytest.mark.parametrize("case", TIMESTAMPS)
def test_a_timestamp_that_is_not_in_whole_seconds_is_refused_however_signed(
    case: str, refuses: Callable[..., None]
) -> None:
    refuses(headers=signed(BODY, timestamp=TIMESTAMPS[case]))


@pytest.mark.parametrize("name", [TIMESTAMP, SIGNATURE])
def test_both_headers_are_needed(name: str, refuses: Callable[..., None]) -> None:
    refuses(headers={other: value for other, value in signed(BODY).items() if other != name})
    refuses(headers={})


@pytest.mark.parametrize("name", [TIMESTAMP, SIGNATURE])
@pytest.mark.parametrize("other", ["", "x", None], ids=["empty", "wrong", "the same"])
def test_a_header_that_comes_twice_is_refused(name: str, other: str | None, refuses: Callable[..., None]) -> None:
    right = signed(BODY)
    added = right[name] if other is None else other
    refuses(headers=[*right.items(), (name, added)])
    refuses(headers=[(name, added), *right.items()])


@pytest.mark.parametrize(
    "body",
    [
        BODY + b" ",
        b" " + BODY,
        BODY + b"\r\n",
        b"\xef\xbb\xbf" + BODY,
        BODY[:-1],
        b"",
        json.dumps(EVENT, sort_keys=True).encode(),
        json.dumps(EVENT, separators=(",", ":")).encode(),
        json.dumps(EVENT, indent=1).encode(),
        BODY.replace(b"opened", b"Opened"),
        BODY.decode().encode("utf-16"),
        gzip.compress(BODY),
    ],
    ids=range(12),
)
def test_a_body_that_was_changed_on_the_way_is_refused(body: bytes, refuses: Callable[..., None]) -> None:
    refuses(body, signed(BODY))


def test_a_time_that_was_changed_on_the_way_is_refused(refuses: Callable[..., None]) -> None:
    refuses(headers=signed(BODY, age=60) | {TIMESTAMP: signed(BODY)[TIMESTAMP]})


def test_the_right_signature_is_accepted(app: Flask) -> None:
    assert send(app, headers={TIMESTAMP: NOW, SIGNATURE: RIGHT}).status_code == 200


def test_a_prefix_that_a_client_library_knows_is_tolerated(app: Flask) -> None:
    assert send(app, headers={TIMESTAMP: NOW, SIGNATURE: f"v0={RIGHT}"}).status_code == 200


class Unread(io.BytesIO):
    """A body that nobody may touch."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")

    readline = readinto = read  # type: ignore[assignment]


@pytest.mark.parametrize("headers", [{}, {TIMESTAMP: NOW, SIGNATURE: "x"}, {TIMESTAMP: "x", SIGNATURE: "0" * 64}])
def test_the_body_of_a_malformed_request_is_not_read(headers: dict[str, str], app: Flask) -> None:
    sent = {"headers": headers, "input_stream": Unread(b"x" * 1_000), "content_type": "application/json"}
    assert app.test_client().post(HOOK, **sent).status_code == 401


hostile = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"))
nearly = st.from_regex(r"(v0=)?[0-9a-fA-F]{63,65}", fullmatch=True)


@given(timestamp=st.just(NOW) | hostile, signature=nearly | hostile, body=st.binary())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_bytes_in_the_headers_get_past(timestamp: str, signature: str, body: bytes, app: Flask) -> None:
    headers = {TIMESTAMP: timestamp, SIGNATURE: signature}
    assert Caller(app).post(HOOK, body, **headers).status_code == 401


@given(sent=st.binary())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_a_signature_lets_its_own_bytes_in_and_no_others(sent: bytes, app: Flask) -> None:
    assert send(app, sent, signed(sent)).status_code == 200
    assert send(app, sent + b"\0", signed(sent)).status_code == 401
