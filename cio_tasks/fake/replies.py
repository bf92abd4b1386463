"""The answers' bodies and headers, in the shapes seen from Customer.io."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cio_tasks.fake.calls import Dialect
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.validation import Violation

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
UNAUTHORIZED = "Unauthorized request"

OK_HEADERS: Mapping[str, str] = {
    "access-control-allow-origin": "*",
    "cache-control": "no-cache, no-store, must-revalidate, max-age=0",
    "content-type": JSON_TYPE,
    "status": "200 OK",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "via": "1.1 google",
}
"""Headers of a success, among them one that is literally named `status`, and none about rates (source: node-fx)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, ready to be put on the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON_TYPE})


class ItemRefusal(NamedTuple):
    """One reason why the operation at `position` (from 0) is refused; an operation may have several."""

    position: int
    violation: Violation


def success(document: Mapping[str, Any]) -> Reply:
    """Return a 200; the usual document is `{}`, which with its newline has content-length 3 (source: node-fx)."""
    return Reply(200, _json(document), OK_HEADERS)


def refusal(status: int, dialect: Dialect, refusals: Sequence[ItemRefusal], scenario: Scenario) -> Reply:
    """Return the refusals in the shape of the API version: `meta.errors`, `meta.error` or root `errors`."""
    headers = OK_HEADERS if status == 200 else {"content-type": JSON_TYPE}  # noqa: PLR2004
    return Reply(status, _json(_refusal_document(dialect, refusals, scenario)), headers)


def _refusal_document(dialect: Dialect, refusals: Sequence[ItemRefusal], scenario: Scenario) -> Mapping[str, Any]:
    if dialect is Dialect.BATCH:
        return {"errors": [{**_index(one.position, scenario), **one.violation._asdict()} for one in refusals]}
    if dialect is Dialect.ENTITY:
        return {"errors": [one.violation._asdict() for one in refusals]}
    messages = [one.violation.message for one in refusals]
    if dialect is Dialect.V1_MERGE or scenario.v1_error_shape == "error":
        return {"meta": {"error": "; ".join(messages)}}
    return {"meta": {"errors": messages}}


def _index(index: int, scenario: Scenario) -> Mapping[str, Any]:
    """The 0-based `batch_index`, or one of the wrong forms a client must survive."""
    forms: Mapping[str, Mapping[str, Any]] = {
        "number": {"batch_index": index},
        "string": {"batch_index": str(index)},
        "out_of_range": {"batch_index": index + 1_000_000},
        "missing": {},
    }
    return forms[scenario.batch_index_as]


def whole_refusal(status: int, dialect: Dialect, violation: Violation, scenario: Scenario) -> Reply:
    """Return the refusal of a whole request: like that of one operation, without `batch_index` in v2."""
    shape = Dialect.ENTITY if dialect is Dialect.BATCH else dialect
    return refusal(status, shape, [ItemRefusal(0, violation)], scenario)


def unauthorized(scenario: Scenario) -> Reply:
    """Return a 401 as JSON or, as until 2021, as plain text (source: Hull fixtures; customerio-node#71)."""
    if scenario.unauthorized_as == "text":
        return Reply(401, UNAUTHORIZED.encode(), {"content-type": TEXT_TYPE})
    return Reply(401, _json({"meta": {"error": UNAUTHORIZED}}))


def redirect(status: int, location: str) -> Reply:
    """Return a redirect with an absolute `Location`."""
    return Reply(status, b"", {"content-type": TEXT_TYPE, "location": location})


def failure(status: int, dialect: Dialect, scenario: Scenario) -> Reply:
    """Return a fault's answer; what Customer.io really writes into a 429, 413 or 5xx is not published."""
    headers = {"content-type": JSON_TYPE}
    if status >= 500 and scenario.html_5xx:  # noqa: PLR2004
        page = f"<html><head><title>{status}</title></head><body><h1>Error: Server Error</h1></body></html>\n"
        return Reply(status, page.encode(), {"content-type": HTML_TYPE})
    if status == 429:  # noqa: PLR2004
        headers |= {"retry-after": scenario.retry_after} if scenario.retry_after is not None else {}
        if scenario.rate_limit_body != "json":
            text = b"Too Many Requests" if scenario.rate_limit_body == "text" else b""
            return Reply(status, text, {**headers, "content-type": TEXT_TYPE})
    violation = Violation("failed", "", f"answered {status} on request")
    return Reply(status, whole_refusal(status, dialect, violation, scenario).body, headers)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
