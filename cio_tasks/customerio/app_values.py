"""Values out of an answer, read without trust: null, missing and unknown do no harm, and numbers may come as text."""

from datetime import UTC, datetime
from typing import Any


def as_object(value: object) -> dict[str, Any]:
    """Return an object as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and an empty one for anything else, such as the `null` that an empty one may be."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """Return a text or a number as text, and None for anything else, an empty text included."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if value != "" and (is_number or isinstance(value, str)) else None


def as_number(value: object) -> int | None:
    """Return a whole number, also one written as text, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def as_numbers(value: object) -> tuple[int, ...]:
    """Return the whole numbers in a list, in their order."""
    found = (as_number(one) for one in as_list(value))
    return tuple(number for number in found if number is not None)


def as_time(value: object) -> datetime | None:
    """Return the time of unix seconds, or None for 0, which means never, and for what is no time."""
    seconds = as_number(value)
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
