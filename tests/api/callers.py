"""Who calls the API in tests, and the bodies they send."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Flask
from werkzeug.datastructures import Headers

BASE = "/api/v1"
SIGNUPS = f"{BASE}/signups"
NOT_LISTENING = "127.0.0.1:1"
NOBODY = UUID("01a20108-be89-7174-b70d-f10de0b8ada0")

SIGNUP: dict[str, Any] = {
    "customer": {"email": "ada@example.com", "firstName": "Ada", "lastName": "Lovelace", "phone": "+44 (0)20 555-0100"},
    "operatorId": "op-1",
    "submittedAt": "2026-01-31T12:00:00+01:00",
    "externalId": "order-1",
}
SLIP: dict[str, Any] = {"betAmount": 25.5, "teamBetOn": "Rovers", "odds": "+150", "confidence": 0.9}


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status_code: int
    json: Any
    data: bytes
    headers: Headers


@dataclass(frozen=True)
class Caller:
    """Sends requests with one token, or none."""

    app: Flask
    token: str | None = None

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send `body` as JSON, or as it is when it is bytes. `Idempotency_Key="k"` sends that header."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with self.app.test_client().open(
            path, method=method, data=content, headers={"Content-Type": "application/json"} | self._headers(headers)
        ) as sent:
            return Reply(sent.status_code, sent.get_json(silent=True), sent.data, sent.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return self.send("POST", path, body, **headers)

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def submit(self, **changes: Any) -> Reply:
        """Submit the signup of these tests, changed at the given paths (`customer__email=...`)."""
        return self.post(SIGNUPS, changed(SIGNUP, changes))

    def confirm(self, signup_id: object, **changes: Any) -> Reply:
        return self.post(confirm_path(signup_id), changed(SLIP, changes))

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        token = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return token | {name.replace("_", "-"): value for name, value in headers.items()}


def confirm_path(signup_id: object) -> str:
    return f"{SIGNUPS}/{signup_id}/extraction/confirm"


def changed(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `body` with values set at paths (`customer__email`); `...` removes the field."""
    copied = copy.deepcopy(dict(body))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = copied
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    return copied
