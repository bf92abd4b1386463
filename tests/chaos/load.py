"""The client: submits signups and confirms extractions over HTTP, asks again while it does not know, and remembers all.

An answer with 2xx means accepted, another 4xx refused. Everything else, and no answer at all, means unknown: the client
asks again with the same key, as a good client does, and in the end says what it knows.
"""

import json
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Final

import requests

from tests.chaos.evidence import Request

TIMEOUT: Final = (2.0, 6.0)
MOST_TRIES: Final = 60
LONGEST_PAUSE: Final = 1.0
CONFIRMED: Final = 0.7
CORRECTED: Final = 0.15
ODDS: Final = ("+150", "-110", "2.5")
DOOMED: Final = "badattr"
DOMAIN: Final = "example.com"
LAST_NAME: Final = "Lovelace"
TROUBLE: Final = {
    100: {29: "503x1"},
    400: {33: "429x1", 77: "500x2", 139: "resetafter", 337: "reset"},
}
"""What some people bring upon their requests at Customer.io, by their number modulo the key."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much load, and how fast."""

    signups: int
    seed: int
    per_second: float
    threads: int = 8
    trouble: bool = True
    """Whether some people make requests fail that would pass later. Some are always refused for good."""


class Load:
    """A client with several threads, which asks one API after the other.

    `run` goes on until what was planned is sent, and `enough` was called.
    """

    def __init__(self, api_urls: Sequence[str], token: str, pace: Pace, log: Path) -> None:
        self.requests: list[Request] = []
        self.submitted = 0
        self._api_urls = api_urls
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pace = pace
        self._log = log
        self._numbers = count(1)
        self._turns = count()
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._stopping = threading.Event()
        self._started = time.monotonic()

    def run(self) -> None:
        """Submit everything, at the pace given until it is enough, and then without a pause."""
        self._started = time.monotonic()
        with ThreadPoolExecutor(self._pace.threads, thread_name_prefix="client") as pool:
            for done in [pool.submit(self._work) for _ in range(self._pace.threads)]:
                done.result()

    def enough(self) -> None:
        """Send what is planned and still missing, and nothing more."""
        self._enough.set()

    def stop(self) -> None:
        """Begin nothing new, and give up what is unknown."""
        self._stopping.set()

    def _work(self) -> None:
        with requests.Session() as http:
            http.headers.update(self._headers)
            while self._goes_on(number := next(self._numbers)):
                due = self._started + number / self._pace.per_second
                self._enough.wait(max(due - time.monotonic(), 0))
                self._see_through(http, number)

    def _goes_on(self, number: int) -> bool:
        return not self._stopping.is_set() and (number <= self._pace.signups or not self._enough.is_set())

    def _see_through(self, http: requests.Session, number: int) -> None:
        """Submit one signup, and perhaps confirm and correct its bet slip."""
        chance = random.Random(f"{self._pace.seed}:{number}")
        person = Person.of(number, self._pace)
        signup_id = self._ask(http, person, "signup", "/signups", person.submission())
        if signup_id is None or chance.random() > CONFIRMED:
            return
        for turn in range(2 if chance.random() < CORRECTED else 1):
            slip = bet_slip(chance)
            self._ask(http, person, f"confirm{turn}", f"/signups/{signup_id}/extraction/confirm", slip)

    def _ask(self, http: requests.Session, person: "Person", kind: str, path: str, body: dict[str, Any]) -> str | None:
        """Ask until the answer is known; return the signup's id if it was accepted."""
        key = f"{person.external_id}:{kind}"
        began, tries = time.time(), 0
        status: int | None = None
        signup_id: str | None = None
        while tries < MOST_TRIES and not (tries and self._stopping.is_set()):
            tries += 1
            status, signup_id = self._try(http, path, key, body)
            if is_known(status):
                break
            self._stopping.wait(min(0.05 * 2**tries, LONGEST_PAUSE))
        outcome = outcome_of(status)
        record = Request(
            key=key,
            kind=kind.rstrip("01"),
            external_id=person.external_id,
            outcome=outcome,
            began_at=began,
            ended_at=time.time(),
            tries=tries,
            signup_id=signup_id,
            bet_amount=body.get("betAmount"),
            doomed=person.doomed,
        )
        self._remember(record, status)
        return signup_id if outcome == "accepted" else None

    def _try(self, http: requests.Session, path: str, key: str, body: dict[str, Any]) -> tuple[int | None, str | None]:
        try:
            url = self._api_urls[next(self._turns) % len(self._api_urls)]
            answer = http.post(url + path, json=body, headers={"Idempotency-Key": key}, timeout=TIMEOUT)
            return answer.status_code, answer.json().get("id")
        except (requests.RequestException, ValueError):
            return None, None

    def _remember(self, record: Request, status: int | None) -> None:
        with self._lock:
            self.requests.append(record)
            self.submitted += record.kind == "signup"
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({**asdict(record), "status": status}) + "\n")


@dataclass(frozen=True)
class Person:
    """Somebody who signs up; `trouble` is what they bring upon their requests."""

    number: int
    external_id: str
    trouble: str | None

    @classmethod
    def of(cls, number: int, pace: Pace) -> "Person":
        """Return the person of this number: the same for the same seed."""
        found = [tags.get(number % modulus) for modulus, tags in TROUBLE.items() if pace.trouble]
        trouble = DOOMED if number % 40 == 13 else next(filter(None, found), None)
        return cls(number, f"chaos-{pace.seed}-{number}", trouble)

    @property
    def doomed(self) -> bool:
        """Whether Customer.io refuses them for good."""
        return self.trouble == DOOMED

    def submission(self) -> dict[str, Any]:
        """Return what they submit."""
        tag = f"+{self.trouble}" if self.trouble else ""
        customer = {
            "email": f"{self.external_id}{tag}@{DOMAIN}",
            "firstName": f"Ada{self.number}",
            "lastName": LAST_NAME,
        }
        return {"customer": customer, "operatorId": f"op-{self.number % 7}", "externalId": self.external_id}


def bet_slip(chance: random.Random) -> dict[str, Any]:
    """Return a bet slip, different each time."""
    return {
        "betAmount": chance.randrange(100, 1_000_000) / 100,
        "teamBetOn": chance.choice(["Rovers", "United", "City"]),
        "odds": chance.choice(ODDS),
        "confidence": round(chance.random(), 3),
    }


def is_known(status: int | None) -> bool:
    """Tell whether an answer says for sure what became of the request."""
    return status is not None and outcome_of(status) != "unknown"


def outcome_of(status: int | None) -> str:
    """Return what a status says: accepted, refused, or unknown, as after no answer at all."""
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in ASK_AGAIN:
        return "unknown"
    return "accepted" if status < HTTPStatus.MULTIPLE_CHOICES else "refused"


ASK_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
