import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.customerio.webhooks import Authentic, Reason, Refused, Signature, check, read_headers, sign, verify
from cio_tasks.settings import Settings

KEY, STAMP = "test-signing-key", "1700000000"
BODY = (
    b'{"event_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","object_type":"email","metric":"opened",'
    b'"timestamp":1700000000,"data":{"delivery_id":"abc"}}'
)
SIGNATURE = "e098758bd49d9b7adee55794b2f72717a4508897faeeae7ab518750f58784c20"
SIGNED_AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

keys = st.text(min_size=1)
stamps = st.integers(0, 9_999_999_999).map("{:010d}".format)
headers = st.none() | st.binary() | st.text() | st.from_regex(rb"(v0=)?[0-9a-fA-F]{62,66}\s?")


class Counted(list[str]):
    """Secrets that note how many of them were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for secret in super().__iter__():
            self.looked_at += 1
            yield secret


def test_the_known_signature_is_made() -> None:
    assert sign(KEY, STAMP, BODY) == SIGNATURE


@pytest.mark.row("N1")
@pytest.mark.parametrize("signature", [SIGNATURE, SIGNATURE.encode(), f"v0={SIGNATURE}"])
@pytest.mark.parametrize("timestamp", [STAMP, STAMP.encode()])
def test_the_known_signature_is_authentic(timestamp: bytes | str, signature: bytes | str) -> None:
    assert verify([KEY], timestamp=timestamp, signature=signature, body=BODY) == Authentic(SIGNED_AT)


def test_each_of_the_secrets_may_have_signed() -> None:
    told = [verify(keys, timestamp=STAMP, signature=SIGNATURE, body=BODY) for keys in ([KEY, "old"], ["new", KEY])]
    assert told == [Authentic(SIGNED_AT, secret=0), Authentic(SIGNED_AT, secret=1)]


@given(keys, stamps, st.binary(), st.binary())
def test_a_signature_fits_one_body_only(key: str, stamp: str, signed: bytes, sent: bytes) -> None:
    told = verify([key], timestamp=stamp, signature=sign(key, stamp, signed), body=sent)
    assert isinstance(told, Authentic) == (sent == signed)


@given(keys, stamps, st.binary(min_size=1), st.data())
def test_one_bit_of_the_body_makes_it_another(key: str, stamp: str, body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    changed = (int.from_bytes(body) ^ (1 << bit)).to_bytes(len(body))
    told = verify([key], timestamp=stamp, signature=sign(key, stamp, body), body=changed)
    assert told == Refused(Reason.MISMATCH)


@given(stamps, stamps)
def test_a_signature_fits_one_time_only(signed: str, sent: str) -> None:
    told = verify([KEY], timestamp=sent, signature=sign(KEY, signed, BODY), body=BODY)
    assert isinstance(told, Authentic) == (sent == signed)


@given(st.lists(keys), keys)
def test_only_a_holder_of_a_secret_can_sign(held: list[str], used: str) -> None:
    told = verify(held, timestamp=STAMP, signature=sign(used, STAMP, BODY), body=BODY)
    # HMAC pads a key with zeros, so keys that differ in those alone are one.
    assert isinstance(told, Authentic) == (used.rstrip("\0") in {key.rstrip("\0") for key in held})


@given(headers, headers, st.binary())
def test_no_header_raises(timestamp: bytes | str | None, signature: bytes | str | None, body: bytes) -> None:
    assert isinstance(verify([KEY], timestamp=timestamp, signature=signature, body=body), Refused)


@pytest.mark.parametrize("key", ["", "\0"])
def test_an_empty_secret_opens_nothing(key: str) -> None:
    told = verify([""], timestamp=STAMP, signature=sign(key, STAMP, BODY), body=BODY)
    assert told == Refused(Reason.MISMATCH)


@pytest.mark.parametrize(
    ("setting", "secrets"),
    [(None, ()), ("new", ("new",)), (" new , old ", ("new", "old")), ("new,", ("new",)), (",", ())],
)
def test_the_secrets_are_those_between_the_commas(setting: str | None, secrets: tuple[str, ...]) -> None:
    given = {} if setting is None else {"CUSTOMERIO_WEBHOOK_SECRET": setting}
    assert Settings.from_env(given).webhook_secrets == secrets


def test_without_secrets_nothing_is_authentic() -> None:
    assert verify([], timestamp=STAMP, signature=SIGNATURE, body=BODY) == Refused(Reason.MISMATCH)


@pytest.mark.parametrize("used", ["first", "second", "neither"])
def test_all_secrets_are_compared_whichever_it_was(used: str) -> None:
    held = Counted(["first", "second"])
    check(Signature(STAMP, sign(used, STAMP, BODY).encode()), held, BODY)
    assert held.looked_at == 2


@pytest.mark.row("N5")
@pytest.mark.parametrize(
    ("timestamp", "signature", "reason"),
    [
        (None, SIGNATURE, "missing_header"),
        (STAMP, None, "missing_header"),
        (STAMP, "", "missing_header"),
        ("170000000", SIGNATURE, "bad_timestamp"),
        ("+170000000", SIGNATURE, "bad_timestamp"),
        ("1700000000\n", SIGNATURE, "bad_timestamp"),
        ("１７００００００００", SIGNATURE, "bad_timestamp"),  # noqa: RUF001 - the digits that `int` would take
        (STAMP, SIGNATURE.upper(), "bad_signature_format"),
        (STAMP, f"{SIGNATURE}\n", "bad_signature_format"),
        (STAMP, f"v1={SIGNATURE}", "bad_signature_format"),
        (STAMP, f"{SIGNATURE},{SIGNATURE}", "bad_signature_format"),
        (STAMP, "é" * 64, "bad_signature_format"),
        (STAMP, "0" * 64, "mismatch"),
    ],
)
def test_a_refusal_says_why(timestamp: str | None, signature: str | None, reason: str) -> None:
    assert verify([KEY], timestamp=timestamp, signature=signature, body=BODY) == Refused(Reason(reason))


@pytest.mark.parametrize(
    "made",
    [
        hmac.new(KEY.encode(), BODY, hashlib.sha256),
        hmac.new(KEY.encode(), STAMP.encode() + b"." + BODY, hashlib.sha256),
        hmac.new(KEY.encode(), b"v0:" + BODY, hashlib.sha256),
        hashlib.sha256(f"v0:{STAMP}:".encode() + BODY),
    ],
    ids=["body alone", "with a dot", "without time", "without key"],
)
def test_other_schemes_do_not_fit(made: "hmac.HMAC") -> None:
    told = verify([KEY], timestamp=STAMP, signature=made.hexdigest(), body=BODY)
    assert told == Refused(Reason.MISMATCH)


@pytest.mark.parametrize("stamp", ["0000000000", "9999999999"])
def test_every_time_of_ten_digits_exists(stamp: str) -> None:
    told = read_headers(stamp, SIGNATURE)
    assert isinstance(told, Signature)
    assert told.signed_at.timestamp() == int(stamp)
