"""What a message must look like. The broker is untrusted input: what is not exactly one of ours is thrown away.

A message only wakes a worker, so nothing is lost with one; but one that Celery cannot read would end the worker, and some
would end every worker after it (`docs/decisions/0005-messages.md`).
"""

import base64
import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

LARGEST_BODY: Final = 4_096
"""Characters of a message's body; one of ours has about 150."""
LATEST: Final = timedelta(hours=2)
"""The longest that a message may ask to be held: beyond the last retry, within the visibility timeout."""

Short = Annotated[str, StringConstraints(max_length=300)]


def _check_eta(value: str) -> str:
    if datetime.fromisoformat(value).astimezone(UTC) > datetime.now(UTC) + LATEST:
        raise ValueError("too far ahead")
    return value


def _check_time(value: str) -> str:
    datetime.fromisoformat(value).astimezone(UTC)
    return value


class _Part(BaseModel):
    """What is not listed is left out, and Celery never sees it."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Headers(_Part):
    """Celery's task protocol 2. Groups, stamps and time limits are nothing that we send."""

    lang: Literal["py"]
    task: Short
    id: Short
    root_id: Short | None = None
    parent_id: Short | None = None
    origin: Short | None = None
    argsrepr: Short = ""
    kwargsrepr: Short = ""
    eta: Annotated[Short, AfterValidator(_check_eta)] | None = None
    expires: Annotated[Short, AfterValidator(_check_time)] | None = None
    retries: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    timelimit: tuple[None, None] = (None, None)
    ignore_result: bool = True
    shadow: None = None
    group: None = None
    group_index: None = None


class _DeliveryInfo(_Part):
    exchange: Short
    routing_key: Short


class _Properties(_Part):
    correlation_id: Short
    delivery_tag: Short
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"]
    delivery_mode: Literal[1, 2] = 2
    priority: Annotated[int, Field(ge=0, le=9)] = 0


class _Envelope(_Part):
    body: Annotated[str, StringConstraints(max_length=LARGEST_BODY)]
    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]
    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]
    headers: _Headers
    properties: _Properties


def read_envelope(raw: Any, tasks: Collection[str]) -> dict[str, Any] | None:
    """Return a message with only what we know of it, or None when it is none of ours.

    `raw` is what the JSON in the queue said; `tasks` are the names that may be called.
    """
    try:
        envelope = _Envelope.model_validate(_with_tuple(raw))
        called = _read_call(envelope.body)
    except (ValidationError, ValueError, RecursionError, OverflowError):
        return None
    if envelope.headers.task not in tasks or not called:
        return None
    return envelope.model_dump(by_alias=True)


def _with_tuple(raw: Any) -> Any:
    """Turn the list of time limits into the tuple that a strict model wants; leave everything else to the model."""
    headers = raw.get("headers") if isinstance(raw, dict) else None
    if not isinstance(headers, dict) or not isinstance(headers.get("timelimit"), list):
        return raw
    return {**raw, "headers": {**headers, "timelimit": tuple(headers["timelimit"])}}


def _read_call(body: str) -> bool:
    """Tell whether the body is a call with ids as its only arguments, and with nothing to call afterwards."""
    arguments, named, more = json.loads(base64.b64decode(body, validate=True))
    ids = [UUID(argument) for argument in arguments if isinstance(argument, str)]
    are_ids = isinstance(arguments, list) and len(ids) == len(arguments)
    return are_ids and named == {} and isinstance(more, dict) and not any(more.values())
