"""What can be said about a call before it is made: what would be refused, and what would be accepted and do harm.

Customer.io checks very little when it accepts a call (Track API overview), so most mistakes are answered with 200.
A finding of severity high is a certain refusal: the call is not worth making.
"""

import re
import time
from collections.abc import Iterator
from typing import Any, Final

from cio_tasks.customerio.calls import CIO_PREFIX, Version, is_path_safe
from cio_tasks.customerio.limits import ATTRIBUTES, EVENT_DATA_BYTES, encode, find_excess
from cio_tasks.customerio.track import Operation
from cio_tasks.findings import Finding, Severity
from cio_tasks.redaction import CONTROL

EMAIL: Final = re.compile(r"[^\s@,;<>\"]+@[^\s@.,;<>\"]+(\.[^\s@.,;<>\"]+)+")
RESERVED: Final = {
    "id": "sets the id of the person",
    "anonymous_id": "merges what an anonymous visitor did into this person",
    "_timestamp": "decides which update is the newer one",
    "_update": "changes only a person who exists already",
    "unsubscribed": "decides whether the person gets messages",
}
"""Attributes that are more than data (Track API v1, identify)."""
RESERVED_PREFIX: Final = "cio_"
OVERRIDES: Final = ("recipient", "from_address", "reply_to")
"""Event data that a campaign takes instead of its own settings (Track API v1, track)."""
TIME_NAME: Final = re.compile(r"(?i)(_at|_on|date|time|timestamp)$")
ISO_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
MILLISECONDS: Final = range(10**12, 4 * 10**12)
"""The years 2001 to 2096; as seconds they would be tens of thousands of years ahead."""


def check_operation(person: str, operation: Operation, version: Version) -> list[Finding]:
    """Return what is wrong or odd about an operation made by `customerio.calls`, and about how it is to be sent."""
    is_event = operation["action"] == "event"
    attributes = operation["attributes"]
    return [
        *_refusals(person, operation, version),
        *_person_findings(person),
        *(_event_findings(operation["name"], attributes) if is_event else _profile_findings(attributes)),
        *_time_findings(attributes),
    ]


def _refusals(person: str, operation: Operation, version: Version) -> Iterator[Finding]:
    if version == "v1" and not is_path_safe(person):
        yield _refusal("person_is_dots", "a person called by dots alone has no address in v1", "add --api v2")
    yield from (_refusal("over_limit", excess, "shorten it: all limits are bytes") for excess in _excesses(operation))
    whole = find_excess(operation)
    if version == "v2" and whole and whole.startswith("the operation"):
        yield _refusal("over_limit", whole, "send less at once")


def _excesses(operation: Operation) -> Iterator[str]:
    """Yield every limit that a part of the operation exceeds; v1 has none for the whole (Track API v1, v2: limits)."""
    attributes: dict[str, Any] = operation["attributes"]
    bare = {**operation, "attributes": {}}
    if excess := find_excess(bare):
        yield excess
    elif operation["action"] == "event":
        if len(encode(attributes)) > EVENT_DATA_BYTES:
            yield f"the event data is longer than {EVENT_DATA_BYTES} bytes"
    else:
        alone = ({**bare, "attributes": {name: value}} for name, value in attributes.items())
        yield from (excess for excess in map(find_excess, alone) if excess)
        if len(attributes) > ATTRIBUTES:
            yield f"more than {ATTRIBUTES} attributes"


def _person_findings(person: str) -> Iterator[Finding]:
    if CONTROL.search(person):
        yield _oddity("person_control_characters", "the person's id has control characters in it", "look at it again")
    if person != person.strip():
        yield _oddity("person_spaces", "the person's id begins or ends with a space", "is that meant? ids are exact")
    if person.startswith(CIO_PREFIX):
        yield _oddity(
            "person_cio_id",
            "the person is named by Customer.io's own id: if there is no such person, the call is dropped without an error",
            "use your own id to create a person",
        )
    elif "@" in person:
        yield _note("person_is_email", "the person is named by e-mail address, not by id", "is that how you identify?")


def _profile_findings(attributes: dict[str, Any]) -> Iterator[Finding]:
    if not attributes:
        yield _note("no_attributes", "no attributes: this only creates the person", "add -a name=value")
    for name, value in attributes.items():
        if name in RESERVED or name.startswith(RESERVED_PREFIX):
            does = RESERVED.get(name, "is one of Customer.io's own")
            yield _oddity("reserved_attribute", f"{name!r} is no plain attribute: it {does}", "is that meant?")
        if value in ("", None):
            yield _note("empty_attribute", f"{name!r} is empty, which clears it", "is that meant?")
    email = attributes.get("email")
    if email is not None and not (isinstance(email, str) and EMAIL.fullmatch(email)):
        yield _oddity("odd_email", "the e-mail address has not the shape of one", "messages to it would bounce")


def _event_findings(name: str, data: dict[str, Any]) -> Iterator[Finding]:
    if name != name.strip():
        yield _note("event_name_spaces", "the spaces around the event's name are dropped", "compare it without them")
    for key in OVERRIDES:
        if key in data:
            message = f"{key!r} in an event replaces the campaign's own"
            yield _oddity("event_override", message, "is the message meant to go that way?")


def _time_findings(values: dict[str, Any]) -> Iterator[Finding]:
    for name, value in values.items():
        if not isinstance(value, bool) and isinstance(value, int | float) and int(value) in MILLISECONDS:
            message = f"{name!r} looks like milliseconds: conditions on times read seconds and will never match"
            yield _oddity("milliseconds", message, "send seconds since 1970")
        elif isinstance(value, str) and TIME_NAME.search(name) and ISO_TIME.fullmatch(value):
            message = f"{name!r} is a written date: conditions on times read seconds and will never match"
            yield _oddity("written_date", message, "send seconds since 1970")
    created = values.get("created_at")
    if isinstance(created, int) and time.time() < created < MILLISECONDS.start:
        yield _oddity(
            "future_created_at", "'created_at' is in the future: nothing matches it until then", "is it right?"
        )


def _refusal(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.HIGH, code, message, what_next)


def _oddity(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.MEDIUM, code, message, what_next)


def _note(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.LOW, code, message, what_next)
