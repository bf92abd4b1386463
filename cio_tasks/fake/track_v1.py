"""Track API v1: one operation per request, read into the v2 form."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from cio_tasks.fake.calls import Call, Dialect, Reader, Reading, refused
from cio_tasks.fake.identifiers import identifiers_from_path
from cio_tasks.fake.operations import JsonObject, operation_from
from cio_tasks.fake.scenario import Scenario


def read_identify(call: Call, scenario: Scenario) -> Reading:
    """Read `PUT /api/v1/customers/{identifier}`: the body is a flat object of attributes (source: TrackOAS)."""
    return _reading(call, scenario, lambda body: {**_person(call, "identify"), "attributes": body})


def read_delete(call: Call, scenario: Scenario) -> Reading:
    """Read `DELETE /api/v1/customers/{identifier}`; a body is not looked at."""
    return _bodiless(_person(call, "delete"), scenario)


def read_suppress(call: Call, scenario: Scenario) -> Reading:
    """Read `POST …/suppress`; an empty body is fine (source: TrackOAS)."""
    return _bodiless(_person(call, "suppress"), scenario)


def read_unsuppress(call: Call, scenario: Scenario) -> Reading:
    """Read `POST …/unsuppress`."""
    return _bodiless(_person(call, "unsuppress"), scenario)


def read_event(call: Call, scenario: Scenario) -> Reading:
    """Read `POST /api/v1/customers/{identifier}/events`."""
    return _reading(call, scenario, lambda body: {**_person(call, "event"), **_event(body)})


def read_anonymous_event(call: Call, scenario: Scenario) -> Reading:
    """Read `POST /api/v1/events`: an event of nobody known, or an invitation by `data.recipient`."""
    nobody: JsonObject = {"type": "person", "action": "event", "identifiers": {}}
    return _reading(call, scenario, lambda body: {**nobody, **_event(body)})


def read_merge(call: Call, scenario: Scenario) -> Reading:
    """Read `POST /api/v1/merge_customers`: each side exactly one of id, email, cio_id (source: TrackOAS)."""
    merge: JsonObject = {"type": "person", "action": "merge"}
    reading = _reading(call, scenario, lambda body: {**body, **merge})
    return replace(reading, dialect=Dialect.V1_MERGE)


def read_unknown(_call: Call, _scenario: Scenario) -> Reading:
    """Read any other Track route: 404."""
    return refused(Dialect.V1, "not found", status=404)


READERS: Mapping[tuple[str, str], Reader] = {
    ("PUT", "/api/v1/customers/{identifier}"): read_identify,
    ("DELETE", "/api/v1/customers/{identifier}"): read_delete,
    ("POST", "/api/v1/customers/{identifier}/events"): read_event,
    ("POST", "/api/v1/customers/{identifier}/suppress"): read_suppress,
    ("POST", "/api/v1/customers/{identifier}/unsuppress"): read_unsuppress,
    ("POST", "/api/v1/events"): read_anonymous_event,
    ("POST", "/api/v1/merge_customers"): read_merge,
}


def _person(call: Call, action: str) -> JsonObject:
    return {"type": "person", "action": action, "identifiers": identifiers_from_path(call.parameters["identifier"])}


def _event(body: JsonObject) -> JsonObject:
    """`type` is event, page or screen; `data: null` is refused (source: customerio-ios#134)."""
    event: JsonObject = {key: body[key] for key in ("name", "id", "timestamp") if key in body}
    return {**event, "action": body.get("type", "event"), "attributes": body.get("data", {})}


def _reading(call: Call, scenario: Scenario, to_item: Callable[[JsonObject], JsonObject]) -> Reading:
    try:
        body = call.document()
    except ValueError:
        return refused(Dialect.V1, "request body must be valid JSON")
    if not isinstance(body, dict):
        return refused(Dialect.V1, "request body must be a hash")
    return _bodiless(to_item(body), scenario)


def _bodiless(item: JsonObject, scenario: Scenario) -> Reading:
    return Reading(Dialect.V1, (operation_from(item, ulid_required=scenario.non_ulid_ids == "reject"),))
