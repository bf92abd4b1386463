import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.diagnostics.webhook import Explanation, describe_age, explain_mismatch

pytestmark = pytest.mark.row("N1", "N6")

SECRET = "0123456789abcdef0123456789ABCDEF"
OTHER = "SECRETCANARY-api-key"
STAMP = "1700000000"
EVENT = {"event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "timestamp": 1699999990, "data": {"z": "é/<", "a": 1.5}}
BODY = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()
Sign = Callable[[bytes], bytes]


def mac(text: bytes, key: str | bytes = SECRET, name: str = "sha256") -> str:
    return hmac.new(key.encode() if isinstance(key, str) else key, text, name).hexdigest()


def right(body: bytes = BODY, stamp: str = STAMP, key: str | bytes = SECRET, name: str = "sha256") -> str:
    return mac(f"v0:{stamp}:".encode() + body, key, name)


def explain(
    signature: str, *, body: bytes = BODY, stamp: str = STAMP, secrets: Sequence[str] = (SECRET,)
) -> Explanation:
    return explain_mismatch(
        body, timestamp=stamp, signature=signature, secrets=secrets, others={"CUSTOMERIO_API_KEY": OTHER}
    )


def codes(found: Explanation) -> list[str] | None:
    return None if found.mistakes is None else [mistake.code for mistake in found.mistakes]


@pytest.mark.parametrize(
    ("signed", "code"),
    [
        (STAMP.encode() + b":" + BODY, "no_version"),
        (STAMP.encode() + b"." + BODY, "dot"),
        (BODY, "body_only"),
        (b"v0." + STAMP.encode() + b"." + BODY, "dots"),
        (b"v0:" + BODY, "no_timestamp"),
        (STAMP.encode() + BODY, "no_separators"),
        (b"v1:" + STAMP.encode() + b":" + BODY, "v1"),
        (b"v0:" + BODY + b":" + STAMP.encode(), "reversed"),
    ],
)
def test_a_text_put_together_in_another_way_is_found(signed: bytes, code: str) -> None:
    assert codes(explain(mac(signed))) == [code]


@pytest.mark.parametrize(
    ("given_body", "signed_body", "code"),
    [
        (BODY + b"\n", BODY, "extra_newline"),
        (BODY + b"\r\n", BODY, "extra_newline"),
        (BODY, BODY + b"\n", "missing_newline"),
        (BODY, BODY + b"\r\n", "missing_crlf"),
        (b" " + BODY + b" ", BODY, "extra_whitespace"),
        (b"{\r\n}", b"{\n}", "crlf"),
        (b"{\n}", b"{\r\n}", "lf"),
        (b"\xef\xbb\xbf" + BODY, BODY, "bom"),
        (BODY, b"\xef\xbb\xbf" + BODY, "missing_bom"),
        (BODY, BODY.decode("latin-1").encode(), "latin_1"),
        (BODY.decode("latin-1").encode(), BODY, "from_latin_1"),
        (BODY, b"", "empty_body"),
        (BODY, b"[object Object]", "js_object"),
        (BODY, str(BODY).encode(), "python_bytes"),
        (BODY, str(EVENT).encode(), "python_dict"),
        (json.dumps(EVENT).encode(), BODY, "compact"),
        (BODY, json.dumps(EVENT, separators=(",", ":")).encode(), "compact_ascii"),
        (BODY, json.dumps(EVENT).encode(), "spaced"),
        (BODY, json.dumps(EVENT, ensure_ascii=False).encode(), "spaced_utf8"),
        (BODY, json.dumps(EVENT, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(), "sorted"),
        (BODY, json.dumps(EVENT, sort_keys=True, separators=(",", ":")).encode(), "sorted_ascii"),
        (BODY, json.dumps(EVENT, sort_keys=True).encode(), "sorted_spaced"),
        (BODY, json.dumps(EVENT, indent=2, ensure_ascii=False).encode(), "indented_2"),
        (BODY, json.dumps(EVENT, indent=2).encode(), "indented_2_ascii"),
        (BODY, json.dumps(EVENT, indent=4, ensure_ascii=False).encode(), "indented_4"),
        (BODY, json.dumps(EVENT, indent=4).encode(), "indented_4_ascii"),
        (BODY, json.dumps(EVENT, indent=2, ensure_ascii=False).encode() + b"\n", "jq"),
        (BODY, json.dumps(EVENT, separators=(",", ":")).replace("/", r"\/").encode(), "php"),
    ],
)
def test_a_body_that_is_not_the_signed_one_is_found(given_body: bytes, signed_body: bytes, code: str) -> None:
    assert codes(explain(right(signed_body), body=given_body)) == [code]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (SECRET + "\n", "secret_whitespace"),
        (SECRET + "\r\n", "secret_whitespace"),
        (SECRET + " ", "secret_whitespace"),
        (" " + SECRET, "secret_whitespace"),
        (f'"{SECRET}"', "secret_quoted"),
        (f"'{SECRET}'", "secret_quoted"),
        (SECRET.upper(), "secret_upper"),
        (SECRET.lower(), "secret_lower"),
        (bytes.fromhex(SECRET), "secret_hex"),
        (base64.b64decode(SECRET), "secret_base64"),
        (OTHER, "other_secret"),
        ("", "empty_secret"),
        ("None", "no_secret"),
        ("undefined", "no_secret"),
    ],
)
def test_another_key_is_found(key: str | bytes, code: str) -> None:
    assert codes(explain(right(key=key))) == [code]


