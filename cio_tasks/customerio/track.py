"""The operations of Track API v2: what goes into `POST /api/v2/batch`."""

from datetime import datetime
from typing import Any

Operation = dict[str, Any]


def identify(person_id: str, attributes: dict[str, Any], *, at: datetime) -> Operation:
    """Return the operation that creates or updates a person.

    `at` orders updates: Customer.io keeps the newer value of an attribute, whatever order requests arrive in
    (Track API v2, person identify: `timestamp`, unix seconds).
    """
    return {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": person_id},
        "attributes": attributes,
        "timestamp": int(at.timestamp()),
    }


def event(person_id: str, name: str, data: dict[str, Any], *, event_id: str, at: datetime) -> Operation:
    """Return the operation that records an event of a person.

    A repeat of `event_id`, a ULID, is dropped by Customer.io (Track API v2, person event: `id`).
    """
    return {
        "type": "person",
        "action": "event",
        "identifiers": {"id": person_id},
        "name": name,
        "id": event_id,
        "timestamp": int(at.timestamp()),
        "attributes": data,
    }
