"""What no field and no body may be: raw JSON, since half of it cannot be written by a JSON library."""

import gzip
import json
from collections.abc import Iterator

from tests.api.callers import SIGNUP, SLIP

FULL_WIDTH = "\uff19"
"""A nine that is a digit to Unicode and to `int`, and to nobody else."""

NO_TEXT = ["123", "1.5", "true", "[]", "{}", '["a"]', '{"a":1}']
BROKEN_TEXT = [
    r'"\u0000"',
    r'"a\u0000b"',
    r'"a\nb"',
    r'"a\r\nX-Header: 1"',
    r'"a\tb"',
    r'"trailing\n"',
    r'"a\u001b[31mb"',
    r'"a\u007f"',
    r'"a\u0085b"',
    r'"a\u2028b"',
    r'"\ud800"',
    r'"a\udfffb"',
    r'"\udc00\ud800"',
]
EMPTY = ['""', '" "', r'"   "', r'"\u3000"']


def text_of(length: int) -> str:
    return json.dumps("x" * length)


def quoted(*texts: str) -> list[str]:
    return [json.dumps(text) for text in texts]


NO_EMAIL = quoted(
    "ada",
    "ada@",
    "@example.com",
    "ada@@example.com",
    "a@b@example.com",
    "ada lovelace@example.com",
    "ada@localhost",
    "ada@example",
    "ada@[127.0.0.1]",
    '"ada lovelace"@example.com',
    "Ada <ada@example.com>",
    "ada@example.com,eve@example.com",
    "ada@example.com;eve@example.com",
    "a..b@example.com",
    ".ada@example.com",
    "ada@example..com",
    "ada@-example.com",
    "ada@example.com.",
    "ada@x.invalid",
    "ada@1.2.3.4",
    "a\u200bda@example.com",
    "mailto:ada@example.com",
    "javascript:alert(1)",
    "' OR 1=1--",
    "../../x",
    "{{7*7}}",
    "a@" + "b" * 64 + ".com",
    "a" * 243 + "@example.com",
    "a" * 60_000 + "@example.com",
)
NO_PHONE = quoted(
    "1234",
    "1" * 41,
    "call me",
    "555-CALL",
    "+++++",
    ".....",
    "٠١٢٣٤٥٦",
    FULL_WIDTH * 6,
    "12345;rm",
    "12345x1",
    "%2B12345",
)
NO_TIME = [
    "1767225600",
    "1767225600.5",
    *quoted(
        "",
        "now",
        "1767225600",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "31.01.2026T12:00:00Z",
        "2026-1-31T12:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T12:00:00+99:99",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00 Europe/Berlin",
        f"202{FULL_WIDTH}-01-31T12:00:00Z",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59Z",
        "99999-01-01T00:00:00Z",
        "-2026-01-31T12:00:00Z",
        "P1D",
    ),
]
BEYOND_DECIMAL = "1e99999999999999999999"
NO_NUMBER = [
    "null",
    "true",
    "false",
    '"25"',
    '"25.50"',
    '""',
    '"NaN"',
    "[]",
    "[25]",
    "{}",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "1_000",
    "01",
    "+1",
    ".5",
    "5.",
    "1e",
    FULL_WIDTH,
    BEYOND_DECIMAL,
    "9" * 5000,
    "1e400",
    "2e308",
    "-1",
    "-0.01",
    "-1e-400",
]
NOT_JSON = {
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "1_000",
    "01",
    "+1",
    ".5",
    "5.",
    "1e",
    FULL_WIDTH,
    BEYOND_DECIMAL,
}
"""Those of the numbers with which the whole body is malformed, or beyond any number."""
NO_AMOUNT = [
    "0",
    "-0",
    "0.0",
    "0e5",
    "0.001",
    "25.505",
    "0.30000000000000004",
    "1.00000000000000000001",
    "1e-400",
    "10000000000",
    "9999999999.991",
    "9223372036854775808",
]
NO_CONFIDENCE = ["1.01", "2", "90", "1.0000000000000000000001"]

