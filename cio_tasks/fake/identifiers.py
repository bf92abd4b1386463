"""How a request names a person: by id, e-mail, phone or Customer.io's own `cio_id`."""

from collections.abc import Mapping
from typing import NamedTuple

KINDS = ("id", "email", "phone", "cio_id")
CIO_PREFIX = "cio_"


class Identifier(NamedTuple):
    """One name of one person; e-mail values are lower-case, because Customer.io compares them so [TrackOAS]."""

    kind: str
    value: str


def identifier(kind: str, value: object) -> Identifier | None:
    """Return the comparable form of one identifier, or None when the value cannot be one.

    Strings and numbers are identifiers, booleans are not (source: the v2 API's error text, quoted by RudderStack).
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        return None
    return Identifier(kind, str(value).strip().lower() if kind == "email" else str(value))


def identifier_in(identifiers: Mapping[str, object]) -> Identifier | None:
    """Return the first usable person identifier of a v2 `identifiers` object, or None."""
    found = (identifier(kind, identifiers[kind]) for kind in KINDS if kind in identifiers)
    return next((one for one in found if one), None)


def kind_of(text: str) -> str:
    """Return the kind a v1 path identifier has by its shape (source: TrackOAS, path parameter `identifier`)."""
    if text.startswith(CIO_PREFIX):
        return "cio_id"
    return "email" if "@" in text else "id"


def identifiers_from_path(text: str) -> dict[str, str]:
    """Return a v1 path identifier in the v2 form, where `cio_id` has no prefix (source: TrackOAS)."""
    kind = kind_of(text)
    return {kind: text.removeprefix(CIO_PREFIX) if kind == "cio_id" else text}
