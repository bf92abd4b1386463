"""A plain client of the App API, and people to ask for; what the tests of that side of the stand-in speak with."""

from typing import Any

import requests

from cio_tasks.fake import PastActivity, PastMessage, PersonHistory

KEY = "app-key"
ANN = PersonHistory(id="u1", email="Ann@example.com", attributes={"plan": "free", "bets": 3, "vip": True})


class App:
    """Asks what it is told to, with the key; follows no redirects and retries nothing."""

    def __init__(self, url: str, key: str | None = KEY) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        if key is not None:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def close(self) -> None:
        self._session.close()

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        return self._session.request(method, self._url + path, json=body, timeout=5, allow_redirects=False)

    def get(self, path: str) -> Any:
        """Return the body of a 200."""
        answer = self.call("GET", f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refusal(self, path: str, method: str = "GET", body: object = None) -> tuple[int, dict[str, str]]:
        """Return the status and the one error of a refusal."""
        answer = self.call(method, f"/v1/{path}", body)
        (error,) = answer.json()["errors"]
        return answer.status_code, error


def events(count: int, name: str = "bet_placed") -> PersonHistory:
    """Return somebody with that many events, one a minute."""
    return PersonHistory(id="u1", activities=(PastActivity(name=name, count=count),))


def sent(*messages: PastMessage) -> PersonHistory:
    """Return somebody who was sent these."""
    return PersonHistory(id="u1", email="ann@example.com", messages=messages)
