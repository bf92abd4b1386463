"""Where a webhook is posted: an address that is checked first, four seconds to answer, and what the answer means."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import click

from cio_tasks.cli.asking import confirm
from cio_tasks.cli.faults import Exit, Fault
from cio_tasks.customerio.transport import Anonymous, Reply, Transport

BUDGET: Final = timedelta(seconds=4)
"""What Customer.io gives a receiver (its OpenAPI file for reporting webhooks, timeouts and failures)."""
USER_AGENT: Final = "ciosync-webhook/0.1"
HOUR_STATUSES: Final = frozenset({400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521})
"""After these Customer.io waits for an hour; failures to connect count as well (the same file)."""
TEMPORARY: Final = frozenset({408, 425, 429})
FOR_ONE_HOP: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers of the connection on which a webhook came, not of the webhook."""


@dataclass(frozen=True, slots=True)
class Target:
    """An http address that holds no credentials."""

    url: str

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a key."""
        return self.url.partition("?")[0]

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.url).path or "/"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine for certain: `localhost`, or an address of the loopback."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def confirm(self, *, yes: bool) -> None:
        """Ask before a webhook, which holds personal data, goes to another machine.

        Raises:
            UsageError: when there is nobody to ask.
            Abort: when the answer is no.
        """
        if self.is_local or yes:
            return
        confirm(f"{self.shown} is not on this machine, and webhooks hold personal data. Send there?", yes=False)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post a body with these headers, in all within four seconds; redirects are not followed."""
        transport = Transport(self.url, auth=Anonymous(), total=BUDGET, user_agent=USER_AGENT)
        try:
            request = transport.prepare("POST", "", body)
            request.headers.update({name: value for name, value in headers.items() if name.lower() not in FOR_ONE_HOP})
            return transport.perform(request)
        finally:
            transport.close()


def read_target(_ctx: click.Context, _parameter: click.Parameter, url: str | None) -> Target | None:
    """Turn the text of an option into a target.

    Raises:
        BadParameter: saying what is wrong with it, without repeating it.
    """
    if url is None:
        return None
    if fault := _fault_of(url):
        raise click.BadParameter(fault)
    return Target(url)


def _fault_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not an address"
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "it must start with http:// or https:// and name a host"
    if parts.username is not None or parts.password is not None:
        return "it must not hold credentials: arguments can be read by others"
    return "it must not have a fragment" if parts.fragment else None


def is_taken(reply: Reply) -> bool:
    """Tell whether Customer.io would count the webhook as delivered: any 2xx."""
    return reply.status is not None and HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES


def outcome(reply: Reply) -> str:
    """Return the answer in a word or two: `200`, `timeout`, `connection refused`."""
    return str(reply.status) if reply.status is not None else str(reply.failure).replace("_", " ")


def milliseconds(reply: Reply) -> float:
    """Return how long it took, to the tenth of a millisecond."""
    return round(reply.elapsed.total_seconds() * 1000, 1)


def consequence(reply: Reply) -> str | None:
    """Return what Customer.io would do about an answer, and what to do about that; None for a good one."""
    if is_taken(reply):
        return None
    if reply.failure == "timeout":
        return "Customer.io would now block this queue and retry  ← answer first, work later"
    if reply.status is None or reply.status in HOUR_STATUSES:
        return "Customer.io would wait for an hour and hold back all that follow"
    return "Customer.io would retry soon and hold back all that follow until then"


def fault_of(reply: Reply, target: Target) -> Fault | None:
    """Return the error that an answer is to a command, or None for a good one."""
    if is_taken(reply):
        return None
    status = reply.status
    cause = f"POST {target.shown} → {outcome(reply)} in {milliseconds(reply)} ms"
    hint = consequence(reply) or ""
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        hint = "does the receiver have the same secret? ciosync webhook verify explains a signature"
        return Fault(
            "webhook.unauthorized", Exit.UNAUTHORIZED, f"the receiver refused the signature ({status})", cause, hint
        )
    if status is None:
        return Fault("webhook.unanswered", Exit.TRY_AGAIN, "the receiver gave no answer", cause, hint)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TEMPORARY:
        return Fault("webhook.failed", Exit.TRY_AGAIN, f"the receiver failed ({status})", cause, hint)
    return Fault("webhook.refused", Exit.REFUSED, f"the receiver did not take the webhook ({status})", cause, hint)
