"""The texts, numbers and times that may come in, each with its rule. No message ever holds the value.

Numbers are judged as they were written: `documents.parse_json` makes every one a Decimal, so nothing is rounded before.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from cio_tasks.redaction import CONTROL

LONGEST_EMAIL: Final = 254
LARGEST_AMOUNT: Final = Decimal("9999999999.99")
CENT: Final = Decimal("0.01")
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(minutes=5)
"""How far a sender's clock may be ahead of this one."""
ISO_8601: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
PHONE: Final = r"^[0-9 +().\-/]*[0-9][0-9 +().\-/]*$"
AMOUNT_SCHEMA: Final = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": float(LARGEST_AMOUNT),
    "multipleOf": float(CENT),
}


def _refuse_control_characters(value: Any) -> Any:
    """Refuse them before trimming, which would drop a newline at the end."""
    if isinstance(value, str) and CONTROL.search(value):
        raise PydanticCustomError("control_characters", "must not contain control characters")
    return value


def _check_email(value: str) -> str:
    """Check the syntax, and compose accents so that two spellings of one address are one customer."""
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise PydanticCustomError("email", "must be an e-mail address") from None
    return unicodedata.normalize("NFC", value)


def _parse_time(value: Any) -> datetime:
    if not isinstance(value, str) or not ISO_8601.fullmatch(value):
        raise PydanticCustomError("time", "must be an ISO 8601 time with an offset, such as 2026-01-31T12:00:00Z")
    try:
        time = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time that exists") from None
    if time < EARLIEST:
        raise PydanticCustomError("time", "must not be before the year 2000")
    if time > datetime.now(UTC) + AHEAD:
        raise PydanticCustomError("time", "must not be in the future")
    return time


def _to_decimal(value: Any) -> Decimal:
    """Take a number in whatever type JSON was read into; a text or a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PydanticCustomError("number", "must be a number")
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number.is_finite():
        raise PydanticCustomError("number", "must be a number that is finite")
    return number


def _to_cents(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def _to_share(value: Any) -> float:
    """Judge the number before it becomes a float: 1.00000000000000000001 is more than 1."""
    number = _to_decimal(value)
    if not 0 <= number <= 1:
        raise PydanticCustomError("share", "must be from 0 to 1")
    return abs(float(number))


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


Clean = BeforeValidator(_refuse_control_characters)
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=LONGEST_EMAIL),
    AfterValidator(_check_email),
    Clean,
]
Name = Annotated[str, _text(2000), Clean]
"""May be longer than Customer.io takes (1,000 bytes): such a name fails its own job and is not lost."""
Phone = Annotated[str, StringConstraints(strip_whitespace=True, min_length=5, max_length=40, pattern=PHONE), Clean]
OperatorId = Annotated[str, _text(200), Clean]
ExternalId = Annotated[str, _text(255), Clean]
Team = Annotated[str, _text(200), Clean]
Odds = Annotated[str, _text(20), Clean]
Amount = Annotated[
    Decimal,
    Field(gt=0, le=LARGEST_AMOUNT, decimal_places=2),
    AfterValidator(_to_cents),
    BeforeValidator(_to_decimal),
    WithJsonSchema(AMOUNT_SCHEMA),
]
Confidence = Annotated[float, Field(ge=0, le=1), BeforeValidator(_to_share)]
Time = Annotated[datetime, BeforeValidator(_parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
