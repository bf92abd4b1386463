"""A plain client of the Track API, and factories of operations; what the tests of the stand-in speak with."""

from typing import Any
from urllib.parse import quote

import requests

ULID = "01HF0000000000000000000000"


class Track:
    """Sends what it is told to, with credentials; follows no redirects and retries nothing."""

    def __init__(self, url: str, auth: tuple[str, str] | None = ("site", "key"), verify: str | bool = True) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = auth
        self._session.verify = verify

    def close(self) -> None:
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 5,
    ) -> requests.Response:
        return self._session.request(
            method,
            self.url + path,
            json=body if raw is None else None,
            data=raw,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        )

    def region(self, *, timeout: float = 5) -> requests.Response:
        return self.call("GET", "/api/v1/accounts/region", timeout=timeout)

    def identify(self, person: str, /, **attributes: Any) -> requests.Response:
        return self.call("PUT", f"/api/v1/customers/{quote(person, safe='')}", attributes)

    def event(self, person: str, /, name: str = "opened", **fields: Any) -> requests.Response:
        return self.call("POST", f"/api/v1/customers/{quote(person, safe='')}/events", {"name": name, **fields})

    def customer(self, person: str, verb: str) -> requests.Response:
        return self.call("POST", f"/api/v1/customers/{quote(person, safe='')}/{verb}", {})

    def delete(self, person: str) -> requests.Response:
        return self.call("DELETE", f"/api/v1/customers/{quote(person, safe='')}")

    def entity(self, operation: object) -> requests.Response:
        return self.call("POST", "/api/v2/entity", operation)

    def batch(self, *operations: object, timeout: float = 5) -> requests.Response:
        return self.call("POST", "/api/v2/batch", {"batch": operations}, timeout=timeout)

    def control(self, method: str, path: str, body: object = None) -> Any:
        return self.call(method, f"/_fake/{path}", body).json()


def identify(person: str = "u1", /, timestamp: int | None = None, **attributes: Any) -> dict[str, Any]:
    operation = {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": person},
        "attributes": attributes,
        "timestamp": timestamp,
    }
    return {key: value for key, value in operation.items() if value is not None}


def event(person: str = "u1", /, name: object = "opened", **fields: Any) -> dict[str, Any]:
    return {"type": "person", "action": "event", "identifiers": {"id": person}, "name": name, **fields}


def action(verb: str, person: str = "u1") -> dict[str, Any]:
    return {"type": "person", "action": verb, "identifiers": {"id": person}}
