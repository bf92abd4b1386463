"""What a reply means: one table for the whole project (rows A3 to A7).

A reply is judged for the batch as a whole; a 207, or a 200 that carries errors, also names single items.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from cio_tasks.customerio.transport import BODY_LIMIT, Reply
from cio_tasks.outcomes import (
    CREDENTIALS_AT_FAULT,
    REDIRECTED,
    UNAUTHORIZED,
    Delivered,
    ErrorType,
    Outcome,
    Rejected,
    RetryLater,
)

NOT_PLAIN: Final = re.compile(r"[^a-z0-9_.-]+")
RETRY_AFTER_ABSENT: Final = timedelta(seconds=5)
RETRY_AFTER_SHORTEST: Final = timedelta(seconds=1)
RETRY_AFTER_LONGEST: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The meaning of a reply: `outcome` for every item that `items` (by index in the batch) does not name."""

    outcome: Outcome
    items: dict[int, Rejected] = field(default_factory=dict)
    splittable: bool = False
    """Whether one item may have spoiled it for the others, so that halves may fare better."""

    def of(self, index: int) -> Outcome:
        """Return what became of the item at `index`."""
        return self.items.get(index, self.outcome)


def read_reply(reply: Reply, *, size: int) -> BatchResult:
    """Return what `reply` says about a batch of `size` operations."""
    if reply.failure is not None or reply.status is None:
        code = reply.failure or "no_answer"
        return BatchResult(RetryLater(ErrorType.NETWORK, code, f"no answer from Customer.io: {code}"))
    if reply.status in {HTTPStatus.OK, HTTPStatus.MULTI_STATUS}:
        return _read_success(reply, size)
    outcome = _read_status(reply)
    return BatchResult(outcome, splittable=_may_be_one_item(outcome))


def _may_be_one_item(outcome: Outcome) -> bool:
    """Tell whether one item may have caused a failure of the whole: a refusal or a server error, not our credentials."""
    match outcome:
        case Rejected(code=code):
            return code not in CREDENTIALS_AT_FAULT
        case RetryLater(error_type=ErrorType.SERVER_ERROR):
            return True
    return False


def _read_success(reply: Reply, size: int) -> BatchResult:
    body = _json_object(reply.body)
    if body is None:
        return BatchResult(
            RetryLater(ErrorType.NETWORK, "not_customerio", "the answer is not Customer.io's", reply.status),
            splittable=len(reply.body) >= BODY_LIMIT,
        )
    errors = body.get("errors") or []
    if not errors:
        return BatchResult(Delivered(reply.status))
    items = _item_errors(errors, size, reply.status)
    if items is None:
        vague = Rejected("item_errors_unreadable", _message(body), reply.status)
        return BatchResult(vague, splittable=True)
    return BatchResult(Delivered(reply.status), items)


def _item_errors(errors: Any, size: int, status: int | None) -> dict[int, Rejected] | None:
    """Return the refused items by index, or None when an entry does not say which item it means."""
    items: dict[int, Rejected] = {}
    for error in errors if isinstance(errors, list) else [errors]:
        index = error.get("batch_index") if isinstance(error, dict) else None
        if type(index) is not int or not 0 <= index < size:
            return None
        items.setdefault(index, Rejected(_item_code(error), _item_message(error), status))
    return items


def _item_code(error: dict[str, Any]) -> str:
    """Return a plain word: what the other side calls the reason goes into the table, the log and the metrics."""
    word = NOT_PLAIN.sub("_", str(error.get("reason") or "invalid").lower()).strip("_")
    return f"item_{word or 'invalid'}"[:60]


def _item_message(error: dict[str, Any]) -> str:
    return f"{error.get('field') or 'item'}: {error.get('message') or error.get('reason') or 'refused'}"


def _read_status(reply: Reply) -> Outcome:
    status = reply.status or 0
    code, detail = f"http_{status}", _describe(reply)
    match status:
        case 401:
            return Rejected(UNAUTHORIZED, detail, status)
        case 408:
            return RetryLater(ErrorType.NETWORK, code, detail, status)
        case 429:
            wait = parse_retry_after(reply.headers.get("retry-after"))
            return RetryLater(ErrorType.RATE_LIMIT, code, detail, status, wait)
    match status // 100:
        case 3:
            return Rejected(REDIRECTED, "Customer.io answered with a redirect: is the region right?", status)
        case 4:
            return Rejected(code, detail, status)
        case 5:
            return RetryLater(ErrorType.SERVER_ERROR, code, detail, status)
    return RetryLater(ErrorType.NETWORK, "not_customerio", f"unexpected status {status}", status)


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> timedelta:
    """Return how long a 429 asks to wait: seconds or an HTTP date, from 1 s to 15 min; 5 s when it does not say."""
    wait = _seconds(value or "")
    if wait is None:
        wait = _until(value or "", now or datetime.now(UTC))
    if wait is None:
        return RETRY_AFTER_ABSENT
    return min(max(wait, RETRY_AFTER_SHORTEST), RETRY_AFTER_LONGEST)


def _seconds(value: str) -> timedelta | None:
    text = value.strip()
    if not (text.isascii() and text.isdigit()):
        return None
    return timedelta(seconds=min(int(text[:9]), 10**6)) if len(text) < 10 else RETRY_AFTER_LONGEST  # noqa: PLR2004


def _until(value: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(value.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def _describe(reply: Reply) -> str:
    body = _json_object(reply.body)
    said = _message(body) if body is not None else ""
    return f"Customer.io answered {reply.status}" + (f": {said}" if said else "")


def _message(body: dict[str, Any]) -> str:
    """Return the text of an error body in any of its shapes: `errors[]`, `meta.errors[]`, `meta.error`."""
    meta = body.get("meta")
    found = body.get("errors") or (meta.get("errors") or meta.get("error") if isinstance(meta, dict) else None)
    first = found[0] if isinstance(found, list) and found else found
    if isinstance(first, dict):
        return _item_message(first)
    return str(first) if first else ""


def _json_object(body: bytes) -> dict[str, Any] | None:
    """Return the body as a JSON object; an empty body is an empty one, anything else None."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
