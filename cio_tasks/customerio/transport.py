"""One request, one reply. Whatever happens on the wire comes back as a value; `replies.py` says what it means."""

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast

import requests
import urllib3
from requests import PreparedRequest
from requests import exceptions as failures
from requests.auth import AuthBase
from uuid_utils.compat import uuid7

from cio_tasks.customerio.deadline import Deadline, DeadlineAdapter, deadline
from cio_tasks.customerio.timings import Timings

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
BODY_LIMIT: Final = 64_000
REQUEST_ID_HEADER: Final = "X-Request-Id"


class Bearer(AuthBase):
    """The App API's credentials: one key (AppOAS, `securitySchemes`)."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the key on a request."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Anonymous(AuthBase):
    """No credentials, not even those that a `.netrc` has for the host."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave a request as it is."""
        return request


Auth = tuple[str, str] | AuthBase
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers by their names in lower case, and body."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, or why nothing did.

    `status` is None when there was no HTTP answer; `failure` then is a stable word for the cause (`timeout`,
    `connection_refused`, `connection_reset`, `dns`, `tls`, `not_http`). `body` holds at most 64 kB. `request_id` is
    ours: Customer.io sends none. `timings` is None for a request that was never sent.
    """

    request_id: str
    elapsed: timedelta
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: str | None = None
    timings: Timings | None = None


class Transport:
    """Sends requests to one base address: a session per thread, made on first use (so after a fork), no redirects."""

    def __init__(self, base_url: str, *, auth: Auth, total: timedelta, user_agent: str) -> None:
        self._base_url = base_url
        self._auth = (auth[0].encode(), auth[1].encode()) if isinstance(auth, tuple) else auth
        self._total = total
        self._user_agent = user_agent
        self._local = threading.local()

    def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request and return its reply within the total deadline, whatever happens."""
        started = time.monotonic()
        try:
            request = self.prepare(method, path, body)
        except ValueError:
            return Reply("unsent", _since(started), failure="connection_failed")
        return self.perform(request)

    def prepare(self, method: str, path: str, body: bytes | None = None) -> PreparedRequest:
        """Return the request that `perform` sends, to the last header, with an id of its own.

        Raises:
            ValueError: when the address is impossible.
        """
        headers = {REQUEST_ID_HEADER: str(uuid7())}
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        request = requests.Request(method, self._base_url + path, headers=headers, data=body, auth=self._auth)
        return self._session().prepare_request(request)

    def perform(self, request: PreparedRequest) -> Reply:
        """Send a prepared request and return its reply within the total deadline, whatever happens."""
        request_id = request.headers[REQUEST_ID_HEADER]
        answer: Answer | None = None
        failure = "timeout"
        started = time.monotonic()
        with deadline(self._total) as limit:
            try:
                answer = self._exchange(request, limit)
            except (failures.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                failure = _name_failure(error, limit)
        timings = Timings.between(started, limit.moments, time.monotonic())
        if answer is None or limit.passed:
            self._forget_session()
            return Reply(request_id, timings.total, failure=failure, timings=timings)
        return Reply(request_id, timings.total, *answer, timings=timings)

    def close(self) -> None:
        """Drop this thread's connections; the next request opens a new one."""
        self._forget_session()

    def _exchange(self, request: PreparedRequest, limit: Deadline) -> Answer:
        """Send as `Session.request` does: with the proxy and the certificates that the environment names."""
        session = self._session()
        surroundings = session.merge_environment_settings(request.url or "", {}, True, None, None)
        with session.send(
            request, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, **surroundings
        ) as response:
            limit.note("answered")
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
