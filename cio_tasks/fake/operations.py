"""One operation of a request (identify, event, …), in the v2 form whatever the API version it came by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cio_tasks.fake.identifiers import Identifier, identifier, identifier_in
from cio_tasks.fake.validation import Violation, violations_of

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one item asks for, and why it is refused if it is. `timestamp` is unix seconds."""

    type: str
    action: str
    person: Identifier | None
    secondary: Identifier | None
    name: str | None
    event_id: str | None
    timestamp: float | None
    attributes: JsonObject
    violations: tuple[Violation, ...]

    @property
    def email(self) -> str | None:
        """The lower-case e-mail this operation carries, as identifier or as attribute."""
        if self.person and self.person.kind == "email":
            return self.person.value
        found = identifier("email", self.attributes.get("email"))
        return found.value if found else None


def operation_from(item: object, *, ulid_required: bool, extra: tuple[Violation, ...] = ()) -> Operation:
    """Read one item in the v2 form; a wrong one is read as far as possible and carries its violations."""
    if not isinstance(item, dict):
        return _operation({}, (Violation("invalid", "", "an item must be an object"), *extra))
    return _operation(item, (*violations_of(item, ulid_required=ulid_required), *extra))


def _operation(item: Mapping[str, Any], violations: tuple[Violation, ...]) -> Operation:
    attributes = _object(item.get("attributes"))
    return Operation(
        type=str(item.get("type")),
        action=str(item.get("action")),
        person=identifier_in(_object(item.get("primary") or item.get("identifiers"))),
        secondary=identifier_in(_object(item.get("secondary"))),
        name=_text(item.get("name")),
        event_id=_text(item.get("id")),
        timestamp=_seconds(item.get("timestamp", attributes.get("_timestamp"))),
        attributes=attributes,
        violations=violations,
    )


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    """Event names lose the spaces around them [TrackOAS]."""
    return value.strip() if isinstance(value, str) else None


def _seconds(value: object) -> float | None:
    """A time that is not a number is accepted and useless, as at Customer.io [TrackOAS]."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
