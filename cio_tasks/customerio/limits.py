"""Customer.io's limits, checked before a call is spent on them.

All are bytes of UTF-8, not characters (Track API v2 reference and the page "Invalid Track API Requests"). Kilobytes are
taken as 1000 bytes, the smaller reading.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

PERSON_ID_BYTES: Final = 150
ATTRIBUTE_NAME_BYTES: Final = 150
ATTRIBUTE_VALUE_BYTES: Final = 1_000
ATTRIBUTES: Final = 300
EVENT_NAME_BYTES: Final = 100
EVENT_DATA_BYTES: Final = 100_000
ITEM_BYTES: Final = 32_000
BATCH_BYTES: Final = 500_000


def encode(value: Any) -> bytes:
    """Return compact JSON in UTF-8.

    Raises:
        ValueError: for NaN, infinities, lone surrogates and values that JSON does not know.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except TypeError as error:
        raise ValueError("a value is not JSON") from error


def find_excess(operation: dict[str, Any]) -> str | None:
    """Return what is wrong with one operation of a batch, naming the attribute, or None when it fits every limit."""
    return next(_excesses(operation), None)


def _excesses(operation: dict[str, Any]) -> Iterator[str]:
    for value in operation.get("identifiers", {}).values():
        if len(str(value).encode()) > PERSON_ID_BYTES:
            yield f"the person's identifier is longer than {PERSON_ID_BYTES} bytes"
    attributes = operation.get("attributes", {})
    if operation["action"] == "event":
        yield from _event_excesses(operation["name"], attributes)
    else:
        yield from _attribute_excesses(attributes)
    size = len(encode(operation))
    if size > ITEM_BYTES:
        yield f"the operation has {size} bytes, more than {ITEM_BYTES}"


def _event_excesses(name: str, data: dict[str, Any]) -> Iterator[str]:
    if len(name.encode()) > EVENT_NAME_BYTES:
        yield f"the event name is longer than {EVENT_NAME_BYTES} bytes"
    if len(encode(data)) > EVENT_DATA_BYTES:
        yield f"the event data is longer than {EVENT_DATA_BYTES} bytes"


def _attribute_excesses(attributes: dict[str, Any]) -> Iterator[str]:
    if len(attributes) > ATTRIBUTES:
        yield f"more than {ATTRIBUTES} attributes"
    for name, value in attributes.items():
        if len(name.encode()) > ATTRIBUTE_NAME_BYTES:
            yield f"an attribute name is longer than {ATTRIBUTE_NAME_BYTES} bytes"
        size = len(value.encode() if isinstance(value, str) else encode(value))
        if size > ATTRIBUTE_VALUE_BYTES:
            yield f"attribute '{name}' has {size} bytes, more than {ATTRIBUTE_VALUE_BYTES}"
