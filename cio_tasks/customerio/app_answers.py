"""What a reply of the App API means: a document, or a failure that says why there is none. Both are values."""

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from cio_tasks.customerio.replies import parse_retry_after
from cio_tasks.customerio.transport import Reply

ANSWER_LIMIT: Final = 2_000_000
"""How many bytes of an answer are read: campaigns and segments come in one piece, however many there are."""

T = TypeVar("T")
Document = dict[str, Any]


class Trouble(StrEnum):
    """Why something could not be read. Only `not_found` says anything about what was asked for."""

    NO_KEY = "no_key"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Failure:
    """Nothing could be read. `detail` is one sentence without personal data or secrets, `code` a stable word.

    `retry_after` is what a 429 asked for, or what is usual when it did not say; `request_id` is ours.
    """

    trouble: Trouble
    code: str
    detail: str
    status: int | None = None
    retry_after: timedelta | None = None
    request_id: str | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered later."""
        return self.trouble in {Trouble.UNREACHABLE, Trouble.RATE_LIMITED, Trouble.SERVER_ERROR}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What was read of a list. `left_out` is None when it is whole; otherwise why there may be more.

    `left_out` is `limit` (as many as were asked for), `time` (the time for it was used up), `loop` (the pages lead
    nowhere), or the trouble that the next page met. `unreadable` counts the entries that made no sense.
    """

    items: tuple[T, ...] = ()
    left_out: str | None = None
    unreadable: int = 0
    requests: int = 0


NO_KEY: Final = Failure(Trouble.NO_KEY, "no_key", "CUSTOMERIO_APP_API_KEY is not set")
OWN_PACE: Final = Failure(
    Trouble.RATE_LIMITED, "own_rate_limit", "our own limit of requests per second to the App API is used up"
)
UNASKABLE: Final = Failure(Trouble.BAD_REQUEST, "unaskable", "this identifier cannot be put into an address")

DETAILS: Final = {
    401: "the key was refused: is it an App API key, and is CUSTOMERIO_REGION right?",
    403: "the key may not read this: it has no scope for it, or this address is not allowed",
}


def read_document(reply: Reply) -> Document | Failure:
    """Return the JSON object in a reply, an empty one for an empty or null body, or why there is none.

    A 401 may also mean the wrong region, and so did a 301 in 2023 (Airbyte's source connector; customerio-node#134).
    """
    if reply.status is None:
        code = reply.failure or "no_answer"
        return _failure(reply, Trouble.UNREACHABLE, code, f"no answer from the App API: {code}")
    if reply.status in {200, 204}:
        return _read_body(reply)
    return _read_status(reply)


def _read_body(reply: Reply) -> Document | Failure:
    if len(reply.body) >= ANSWER_LIMIT:
        return _failure(reply, Trouble.UNREADABLE, "too_large", f"the answer has more than {ANSWER_LIMIT:,} bytes")
    try:
        document = json.loads(reply.body) if reply.body.strip() else {}
    except (ValueError, RecursionError):
        document = reply.body
    if document is None or isinstance(document, dict):
        return document or {}
    return unreadable(reply)


def _read_status(reply: Reply) -> Failure:
    status = reply.status or 0
    code, said = f"http_{status}", f"the App API answered {status}"
    match status:
        case 401 | 403:
            return _failure(reply, Trouble.REFUSED, code, f"{said}: {DETAILS[status]}")
        case 404:
            return _failure(reply, Trouble.NOT_FOUND, code, f"{said}: there is no such thing in this workspace")
        case 429:
            wait = parse_retry_after(reply.headers.get("retry-after"))
            return _failure(reply, Trouble.RATE_LIMITED, code, f"{said}: too many requests", wait)
    match status // 100:
        case 3:
            detail = f"{said}, a redirect: is CUSTOMERIO_REGION right?"
            return _failure(reply, Trouble.REFUSED, "redirected", detail)
        case 4 if status != 408:  # noqa: PLR2004
            return _failure(reply, Trouble.BAD_REQUEST, code, said)
        case 4 | 5:
            return _failure(reply, Trouble.SERVER_ERROR, code, said)
    return unreadable(reply)


def unreadable(reply: Reply) -> Failure:
    """Return the failure of an answer that is not one of Customer.io's, whatever it is."""
    return _failure(reply, Trouble.UNREADABLE, "not_customerio", "the answer is not the App API's")


def _failure(reply: Reply, trouble: Trouble, code: str, detail: str, retry_after: timedelta | None = None) -> Failure:
    return Failure(trouble, code, detail, reply.status, retry_after, reply.request_id)