required = [*NO_TEXT, *BROKEN_TEXT, *EMPTY, "null"]
optional = [*NO_TEXT, *BROKEN_TEXT, *EMPTY]

OF_SIGNUP = {
    "customer": ["null", "1", '"ada@example.com"', "[]", "{}", '[{"email": "ada@example.com"}]'],
    "customer.email": [*required, *NO_EMAIL],
    "customer.firstName": [*required, text_of(2001)],
    "customer.lastName": [*required, text_of(2001)],
    "customer.phone": [*optional, *NO_PHONE],
    "operatorId": [*required, text_of(201)],
    "submittedAt": [*optional, *NO_TIME],
    "externalId": [*optional, text_of(256)],
}
OF_SLIP = {
    "betAmount": [*NO_NUMBER, *NO_AMOUNT],
    "teamBetOn": [*required, text_of(201)],
    "odds": [*required, text_of(21)],
    "confidence": [*NO_NUMBER, *NO_CONFIDENCE],
}

UNKNOWN_FIELDS = [
    "status",
    "attemptCount",
    "attempt_count",
    "claimToken",
    "id",
    "role",
    "customerId",
    "customerioSynced",
    "mock",
    "__proto__",
    "constructor",
    "operator_id",
    "OperatorId",
    "",
    "x" * 10_000,
    "a\u0000b",
]

NO_DOCUMENT = {
    "nothing": b"",
    "blanks": b"   ",
    "a word": b"signup",
    "half a document": json.dumps(SIGNUP).encode()[:-1],
    "a trailing comma": b'{"operatorId": "op-1",}',
    "two documents": b"{}{}",
    "two lines": b"{}\n{}",
    "a comment": b"/* hello */ {}",
    "single quotes": b"{'operatorId': 'op-1'}",
    "a bare name": b"{operatorId: 1}",
    "NaN alone": b"NaN",
    "a name twice": b'{"operatorId": "op-1", "operatorId": "op-2"}',
    "an inner name twice": b'{"customer": {"email": "a@example.com", "email": "b@example.com"}}',
    "100,000 deep": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(SIGNUP).encode(),
    "UTF-16": json.dumps(SIGNUP).encode("utf-16"),
    "UTF-16 without a mark": json.dumps(SIGNUP).encode("utf-16-le"),
    "UTF-32": json.dumps(SIGNUP).encode("utf-32"),
    "invalid UTF-8": b'{"operatorId": "\xff\xfe"}',
    "overlong UTF-8": b'{"operatorId": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"operatorId": "\xed\xa0\x80"}',
    "a raw NUL": b'{"operatorId": "a\x00b"}',
    "a raw newline": b'{"operatorId": "a\nb"}',
    "a NUL after it": b"{}\x00",
    "a bad escape": rb'{"operatorId": "\x41"}',
    "half an escape": rb'{"operatorId": "\u12"}',
    "gzip": gzip.compress(json.dumps(SIGNUP).encode()),
    "a form": b"operatorId=op-1",
    "XML": b"<?xml version='1.0'?><signup/>",
    "pickle": b"\x80\x04\x95\x00",
}
NO_OBJECT = {
    "null": b"null",
    "a list": b"[]",
    "a list of one": b"[{}]",
    "a text": b'"x"',
    "a number": b"1",
    "true": b"true",
}


def bodies_of_signup(field: str, values: list[str]) -> Iterator[bytes]:
    yield from _with(SIGNUP, field, values)


def bodies_of_slip(field: str, values: list[str]) -> Iterator[bytes]:
    yield from _with(SLIP, field, values)


def _with(body: dict[str, object], field: str, values: list[str]) -> Iterator[bytes]:
    """Yield `body` with `field` (a JSON path) replaced by each raw value."""
    copied = json.loads(json.dumps(body))
    *parents, name = field.split(".")
    place = copied
    for parent in parents:
        place = place[parent]
    place[name] = "THE VALUE"
    template = json.dumps(copied)
    for value in values:
        yield template.replace('"THE VALUE"', value).encode()
