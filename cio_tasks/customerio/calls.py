"""One operation as a request of its own: by the single calls of Track API v1, or as a batch of one by v2."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from cio_tasks.customerio.track import Operation

Version = Literal["v1", "v2"]
CIO_PREFIX = "cio_"


@dataclass(frozen=True, slots=True)
class Call:
    """A request before it has credentials: `path` is percent-encoded, `document` becomes the JSON body."""

    method: str
    path: str
    document: dict[str, Any] | None = None


def identifiers_of(person: str) -> dict[str, str]:
    """Return what `person` names somebody by, as v1 reads it from the path: `cio_…`, an e-mail address, or an id.

    Customer.io's own id has its prefix in v1 and none in v2 (Track API v1, path parameter `identifier`; v2, `cio_id`).
    """
    if person.startswith(CIO_PREFIX):
        return {"cio_id": person.removeprefix(CIO_PREFIX)}
    return {"email" if "@" in person else "id": person}


def identify(person: str, attributes: dict[str, Any]) -> Operation:
    """Return the operation that creates or updates a person, without a time: it counts as of its arrival."""
    return {"type": "person", "action": "identify", "identifiers": identifiers_of(person), "attributes": attributes}


def track(person: str, name: str, data: dict[str, Any]) -> Operation:
    """Return the operation that records an event, without id and time: each one is a new event of that moment."""
    operation = {"type": "person", "action": "event", "identifiers": identifiers_of(person), "name": name}
    return {**operation, "attributes": data}


def as_call(person: str, operation: Operation, version: Version) -> Call:
    """Return the request that carries an operation made by `identify` or `track` of this module.

    In v1 the person is in the path with every character encoded that could be read as a part of the address; a person
    called `.` or `..` cannot be (`is_path_safe`). Sources: Track API v1, identify and track; v2, batch.
    """
    if version == "v2":
        return Call("POST", "/api/v2/batch", {"batch": [operation]})
    path = f"/api/v1/customers/{quote(person, safe='')}"
    if operation["action"] == "identify":
        return Call("PUT", path, operation["attributes"])
    return Call("POST", f"{path}/events", {"name": operation["name"], "data": operation["attributes"]})


def is_path_safe(person: str) -> bool:
    """Tell whether v1 can address this person: dots alone are no name in a path, encoded or not (RFC 3986, 5.2.4)."""
    return person not in {".", ".."}
