"""The rules for what comes in, which the API and the files share."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from cio_tasks.intake import ConfirmationIn, SignupIn, Unreadable, list_faults, parse_json
from tests.cli.lines import SLIP

CUSTOMER = {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace"}
SIGNUP = {"customer": CUSTOMER, "operatorId": "op-1"}


def read(model: type[BaseModel], body: dict[str, Any]) -> Any:
    return model.model_validate(parse_json(json.dumps(body).encode()))


def fault(model: type[BaseModel], body: dict[str, Any]) -> tuple[str, str]:
    """Return field and message of the only fault."""
    with pytest.raises(ValidationError) as raised:
        read(model, body)
    [found] = list_faults(raised.value)
    return found.field, found.message


def signup_fault(**fields: Any) -> tuple[str, str]:
    return fault(SignupIn, SIGNUP | fields)


def customer_fault(**fields: Any) -> tuple[str, str]:
    return signup_fault(customer=CUSTOMER | fields)


@pytest.mark.parametrize(
    "email",
    ["ada@example.com", " ada+x@example.com ", "a@b.test", "josé@example.org", "δοκιμή@example.com", "A@EXAMPLE.COM"],
)
def test_an_address_is_trimmed_and_kept_as_written(email: str) -> None:
    assert read(SignupIn, SIGNUP | {"customer": CUSTOMER | {"email": email}}).customer.email == email.strip()


def test_two_spellings_of_an_accent_are_one_address() -> None:
    read_email = read(SignupIn, SIGNUP | {"customer": CUSTOMER | {"email": "jose\u0301@example.com"}}).customer.email
    assert read_email == "jos\u00e9@example.com"


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.com", "a b@example.com", "a@b@c.com", "ada@-x.com", "a@b..c"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    assert customer_fault(email=email)[0] == "customer.email"


def test_an_address_has_at_most_254_characters() -> None:
    assert customer_fault(email=f"ada@{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 60}.example.com")[0] == "customer.email"


@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("place", ["a{}b", "a{}"])
def test_control_characters_are_refused_wherever_they_stand(character: str, place: str) -> None:
    text = place.format(character)
    assert customer_fault(firstName=text) == ("customer.firstName", "must not contain control characters")
    assert signup_fault(operatorId=text)[0] == "operatorId"
    assert signup_fault(externalId=text)[0] == "externalId"
    assert fault(ConfirmationIn, SLIP | {"teamBetOn": text})[0] == "teamBetOn"


def test_a_lone_surrogate_is_refused() -> None:
    assert customer_fault(lastName="\ud800") == ("customer.lastName", "must be valid Unicode")


@pytest.mark.parametrize(("field", "longest"), [("operatorId", 200), ("externalId", 255)])
def test_ids_have_a_length(field: str, longest: int) -> None:
    assert read(SignupIn, SIGNUP | {field: "x" * longest})
    assert signup_fault(**{field: "x" * (longest + 1)})[0] == field
    assert signup_fault(**{field: "  "})[0] == field


def test_names_have_1_to_2000_characters() -> None:
    assert read(SignupIn, SIGNUP | {"customer": CUSTOMER | {"lastName": "名" * 2000}})
    assert customer_fault(lastName="x" * 2001) == ("customer.lastName", "must have at most 2000 characters")
    assert customer_fault(lastName="") == ("customer.lastName", "must have at least 1 character")


@pytest.mark.parametrize("phone", ["12345", "+49 (0)30 / 123-456.7", "1" * 40])
def test_a_phone_number_is_taken(phone: str) -> None:
    assert read(SignupIn, SIGNUP | {"customer": CUSTOMER | {"phone": phone}}).customer.phone == phone


@pytest.mark.parametrize("phone", ["1234", "1" * 41, "call me", "+++++", "١٢٣٤٥", 12345])
def test_what_is_no_phone_number_is_refused(phone: Any) -> None:
    assert customer_fault(phone=phone)[0] == "customer.phone"


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789z", "2026-01-31T14:00+02:00", "2000-01-01T00:00:00Z"]
)
def test_a_time_with_its_offset_is_taken_as_utc(text: str) -> None:
    assert read(SignupIn, SIGNUP | {"submittedAt": text}).submitted_at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-02-30T12:00:00Z",
        "1999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "now",
        5,
    ],
)
def test_another_time_is_refused(text: Any) -> None:
    assert signup_fault(submittedAt=text)[0] == "submittedAt"


def test_the_future_begins_in_five_minutes() -> None:
    soon, late = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (4, 6))
    assert read(SignupIn, SIGNUP | {"submittedAt": soon.isoformat()})
    assert signup_fault(submittedAt=late.isoformat()) == ("submittedAt", "must not be in the future")


@pytest.mark.parametrize(
    ("number", "amount"),
    [("0.01", "0.01"), ("25.5", "25.50"), ("1e3", "1000.00"), ("25.500", "25.50"), ("9999999999.99", "9999999999.99")],
)
def test_an_amount_is_taken_as_it_was_written(number: str, amount: str) -> None:
    body = json.dumps(SLIP).replace("25.5", number).encode()
    assert ConfirmationIn.model_validate(parse_json(body)).bet_amount == Decimal(amount)


@pytest.mark.parametrize("amount", [0, -1, 0.001, 10_000_000_000, "5", True, None, [5]])
def test_another_amount_is_refused(amount: Any) -> None:
    assert fault(ConfirmationIn, SLIP | {"betAmount": amount})[0] == "betAmount"


def test_a_confidence_is_judged_before_it_is_rounded() -> None:
    body = json.dumps(SLIP).replace("0.9", "1.00000000000000000001").encode()
    with pytest.raises(ValidationError):
        ConfirmationIn.model_validate(parse_json(body))


@pytest.mark.parametrize("confidence", [-0.1, 2, "0.5", True, None])
def test_another_confidence_is_refused(confidence: Any) -> None:
    assert fault(ConfirmationIn, SLIP | {"confidence": confidence})[0] == "confidence"


@pytest.mark.parametrize("odds", ["", "x" * 21, 2.5])
def test_odds_are_a_short_text(odds: Any) -> None:
    assert fault(ConfirmationIn, SLIP | {"odds": odds})[0] == "odds"


def test_a_field_that_is_missing_or_not_known_is_named() -> None:
    assert fault(SignupIn, {"customer": CUSTOMER}) == ("operatorId", "is missing")
    assert signup_fault(nickname="ada") == ("nickname", "is not a known field")
    assert signup_fault(external_id="x") == ("external_id", "is not a known field")


def test_a_name_of_the_senders_making_is_not_repeated() -> None:
    assert signup_fault(**{"ada@example.com": 1})[0] == "?"


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"nul", b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1,"a":2}', b"\xff", b"[" * 100_000, b'{"a":1} x'],
)
def test_what_is_not_json_is_refused_whole(document: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_json(document)
