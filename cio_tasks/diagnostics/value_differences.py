"""Our values against a profile's: there every value is a text, whatever was sent, so both are read as what they mean."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

BOOLEANS: Final = {"true": True, "false": False}


def list_differences(ours: Mapping[str, Any], theirs: Mapping[str, str]) -> list[str]:
    """Return the names of what we have sent and the profile has not, or has with another meaning."""
    return [name for name, value in ours.items() if not _is_same(meaning(value, name), meaning(theirs.get(name), name))]


def _is_same(one: object, other: object) -> bool:
    """Tell whether two meanings are one; to Python a truth equals a number, to us it does not."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def meaning(value: object, name: str = "") -> object:
    """Return what a value means: a number, a truth, or a text, whichever way it is written; an empty text is nothing.

    Texts that are no numbers here stay texts: a telephone number with its plus, an address in lower case.
    """
    if isinstance(value, bool) or value is None:
        return value
    text = str(value).strip()
    if name == "email":
        return text.lower()
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    return _number(text) if isinstance(value, int | float) or not text.startswith(("+", "0")) else _plain(text)


def _number(text: str) -> object:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text or None
    return number if number.is_finite() else text


def _plain(text: str) -> object:
    return _number(text) if text == "0" or text.startswith("0.") else text
