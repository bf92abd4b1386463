"""One try to deliver a webhook: a signed POST, and what came of it."""

import hashlib
import hmac
import time

import aiohttp

from cio_tasks.fake.webhook_queue import EndpointSettings, Failure, Try

Errors = type[BaseException] | tuple[type[BaseException], ...]

FAILURES: tuple[tuple[Errors, Failure], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorCertificateError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ConnectionRefusedError, "refused"),
    ((ConnectionResetError, BrokenPipeError), "reset"),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError), "eof"),
    (aiohttp.ClientConnectionError, "refused"),
)
"""The first that fits an error, or what it was raised from, names it; all others are no HTTP."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the lower-case hex of HMAC-SHA256 over `v0:<timestamp>:<body>` (source: HookOAS; the Node SDK)."""
    return hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


async def post(
    session: aiohttp.ClientSession, settings: EndpointSettings, body: bytes, *, at: float, timestamp: str
) -> Try:
    """Send once and return what came of it; redirects are not followed (what Customer.io does is not published)."""
    headers = {
        "Content-Type": "application/json",
        "X-CIO-Timestamp": timestamp,
        "X-CIO-Signature": sign(settings.secret.get_secret_value(), timestamp, body),
    }
    timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
    started = time.monotonic()
    status: int | None = None
    failure: Failure | None = None
    try:
        async with session.post(
            settings.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        failure = _name(error)
    return _try(at, timestamp, status, failure, time.monotonic() - started)


def stopped(*, at: float, timestamp: str) -> Try:
    """Return a try that was cut off: whether the receiver took the event is not known."""
    return _try(at, timestamp, None, "stopped", time.time() - at)


def _try(at: float, timestamp: str, status: int | None, failure: Failure | None, seconds: float) -> Try:
    return {"at": at, "timestamp": timestamp, "status": status, "failure": failure, "ms": round(seconds * 1000, 1)}


def _name(error: BaseException) -> Failure:
    chain = [error, getattr(error, "os_error", None), error.__cause__]
    for kinds, word in FAILURES:
        if any(isinstance(one, kinds) for one in chain):
            return word
    return "not_http"
