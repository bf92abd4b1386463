"""The sample signups of the demo, sent to the API as an application would."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import requests

SENDERS: Final = 8
TRIES: Final = 5
TIMEOUT_SECONDS: Final = 30


@dataclass
class Submitted:
    """What the API took and what it refused. `refused` counts the reasons it gave, which name fields, not values."""

    lines: int = 0
    signup_ids: set[UUID] = field(default_factory=set)
    confirmed_ids: set[UUID] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)


class Sender:
    """Submits sample lines over HTTP; safe to use from several threads."""

    def __init__(self, api_url: str, token: str) -> None:
        self._base = f"{api_url}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._local = threading.local()
        self._lock = threading.Lock()
        self.submitted = Submitted()

    def send_all(self, path: Path, *, limit: int | None, on_line: Callable[[], None]) -> Submitted:
        """Submit the lines of `path`, eight at a time, calling `on_line` after each; return the account of it."""
        with ThreadPoolExecutor(SENDERS) as pool:
            for _ in pool.map(self._send_line, _lines(path, limit)):
                on_line()
        return self.submitted

    def _send_line(self, line: str) -> None:
        with self._lock:
            self.submitted.lines += 1
        try:
            record = json.loads(line)
        except ValueError:
            self._refuse("not JSON")
            return
        extraction = record.pop("extraction", None)
        signup = self._post("/signups", record)
        if signup is None:
            return
        with self._lock:
            self.submitted.signup_ids.add(UUID(signup["id"]))
        if extraction is not None and self._post(f"/signups/{signup['id']}/extraction/confirm", extraction):
            with self._lock:
                self.submitted.confirmed_ids.add(UUID(signup["id"]))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer, or None when the API refused the input, whose reason is then counted.

        The body is written as the file has it, NaN included: refusing that is the API's part.
        """
        for _ in range(TRIES):
            answer = self._session().post(self._base + path, data=json.dumps(body), timeout=TIMEOUT_SECONDS)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
        if answer.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            problem = answer.json()
            self._refuse(", ".join(error["field"] for error in problem.get("errors", [])) or problem["code"])
            return None
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self.submitted.refused[reason] = self.submitted.refused.get(reason, 0) + 1

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers.update(self._headers)
        session: requests.Session = self._local.session
        return session


def sample_path() -> Path:
    """Return where the sample signups are: beside the package in a wheel, in `examples/` in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "examples" / "signups.jsonl"
    return packaged if packaged.exists() else package.parent / "examples" / "signups.jsonl"


def _lines(path: Path, limit: int | None) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(filter(str.strip, lines)):
            if number == limit:
                return
            yield line
