"""What was seen of one server, and the shape in which scripts get it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from cio_tasks.customerio.transport import Reply
from cio_tasks.diagnostics.requests import milliseconds
from cio_tasks.diagnostics.targets import Target
from cio_tasks.diagnostics.tls import Handshake
from cio_tasks.findings import Finding, Severity


@dataclass
class TargetReport:
    """A step that was not reached, or not needed, has left nothing."""

    target: Target
    via_proxy: bool = False
    addresses: list[str] = field(default_factory=list)
    dns: timedelta | None = None
    dns_problem: str | None = None
    connections: dict[str, timedelta | str] = field(default_factory=dict)
    """By address: how long it took, or the word for why there is none."""
    handshake: Handshake | None = None
    rounds: list[Reply] = field(default_factory=list)
    """The first requests of fresh connections."""
    again: Reply | None = None
    """A second request, for which the connection of the first should have been kept."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def connected(self) -> tuple[str, timedelta] | None:
        """The first address that took a connection, and after how long."""
        took = ((address, took) for address, took in self.connections.items() if isinstance(took, timedelta))
        return next(took, None)

    @property
    def answered(self) -> list[Reply]:
        """The rounds that got an answer, whatever it says."""
        return [reply for reply in self.rounds if reply.status is not None]

    @property
    def median(self) -> timedelta | None:
        """The middle of what the answered rounds took in all."""
        seconds = [reply.elapsed.total_seconds() for reply in self.answered]
        return timedelta(seconds=median(seconds)) if seconds else None

    @property
    def worst(self) -> timedelta | None:
        """The longest that any round took, answered or not."""
        return max((reply.elapsed for reply in self.rounds), default=None)

    @property
    def typical(self) -> Reply | None:
        """The answered round nearest to the median, or the last one when none was answered."""
        middle = self.median
        if middle is None:
            return self.rounds[-1] if self.rounds else None
        return min(self.answered, key=lambda reply: abs(reply.elapsed - middle))

    @property
    def is_reused(self) -> bool:
        """Whether a second request went over the connection of the first."""
        return self.again is not None and self.again.timings is not None and self.again.timings.reused

    @property
    def verdict(self) -> str:
        """`ok`, or the word of the worst finding that is more than a note."""
        serious = [finding for finding in self.findings if finding.severity is not Severity.LOW]
        return serious[0].code if serious else "ok"

    def shown(self) -> dict[str, Any]:
        """Return the shape for scripts, with durations in milliseconds."""
        return {
            "name": self.target.name,
            "host": self.target.host,
            "port": self.target.port,
            "viaProxy": self.via_proxy,
            "addresses": self.addresses,
            "dnsMs": _in_ms(self.dns),
            "tcpMs": _in_ms(self.connected[1] if self.connected else None),
            "connections": {address: _shown_connection(took) for address, took in self.connections.items()},
            "tls": None if self.handshake is None else _shown_handshake(self.handshake),
            "http": self._shown_http(),
            "verdict": self.verdict,
            "issues": [finding.as_issue for finding in self.findings],
        }

    def _shown_http(self) -> dict[str, Any] | None:
        typical = self.typical
        if typical is None:
            return None
        return {
            "method": "GET",
            "path": self.target.path,
            "status": typical.status,
            "failure": typical.failure,
            "ttfbMs": _in_ms(typical.timings.first_byte if typical.timings else None),
            "totalMs": _in_ms(typical.elapsed),
            "reused": self.is_reused,
            "reusedMs": _in_ms(self.again.elapsed if self.again and self.is_reused else None),
            "rounds": len(self.rounds),
            "answered": len(self.answered),
            "medianMs": _in_ms(self.median),
            "worstMs": _in_ms(self.worst),
        }


def _in_ms(duration: timedelta | None) -> float | None:
    return None if duration is None else milliseconds(duration)


def _shown_connection(took: timedelta | str) -> dict[str, Any]:
    return {"problem": took} if isinstance(took, str) else {"ms": milliseconds(took)}


def _shown_handshake(handshake: Handshake) -> dict[str, Any]:
    certificate = handshake.certificate
    return {
        "version": handshake.version,
        "cipher": handshake.cipher,
        "notAfter": certificate.not_after.date().isoformat() if certificate else None,
        "daysLeft": certificate.days_left(datetime.now(UTC)) if certificate else None,
        "issuer": certificate.issuer if certificate else None,
        "names": [*certificate.names] if certificate else [],
        "problem": handshake.problem,
    }
