"""One request, one reply. Whatever happens on the wire comes back as a value; `replies.py` says what it means."""

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast

import requests
import urllib3
from requests import exceptions as failures
from uuid_utils.compat import uuid7

from cio_tasks.customerio.deadline import Deadline, DeadlineAdapter, deadline

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
BODY_LIMIT: Final = 64_000
REQUEST_ID_HEADER: Final = "X-Request-Id"

Auth = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, or why nothing did.

    `status` is None when there was no HTTP answer; `failure` then is a stable word for the cause (`timeout`,
    `connection_refused`, `connection_reset`, `dns`, `tls`, `not_http`). `body` holds at most 64 kB. `request_id` is
    ours: Customer.io sends none.
    """

    request_id: str
    elapsed: timedelta
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: str | None = None


class Transport:
    """Sends requests to one base address: a session per thread, made on first use (so after a fork), no redirects."""

    def __init__(self, base_url: str, *, auth: Auth, total: timedelta, user_agent: str) -> None:
        self._base_url = base_url
        self._auth = auth
        self._total = total
        self._user_agent = user_agent
        self._local = threading.local()

    def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request and return its reply within the total deadline, whatever happens."""
        request_id = str(uuid7())
        started = time.monotonic()
        with deadline(self._total) as limit:
            try:
                status, headers, content = self._exchange(method, path, body, request_id)
            except (failures.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                self._forget_session()
                return Reply(request_id, _since(started), failure=_name_failure(error, limit))
        if limit.passed:
            self._forget_session()
            return Reply(request_id, _since(started), failure="timeout")
        return Reply(request_id, _since(started), status, headers, content)

    def _exchange(
        self, method: str, path: str, body: bytes | None, request_id: str
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {REQUEST_ID_HEADER: request_id}
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        with self._session().request(
            method,
            self._base_url + path,
            data=body,
            headers=headers,
            auth=self._auth,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            content = cast("bytes", response.raw.read(BODY_LIMIT, decode_content=True))
            return response.status_code, {k.lower(): v for k, v in response.headers.items()}, content

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["User-Agent"] = self._user_agent
            session.headers["Accept"] = "application/json"
            for scheme in ("http://", "https://"):
                session.mount(scheme, DeadlineAdapter())
            self._local.session = session
        return cast("requests.Session", session)

    def _forget_session(self) -> None:
        """Drop the connections of a call that failed: what they would answer next is unknown."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is not None:
            session.close()
            self._local.session = None


def _since(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)


def _name_failure(error: Exception, limit: Deadline) -> str:
    """Return the stable word for a failure; its text may hold addresses and is never used."""
    if limit.passed or isinstance(error, (failures.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, failures.SSLError):
        return "tls"
    chain = _causes(error)
    for kinds, word in FAILURE_WORDS:
        if any(isinstance(cause, kinds) for cause in chain):
            return word
    return "connection_failed"


FAILURE_WORDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (urllib3.exceptions.SSLError, "tls"),
    (urllib3.exceptions.NameResolutionError, "dns"),
    (ConnectionRefusedError, "connection_refused"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "connection_reset"),
    (urllib3.exceptions.NewConnectionError, "connection_failed"),
    ((urllib3.exceptions.TimeoutError, TimeoutError), "timeout"),
    ((urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError), "not_http"),
)


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and everything it was raised from, was raised while handling, or carries as an argument."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or current in found:
            continue
        found.append(current)
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return found
