"""Track API v2: one operation (`entity`) or many (`batch`) per request."""

from collections.abc import Mapping

from cio_tasks.fake.calls import Call, Dialect, Reader, Reading, refused
from cio_tasks.fake.operations import Operation, operation_from
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.validation import MAX_BATCH_BYTES, MAX_ITEM_BYTES, oversize, size


def read_entity(call: Call, scenario: Scenario) -> Reading:
    """Read `POST /api/v2/entity`: one operation, 32000 bytes (source: TrackOAS; which status is unconfirmed)."""
    if len(call.body) > MAX_ITEM_BYTES:
        message = oversize("request", MAX_ITEM_BYTES).message
        return refused(Dialect.ENTITY, message, status=scenario.oversize_status)
    try:
        item = call.document()
    except ValueError:
        return refused(Dialect.ENTITY, "request body must be valid JSON")
    return Reading(Dialect.ENTITY, (operation_from(item, ulid_required=scenario.non_ulid_ids == "reject"),))


def read_batch(call: Call, scenario: Scenario) -> Reading:
    """Read `POST /api/v2/batch`: `{"batch": [operation, …]}`, 500000 bytes, 32000 per item (source: TrackOAS)."""
    if len(call.body) > MAX_BATCH_BYTES:
        message = oversize("request", MAX_BATCH_BYTES).message
        return refused(Dialect.BATCH, message, status=scenario.oversize_status)
    try:
        body = call.document()
    except ValueError:
        return refused(Dialect.BATCH, "request body must be valid JSON")
    items = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        return refused(Dialect.BATCH, "batch must be a list of operations", field="batch")
    may_be_oversize = len(call.body) > MAX_ITEM_BYTES
    return Reading(Dialect.BATCH, tuple(_item(item, scenario, may_be_oversize=may_be_oversize) for item in items))


READERS: Mapping[tuple[str, str], Reader] = {
    ("POST", "/api/v2/entity"): read_entity,
    ("POST", "/api/v2/batch"): read_batch,
}


def _item(item: object, scenario: Scenario, *, may_be_oversize: bool) -> Operation:
    """Measure an item as compact JSON: its own bytes are not kept by the parser."""
    extra = (oversize("item", MAX_ITEM_BYTES),) if may_be_oversize and size(item) > MAX_ITEM_BYTES else ()
    return operation_from(item, ulid_required=scenario.non_ulid_ids == "reject", extra=extra)