def test_quotes_that_only_we_have_are_found() -> None:
    assert codes(explain(right(), secrets=[f'"{SECRET}"'])) == ["secret_unquoted"]


def test_two_secrets_taken_for_one_are_found() -> None:
    assert codes(explain(right(key=f"{SECRET},old-secret"), secrets=[SECRET, "old-secret"])) == ["joined_secrets"]


def test_a_mistake_is_found_with_either_of_two_secrets() -> None:
    assert codes(explain(mac(BODY, "old-secret"), secrets=[SECRET, "old-secret"])) == ["body_only"]


@pytest.mark.parametrize(
    ("stamp", "signed_stamp", "code"),
    [
        (STAMP + "123", STAMP, "milliseconds"),
        (STAMP, STAMP + "000", "signed_milliseconds"),
        (STAMP + ".25", STAMP, "fraction"),
        (f" {STAMP}", STAMP, "stamp_whitespace"),
        ("2023-11-14T22:13:20+00:00", STAMP, "iso"),
        (STAMP, "1699999990", "event_time"),
    ],
)
def test_another_timestamp_is_found(stamp: str, signed_stamp: str, code: str) -> None:
    assert codes(explain(right(stamp=signed_stamp), stamp=stamp)) == [code]


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (right().upper(), "upper_case"),
        (f" {right()}\n", "signature_whitespace"),
        (f'"{right()}"', "signature_whitespace"),
        (f"sha256={right()}", "signature_prefix"),
        (base64.b64encode(bytes.fromhex(right())).decode(), "base64"),
        (base64.urlsafe_b64encode(bytes.fromhex(right())).decode().rstrip("="), "base64"),
        (base64.b64encode(right().encode()).decode(), "base64_of_hex"),
        (right(name="sha1"), "hash"),
        (right(name="sha512"), "hash"),
        (right(name="md5"), "hash"),
        (hashlib.sha256(f"{SECRET}v0:{STAMP}:".encode() + BODY).hexdigest(), "no_hmac"),
        (mac(SECRET.encode(), f"v0:{STAMP}:".encode() + BODY), "key_and_text"),
    ],
)
def test_a_signature_made_or_written_in_another_way_is_found(signature: str, code: str) -> None:
    assert codes(explain(signature)) == [code]


def test_headers_that_changed_places_are_found() -> None:
    assert codes(explain(STAMP, stamp=right())) == ["swapped"]
    assert codes(explain(STAMP, stamp=mac(BODY))) == ["swapped", "body_only"]
    found = explain(STAMP, stamp="0" * 64)
    assert codes(found) is None
    assert "timestamp and signature exchanged" in found.told


