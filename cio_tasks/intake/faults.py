"""What is wrong with a body, field by field, in our words. Neither values nor names of the sender's making are repeated."""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MOST_FAULTS: Final = 50
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
SAID: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be a text",
    "string_unicode": "must be valid Unicode",
    "string_pattern_mismatch": "must be a phone number: digits, spaces and + ( ) - . /",
    "decimal_type": "must be a number",
}
"""Our words for pydantic's, by its type of error."""
THEIR_SUBJECT: Final = re.compile(r"^(Decimal input|Input|String) should ")
DECIMAL: Final = re.compile(r"Decimal\('([^']*)'\)")


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field at fault: its JSON path, such as `customer.email`, and what it must be."""

    field: str
    message: str


def list_faults(error: ValidationError) -> list[FieldFault]:
    """Return the faults that `error` names, at most 50 of them."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldFault(_path(fault), _message(fault)) for fault in details[:MOST_FAULTS]]


def _path(fault: ErrorDetails) -> str:
    """Return the path of a fault. A name of the sender's own choice is shown only when it is plain and short."""
    return ".".join(name if PLAIN_NAME.fullmatch(name) else "?" for name in map(str, fault["loc"])) or "body"


def _message(fault: ErrorDetails) -> str:
    return SAID.get(fault["type"]) or DECIMAL.sub(r"\1", THEIR_SUBJECT.sub("must ", fault["msg"]))
