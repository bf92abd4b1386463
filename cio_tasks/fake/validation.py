"""What Customer.io refuses: required parts and byte limits, measured on UTF-8 (source: TrackOAS, Invalid)."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cio_tasks.fake.identifiers import KINDS

MAX_ID_BYTES = 150
MAX_ATTRIBUTE_NAME_BYTES = 150
MAX_ATTRIBUTE_VALUE_BYTES = 1_000
MAX_ATTRIBUTES = 300
MAX_EVENT_NAME_BYTES = 100
MAX_EVENT_DATA_BYTES = 100_000
MAX_ITEM_BYTES = 32_000
MAX_BATCH_BYTES = 500_000

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

DEVICE_AND_RELATIONSHIP_ACTIONS = {"add_relationships", "delete_relationships", "add_device", "delete_device"}
EVENT_ACTIONS = {"event", "page", "screen"}
PERSON_ACTIONS = {
    *EVENT_ACTIONS,
    *DEVICE_AND_RELATIONSHIP_ACTIONS,
    "identify",
    "delete",
    "merge",
    "suppress",
    "unsuppress",
}
ACTIONS = {
    "person": PERSON_ACTIONS,
    "object": {"identify", "delete", "identify_anonymous", "add_relationships", "delete_relationships"},
    "delivery": {"event"},
}


class Violation(NamedTuple):
    """One reason why an operation is refused; the vocabulary of `reason` is not published."""

    reason: str
    field: str
    message: str


def size(value: object) -> int:
    """Return the bytes a value counts: of the text itself, of anything else its compact JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass"))


def violations_of(item: Mapping[str, Any], *, ulid_required: bool) -> Iterator[Violation]:
    """Yield everything wrong with one operation in the v2 form; nothing means it is accepted."""
    kind, action = str(item.get("type")), str(item.get("action"))
    if action not in ACTIONS.get(kind, ()):
        yield Violation("invalid", "action", "type and action must name a known operation")
    elif kind == "person":
        yield from _person_violations(item, action, ulid_required=ulid_required)
    elif action == "identify":
        yield from attribute_violations(item.get("attributes"))


def _person_violations(item: Mapping[str, Any], action: str, *, ulid_required: bool) -> Iterator[Violation]:
    if action == "merge":
        yield from identifier_violations(item.get("primary"), "primary")
        yield from identifier_violations(item.get("secondary"), "secondary")
        return
    yield from identifier_violations(item.get("identifiers"), "identifiers", anonymous=action in EVENT_ACTIONS)
    if action == "identify":
        yield from attribute_violations(item.get("attributes"))
    if action in EVENT_ACTIONS:
        yield from event_violations(item, ulid_required=ulid_required)


def identifier_violations(named: object, field: str, *, anonymous: bool = False) -> Iterator[Violation]:
    """Yield what is wrong with a set of identifiers: it must hold exactly one of id, email, phone, cio_id (TrackOAS).

    `anonymous` allows none of them: an event may carry only an `anonymous_id`, or in v1 a `recipient`.
    """
    if not isinstance(named, dict):
        yield Violation("required", field, f"{field} must be present")
        return
    known = [kind for kind in KINDS if kind in named]
    unknown = [kind for kind in named if kind not in (*KINDS, "anonymous_id")]
    if len(known) > 1 or unknown or not (known or anonymous):
        yield Violation("invalid", field, f"{field} must have exactly one of {', '.join(KINDS)}")
    for kind in known:
        yield from _identifier_value_violations(named[kind], kind, f"{field}.{kind}")


def _identifier_value_violations(value: object, kind: str, field: str) -> Iterator[Violation]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        yield Violation("invalid", field, f"{kind} must be a string or a number")
    elif not str(value).strip():
        yield Violation("invalid", field, f"{kind} must not be empty")
    elif kind == "id" and size(str(value)) > MAX_ID_BYTES:
        yield Violation("invalid", field, f"id cannot be longer than {MAX_ID_BYTES} bytes")
    elif kind == "phone" and not re.fullmatch(r"\+[1-9]\d{1,14}", str(value)):
        yield Violation("invalid", field, "phone must be in the E.164 format")


def attribute_violations(attributes: object) -> Iterator[Violation]:
    """Yield what is wrong with the attributes of an identify: 300 of them, names of 150 and values of 1000 bytes."""
    if attributes is None:
        return
    if not isinstance(attributes, dict):
        yield Violation("invalid", "attributes", "attributes must be a hash")
        return
    if len(attributes) > MAX_ATTRIBUTES:
        yield Violation("invalid", "attributes", f"cannot have more than {MAX_ATTRIBUTES} attributes in one request")
    if "id" in attributes and size(attributes["id"]) > MAX_ID_BYTES:
        yield Violation("invalid", "attributes.id", f"id cannot be longer than {MAX_ID_BYTES} bytes")
    for name, value in attributes.items():
        if size(name) > MAX_ATTRIBUTE_NAME_BYTES:
            message = f"attribute name cannot be longer than {MAX_ATTRIBUTE_NAME_BYTES} bytes"
            yield Violation("invalid", "attributes", message)
        if size(value) > MAX_ATTRIBUTE_VALUE_BYTES and name != "cio_relationships":
            yield value_too_long(name)


def value_too_long(name: str) -> Violation:
    """Return the refusal of an over-long attribute value (wording: Invalid; customerio-node#29)."""
    message = f"value for attribute '{name}' cannot be longer than {MAX_ATTRIBUTE_VALUE_BYTES} bytes"
    return Violation("invalid", f"attributes.{name}", message)


def event_violations(item: Mapping[str, Any], *, ulid_required: bool) -> Iterator[Violation]:
    """Yield what is wrong with an event: name of 100 bytes, data a hash of 100000 bytes, id a ULID.

    Whether Customer.io refuses an id that is no ULID is contradictory, so the scenario decides (`non_ulid_ids`).
    """
    name, data, event_id = item.get("name"), item.get("attributes", {}), item.get("id")
    if not isinstance(name, str) or not name.strip():
        yield Violation("required", "name", "event name must be present")
    elif size(name.strip()) > MAX_EVENT_NAME_BYTES:
        yield Violation("invalid", "name", f"event name cannot be longer than {MAX_EVENT_NAME_BYTES} bytes")
    if not isinstance(data, dict):
        yield Violation("invalid", "attributes", "event data must be a hash")
    elif size(data) > MAX_EVENT_DATA_BYTES:
        yield Violation("invalid", "attributes", f"event data cannot be longer than {MAX_EVENT_DATA_BYTES} bytes")
    if ulid_required and event_id is not None and not (isinstance(event_id, str) and ULID.fullmatch(event_id)):
        yield Violation("invalid", "id", "event id must be a ULID")


def oversize(subject: str, limit: int) -> Violation:
    """Return the refusal of a request or batch item that has more bytes than `limit`."""
    return Violation("invalid", "", f"{subject} cannot be larger than {limit} bytes")
