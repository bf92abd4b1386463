"""One call to Customer.io as a command tells it: line by line, and as the error that its outcome is."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from cio_tasks.cli.colour import SEVERITIES, paint
from cio_tasks.cli.faults import Exit, Fault
from cio_tasks.cli.latency import in_ms, picture
from cio_tasks.cli.output import GAP, with_next
from cio_tasks.customerio.transport import Reply
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.requests import INVALID_INPUT, Exchange
from cio_tasks.findings import Finding, Severity
from cio_tasks.outcomes import REDIRECTED, Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.redaction import UNSHOWABLE, mask_secret
from cio_tasks.settings import Settings

MARKS: Final = {Severity.HIGH: "✗", Severity.MEDIUM: "!", Severity.LOW: "-"}
NOT_PROOF: Final = "200 means taken, not done: whether it took effect shows in the person's activity log"
NOTHING_ODD: Final = "✓ nothing odd: limits, reserved names, times and e-mail address are fine"
LONGEST_LINE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Telling:
    """How calls are told in one run: as whom we spoke, and what may be shown."""

    settings: Settings
    mask: Mask

    @property
    def site_id(self) -> str | None:
        """The site id, which is shown by its ends."""
        secret = self.settings.customerio_site_id
        return None if secret is None else secret.get_secret_value()

    def lines(self, exchange: Exchange) -> Iterator[str]:
        """Yield request, answer, times and checks."""
        told = exchange.shown(self.mask, site_id=self.site_id)
        yield from self._request_lines(exchange, told["request"])
        yield from finding_lines(exchange.checks)
        if exchange.person is not None and not exchange.checks:
            yield NOTHING_ODD
        if exchange.reply is not None:
            yield ""
            yield from _reply_lines(exchange.reply, told["response"])
        if isinstance(exchange.outcome, Delivered) and exchange.person is not None:
            yield NOT_PROOF

    def _request_lines(self, exchange: Exchange, request: dict[str, Any]) -> Iterator[str]:
        sent = f"region {self.settings.customerio_region}"
        if exchange.reply is None:
            sent += ", dry run: not sent" if exchange.outcome is None else ", not sent"
        yield f"{request['method']} {request['url']}   ({sent})"
        for name, value in request["headers"].items():
            yield f"{name}: {value}"
        if "authorization" not in request["headers"]:
            yield "authorization: none (no credentials are set)"
        if request["body"] is not None:
            yield _json_line(request["body"])

    def fault(self, exchange: Exchange) -> Fault | None:
        """Return the error that the outcome is, or None for a success or a dry run."""
        failure = self._failure(exchange)
        if failure is None:
            return None
        code, exit_code, message, hint = failure
        shown = one_line(self.mask.text(message, limit=500))
        return Fault(code, exit_code, shown, self._cause(exchange), hint, request_id=exchange.request_id)

    def _failure(self, exchange: Exchange) -> tuple[str, Exit, str, str] | None:
        match exchange.outcome:
            case Rejected():
                return self._rejection(exchange.outcome)
            case RetryLater():
                return _setback(exchange.outcome)
        return None

    def _rejection(self, outcome: Rejected) -> tuple[str, Exit, str, str]:
        if outcome.code == INVALID_INPUT:
            return "input.refused", Exit.REFUSED, f"not sent: {outcome.detail}", "the checks above say what to change"
        if outcome.code == REDIRECTED:
            hint = "CUSTOMERIO_REGION or CUSTOMERIO_TRACK_URL is wrong: ciosync debug auth"
            return "region.redirected", Exit.CONFIGURATION, f"{outcome.detail} ({outcome.http_status})", hint
        if outcome.http_status == HTTPStatus.UNAUTHORIZED:
            site = f"for site {mask_secret(self.site_id)} " if self.site_id else ""
            message = f"Customer.io rejected the credentials (401) {site}in region {self.settings.customerio_region}"
            return "auth.rejected", Exit.UNAUTHORIZED, message, "which mistake it is: ciosync debug auth"
        if outcome.http_status == HTTPStatus.FORBIDDEN:
            message = "Customer.io does not let these credentials do this (403)"
            return "auth.forbidden", Exit.UNAUTHORIZED, message, "look at the key's rights in the workspace"
        return "request.refused", Exit.REFUSED, outcome.detail, "change what is sent: it would be refused again"

    def _cause(self, exchange: Exchange) -> str:
        path = self.mask.url(exchange.request.path_url, exchange.person)
        asked, reply = f"{exchange.call.method} {path}", exchange.reply
        if reply is None:
            return f"{asked} was not sent"
        return f"{asked} → {reply.status or reply.failure} in {in_ms(reply.elapsed)} ms"


def _setback(outcome: RetryLater) -> tuple[str, Exit, str, str]:
    match outcome.error_type:
        case ErrorType.RATE_LIMIT:
            seconds = outcome.retry_after.total_seconds() if outcome.retry_after else 0
            message = f"{outcome.detail}: too many requests, wait {seconds:.0f} s"
            return "rate_limit", Exit.TRY_AGAIN, message, "how much of our own limit is used: ciosync network"
        case ErrorType.SERVER_ERROR:
            return "server.error", Exit.TRY_AGAIN, outcome.detail, "Customer.io's status page, then try again"
    hint = "where it fails, name, connection, certificate or answer: ciosync network"
    return f"network.{outcome.code}", Exit.TRY_AGAIN, outcome.detail, hint


def _reply_lines(reply: Reply, response: dict[str, Any]) -> Iterator[str]:
    if reply.status is None:
        yield f"no answer: {reply.failure}, after {in_ms(reply.elapsed)} ms"
    else:
        yield f"{reply.status} {_phrase(reply.status)} in {in_ms(reply.elapsed)} ms"
        body = response["body"]
        yield one_line(body) if isinstance(body, str) else _json_line(body)
    if reply.timings is not None:
        yield from picture(reply.timings)


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield each finding with what to do about it."""
    for finding in findings:
        marked = f"{paint(MARKS[finding.severity], SEVERITIES[finding.severity])} {finding.message}"
        yield from with_next(marked, finding.next, indent=len(GAP))


def one_line(text: str) -> str:
    """Return text that moves no cursor, and no more of it than a person reads."""
    line = UNSHOWABLE.sub(" ", text)
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… ({len(line)} characters, --json shows all)"


def _json_line(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in {known.value for known in HTTPStatus} else ""
