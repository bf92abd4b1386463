"""Messages of the broker: one as we write it, and what else may be found in the queue."""

import base64
import copy
import json
from typing import Any
from uuid import uuid4

from cio_tasks.celeryconfig import QUEUE

NOTHING_AFTER: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def body_of(*arguments: Any, named: Any = None, after: Any = None) -> str:
    call = [list(arguments), named or {}, NOTHING_AFTER | (after or {})]
    return base64.b64encode(json.dumps(call).encode()).decode()


def message(task: str = "cio_tasks.sync_signup", body: str | None = None) -> dict[str, Any]:
    """Return a message as Celery's protocol 2 has it."""
    identifier = str(uuid4())
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task,
        "id": identifier,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": identifier,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "gen1@host",
        "ignore_result": True,
        "stamps": {},
    }
    properties = {
        "correlation_id": identifier,
        "reply_to": str(uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    return {
        "body": body_of(str(uuid4())) if body is None else body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }


def changed(original: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with `value` at a path such as `headers.task`; `...` removes what is there."""
    copied = copy.deepcopy(original)
    *parents, name = path.split(".")
    place = copied
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return copied


def _deep(levels: int) -> str:
    return base64.b64encode(("[" * levels + "]" * levels).encode()).decode()


MALFORMED: dict[str, Any] = {
    "an empty list": [],
    "an empty object": {},
    "a number": 5,
    "null": None,
    "a text": "hello",
    "without properties": changed(message(), "properties", ...),
    "without headers": changed(message(), "headers", ...),
    "headers are null": changed(message(), "headers", None),
    "headers are a list": changed(message(), "headers", []),
    "without a task": changed(message(), "headers.task", ...),
    "the task is a list": changed(message(), "headers.task", ["cio_tasks.sync_signup"]),
    "the task is null": changed(message(), "headers.task", None),
    "without an id": changed(message(), "headers.id", ...),
    "the id is a number": changed(message(), "headers.id", 7),
    "without a delivery tag": changed(message(), "properties.delivery_tag", ...),
    "the delivery tag is an object": changed(message(), "properties.delivery_tag", {}),
    "without delivery info": changed(message(), "properties.delivery_info", ...),
    "a body that is no base64": message(body="%%%"),
    "a body that is no JSON": message(body=base64.b64encode(b"\xff\x00").decode()),
    "a body without the third part": message(body=base64.b64encode(b"[[], {}]").decode()),
    "a body that is an object": message(body=base64.b64encode(b"{}").decode()),
    "a body that is a text": message(body=base64.b64encode(b'"hello"').decode()),
    "a body that is null": changed(message(), "body", None),
    "a deep body": message(body=_deep(900)),
    "a very deep body": message(body=_deep(100_000)),
    "a large body": message(body="A" * 5_000_000),
    "pickle": changed(message(), "content-type", "application/x-python-serialize"),
    "yaml": changed(message(), "content-type", "application/x-yaml"),
    "msgpack": changed(message(), "content-type", "application/x-msgpack"),
    "the auth serializer": changed(message(), "content-type", "application/data"),
    "an unknown encoding": changed(message(), "content-encoding", "rot13"),
    "compressed": changed(message(), "headers.compression", "application/x-gzip") | {"content-encoding": "binary"},
    "an unregistered task": message(task="cio_tasks.nothing"),
    "a task of another module": message(task="os.system"),
    "no uuid": message(body=body_of("1")),
    "a named argument": message(body=body_of(named={"job_id": str(uuid4())})),
    "a chain behind it": message(body=body_of(str(uuid4()), after={"chain": [{"task": "celery.backend_cleanup"}]})),
    "a callback behind it": message(body=body_of(after={"callbacks": [{"task": "cio_tasks.prune"}]})),
    "held for ever": changed(message(), "headers.eta", "9999-01-01T00:00:00+00:00"),
    "an eta that is no time": changed(message(), "headers.eta", "tomorrow"),
    "an expiry that is no time": changed(message(), "headers.expires", "never"),
    "negative retries": changed(message(), "headers.retries", -1),
    "very many retries": changed(message(), "headers.retries", 10**9),
    "a time limit": changed(message(), "headers.timelimit", [0, 0]),
    "another protocol": changed(message(), "headers.lang", "js"),
    "priority 255": changed(message(), "properties.priority", 255),
    "a group": changed(message(), "headers.group", str(uuid4())),
    "protocol 1": {"task": "cio_tasks.process_due", "id": "1", "args": [], "kwargs": {}},
}
"""What JSON may say in the queue and is no message of ours."""

NO_JSON: dict[str, bytes] = {
    "text": b"hello",
    "nothing": b"",
    "binary": bytes(range(256)),
    "half a document": b'{"body": "W10',
    "pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08os.system\x94.",
    "deep": b"[" * 200_000,
    "NaN": b"NaN",
}
"""What may be in the queue and is not even JSON (or is JSON only to Python)."""