@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        (mac(BODY), BODY + b"\n", ["body_only", "extra_newline"]),
        (mac(BODY, SECRET + "\n"), BODY, ["body_only", "secret_whitespace"]),
        (right(BODY, key=SECRET + "\n"), BODY + b"\n", ["extra_newline", "secret_whitespace"]),
        (mac(BODY, name="sha1").upper(), BODY + b"\n", ["body_only", "extra_newline", "hash", "upper_case"]),
        (base64.b64encode(bytes.fromhex(mac(BODY))).decode(), BODY, ["body_only", "base64"]),
    ],
)
def test_mistakes_are_found_together(signature: str, body: bytes, expected: list[str]) -> None:
    assert codes(explain(signature, body=body)) == expected


@pytest.mark.parametrize(
    ("stamp", "signature", "told"),
    [
        ("", right(), "a header is empty"),
        (STAMP, "", "a header is empty"),
        (STAMP, "zz", "2 characters"),
        (STAMP, right()[:-1], "63 characters"),
        (STAMP, right() + "ab", "66 characters"),
        ("1e9", right(stamp="1e9"), "not ten digits"),
        ("1700000000000", "0" * 64, "milliseconds"),
    ],
)
def test_a_header_that_cannot_be_right_is_told(stamp: str, signature: str, told: str) -> None:
    assert told in explain(signature, stamp=stamp).told


def test_a_signature_that_fits_a_bad_timestamp_is_told_so() -> None:
    found = explain(right(stamp="1700000000000"), stamp="1700000000000")
    assert found.told.endswith("apart from that the signature fits")


def test_what_nobody_knows_is_told_as_that() -> None:
    found = explain("0" * 64)
    assert codes(found) is None
    assert re.search(r"none of \d{3,4} known ways", found.told)


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 50, b"[" * 100_000, b'{"a":' + b"9" * 5_000 + b"}", b'"\\ud800"'])
def test_any_body_is_survived(body: bytes) -> None:
    assert codes(explain(mac(body), body=body)) == ["body_only"]


@given(st.text(max_size=80), st.text(max_size=80), st.binary(max_size=80))
def test_any_header_is_survived(stamp: str, signature: str, body: bytes) -> None:
    assert explain(signature, stamp=stamp, body=body).told


@pytest.mark.parametrize(
    "signature", [right(BODY + b"\n"), mac(BODY), "0" * 64, right().upper(), right(key=OTHER), "x"]
)
def test_no_signature_and_no_secret_is_told(signature: str) -> None:
    told = repr(explain(signature))
    assert not re.search(r"[0-9a-fA-F]{40}", told.replace(signature, ""))
    assert right() not in told
    assert SECRET not in told
    assert OTHER not in told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (41, "timestamp 41 s old (tolerance 300 s)"),
        (300, "timestamp 5 min old (tolerance 300 s)"),
        (-100, "timestamp 100 s ahead of this clock (tolerance 300 s)"),
    ],
)
def test_the_age_of_a_timestamp_is_named(seconds: int, told: str) -> None:
    assert describe_age(STAMP, now=datetime.fromtimestamp(int(STAMP) + seconds, UTC)) == told


@pytest.mark.parametrize(
    ("age", "told"), [(301, "5 min old"), (-301, "5 min ahead"), (7_200, "2 h old"), (999_999, "11 d old")]
)
def test_a_stale_timestamp_is_told(age: int, told: str) -> None:
    described = describe_age(STAMP, now=datetime.fromtimestamp(int(STAMP), UTC) + timedelta(seconds=age)) or ""
    assert told in described
    assert "stale" in described


@pytest.mark.parametrize("stamp", ["", "1e9", "17000000000", "-170000000", "\uff11" * 10])
def test_what_is_no_time_has_no_age(stamp: str) -> None:
    assert describe_age(stamp, now=datetime.now(UTC)) is None
