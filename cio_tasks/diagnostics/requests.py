"""One call to Customer.io under the magnifying glass: what is asked, what came back, and what it means (rows K1 to K7).

The call is made as it is, once: past the gate, which keeps workers back and not a person who looks, and past our own
rate limit, which one call does not hurt.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from requests import PreparedRequest

from cio_tasks.customerio.calls import Call, Version, as_call, identify, track
from cio_tasks.customerio.limits import encode
from cio_tasks.customerio.replies import read_reply
from cio_tasks.customerio.track import Operation
from cio_tasks.customerio.transport import REQUEST_ID_HEADER, Anonymous, Auth, Reply, Transport
from cio_tasks.diagnostics.bounded import within
from cio_tasks.diagnostics.input_checks import check_operation
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.errors import ConfigurationError
from cio_tasks.findings import Finding, Severity, worst_first
from cio_tasks.outcomes import Delivered, Outcome, Rejected, RetryLater
from cio_tasks.settings import Settings

USER_AGENT: Final = "ciosync-debug/0.1"
SPARE: Final = timedelta(seconds=1)
"""What a call may take beyond its deadline, which a name server does not know."""
INVALID_INPUT: Final = "invalid_input"
"""The code of a call that was not made, because it would certainly be refused."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what became of it. Neither reply nor outcome: it was only prepared.

    Holds credentials and personal data; `shown` tells it.
    """

    call: Call
    request: PreparedRequest
    person: str | None = None
    checks: list[Finding] = field(default_factory=list)
    reply: Reply | None = None
    outcome: Outcome | None = None

    @property
    def request_id(self) -> str:
        """The id that we gave to the request; Customer.io sends none."""
        return self.request.headers[REQUEST_ID_HEADER]

    def shown(self, mask: Mask, *, site_id: str | None) -> dict[str, Any]:
        """Return it in the shape that scripts rely on, with durations in milliseconds."""
        reply = self.reply
        return {
            "success": None if self.outcome is None else isinstance(self.outcome, Delivered),
            "latency": None if reply is None else milliseconds(reply.elapsed),
            "requestId": self.request_id,
            "request": self._shown_request(mask, site_id),
            "response": {
                "status": reply.status if reply else None,
                "body": _shown_body(reply, mask),
                "headers": {} if reply is None else mask.headers(reply.headers, site_id=None),
            },
            "error": _shown_error(self.outcome, mask),
            "timings": shown_timings(reply),
            "issues": [finding.as_issue for finding in self.checks],
            "dryRun": self.outcome is None,
        }

    def _shown_request(self, mask: Mask, site_id: str | None) -> dict[str, Any]:
        return {
            "method": self.call.method,
            "url": mask.url(self.request.url or "", self.person),
            "headers": mask.headers(self.request.headers, site_id=site_id),
            "body": mask.value(self.call.document),
        }


def transport_of(settings: Settings, *, timeout: timedelta) -> Transport:
    """Return a transport to the Track API; without credentials (mock mode) its requests carry none."""
    return Transport(settings.track_url, auth=track_auth(settings), total=timeout, user_agent=USER_AGENT)


def track_auth(settings: Settings) -> Auth:
    """Return the Track credentials of the settings, or none."""
    if settings.customerio_site_id is None or settings.customerio_api_key is None:
        return Anonymous()
    return settings.customerio_site_id.get_secret_value(), settings.customerio_api_key.get_secret_value()


def prepare_identify(transport: Transport, person: str, attributes: dict[str, Any], version: Version) -> Exchange:
    """Return the checked request that identifies a person with these attributes.

    Raises:
        ValueError: when a value is no JSON, such as half a character.
    """
    return _prepare(transport, person, identify(person, attributes), version)


def prepare_track(transport: Transport, person: str, name: str, data: dict[str, Any], version: Version) -> Exchange:
    """Return the checked request that tracks an event of a person.

    Raises:
        ValueError: when a value is no JSON, such as half a character.
    """
    return _prepare(transport, person, track(person, name, data), version)


def _prepare(transport: Transport, person: str, operation: Operation, version: Version) -> Exchange:
    checks = worst_first(check_operation(person, operation, version))
    return prepare(transport, as_call(person, operation, version), person=person, checks=checks)


def prepare(transport: Transport, call: Call, *, person: str | None = None, checks: Sequence[Finding] = ()) -> Exchange:
    """Return a call as the request that would be sent.

    Raises:
        ValueError: when the document is no JSON.
        ConfigurationError: when the address is impossible.
    """
    body = None if call.document is None else encode(call.document)
    try:
        request = transport.prepare(call.method, call.path, body)
    except ValueError as error:
        raise ConfigurationError("CUSTOMERIO_TRACK_URL is no address that can be called") from error
    return Exchange(call, request, person, list(checks))


def refuse(exchange: Exchange) -> Exchange | None:
    """Return the exchange as refused by ourselves, when a check is certain that Customer.io would; otherwise None."""
    for finding in exchange.checks:
        if finding.severity is Severity.HIGH:
            return _with(exchange, None, Rejected(INVALID_INPUT, finding.message))
    return None


def make(transport: Transport, exchange: Exchange, *, timeout: timedelta) -> Exchange:
    """Make the call, once, and return the exchange with its reply; whatever happens is in it."""
    try:
        reply = within(timeout + SPARE, lambda: transport.perform(exchange.request), name="debug call")
    except TimeoutError:
        reply = Reply(exchange.request_id, timeout + SPARE, failure="timeout")
    return _with(exchange, reply, read_reply(reply, size=1).of(0))


def _with(exchange: Exchange, reply: Reply | None, outcome: Outcome) -> Exchange:
    return Exchange(exchange.call, exchange.request, exchange.person, exchange.checks, reply, outcome)


def milliseconds(duration: timedelta) -> float:
    """Return a duration in milliseconds, to the tenth."""
    return round(duration.total_seconds() * 1000, 1)


def shown_timings(reply: Reply | None) -> dict[str, float | None] | None:
    """Return the parts of a call in milliseconds, or None when nothing was sent."""
    if reply is None or reply.timings is None:
        return None
    timings = reply.timings
    parts = {
        "dnsMs": timings.dns,
        "connectMs": timings.connect,
        "tlsMs": timings.tls,
        "firstByteMs": timings.first_byte,
        "totalMs": timings.total,
    }
    return {name: None if part is None else milliseconds(part) for name, part in parts.items()}


def read_document(reply: Reply) -> Any:
    """Return the body as JSON, or as the text that it is; None when it is empty."""
    text = reply.body.decode(errors="replace").strip()
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _shown_body(reply: Reply | None, mask: Mask) -> Any:
    return None if reply is None else mask.value(read_document(reply))


def _shown_error(outcome: Outcome | None, mask: Mask) -> dict[str, Any] | None:
    match outcome:
        case Rejected():
            wait = None
        case RetryLater():
            wait = outcome.retry_after
        case _:
            return None
    details = {
        "errorType": outcome.error_type.value,
        "status": outcome.http_status,
        "retryable": isinstance(outcome, RetryLater),
        "retryAfter": None if wait is None else wait.total_seconds(),
    }
    return {"code": outcome.code, "message": mask.text(outcome.detail), "details": details}
