"""Webhooks as Customer.io sends them, signed by other code than ours."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask

from api import create_app
from cio_tasks.settings import Settings
from tests.api.callers import BASE, Caller, Reply

HOOK = f"{BASE}/webhooks/customerio"
SECRET, PREVIOUS = "SECRETCANARY-current-signing-key", "SECRETCANARY-previous-signing-key"
TIMESTAMP, SIGNATURE = "X-CIO-Timestamp", "X-CIO-Signature"

EVENT: dict[str, Any] = {
    "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "object_type": "email",
    "metric": "opened",
    "timestamp": 1700000000,
    "data": {"identifiers": {"id": "person-1"}, "delivery_id": "d1", "recipient": "ada@example.com"},
}
BODY = json.dumps(EVENT).encode()


def body_of(event_id: str, **changes: Any) -> bytes:
    return json.dumps({**EVENT, "event_id": event_id, **changes}).encode()


def signature_of(body: bytes, timestamp: str, secret: str = SECRET) -> str:
    """Sign `body` with a timestamp in whatever bytes it is sent."""
    return hmac.new(secret.encode(), b"v0:" + timestamp.encode("latin-1") + b":" + body, hashlib.sha256).hexdigest()


def signed(body: bytes, *, secret: str = SECRET, age: int = 0, timestamp: str | None = None) -> dict[str, str]:
    """Return the headers of a webhook signed `age` seconds ago, or with this timestamp."""
    stamp = str(int(time.time()) - age) if timestamp is None else timestamp
    return {TIMESTAMP: stamp, SIGNATURE: signature_of(body, stamp, secret)}


def send(app: Flask, body: bytes = BODY, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a webhook with these headers, by default signed now with the current secret."""
    return Caller(app).post(HOOK, body, **(signed(body) if headers is None else headers))


def app_with(settings: Settings, secrets: str | None = SECRET, **changes: Any) -> Flask:
    """Return an API with these webhook secrets and other settings."""
    given = settings.model_dump() | {"customerio_webhook_secret": secrets} | changes
    return create_app(Settings.model_validate(given))
