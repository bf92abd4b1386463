"""What the measurements of one server mean, and what to do about it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from cio_tasks.customerio.replies import read_reply
from cio_tasks.customerio.transport import Reply
from cio_tasks.diagnostics.requests import milliseconds
from cio_tasks.diagnostics.target_report import TargetReport
from cio_tasks.findings import Finding, Severity, worst_first
from cio_tasks.outcomes import UNAUTHORIZED, Delivered, Rejected, RetryLater

EXPIRES_SOON_DAYS: Final = 14
SLOW: Final = timedelta(seconds=1)
"""A median above this is worth a look: a delivery has 15 seconds, and a worker waits for each."""
DEFINITE: Final = frozenset(
    {
        "certificate_expired",
        "certificate_not_yet_valid",
        "certificate_self_signed",
        "certificate_untrusted",
        "certificate_wrong_name",
        "tls_failed",
        "tls_not_spoken",
    }
)
"""Verdicts that trying again does not change."""

DNS: Final = {
    "dns_failed": ("the name is not known", "is {setting} spelt right? is this machine's name server the right one?"),
    "dns_timeout": (
        "the name server does not answer",
        "look at this machine's name servers and the firewall before them",
    ),
}
CONNECTION: Final = {
    "connection_refused": ("the connection is refused", "nothing listens there: check {setting}, and the firewall"),
    "connection_timeout": ("connections are not answered", "a firewall drops them: let port {port} out"),
    "unreachable": ("there is no route to it", "look at this machine's network, its routes and its firewall"),
    "connection_failed": ("the connection fails", "look at this machine's network, and at {setting}"),
}
TLS: Final = {
    "certificate_expired": ("its certificate has expired", "if it is Customer.io's, look at its status page"),
    "certificate_not_yet_valid": ("its certificate is not valid yet", "is this machine's clock right?"),
    "certificate_self_signed": ("its certificate is signed by itself", "who answers there? {proxy}"),
    "certificate_untrusted": ("nobody trusted has signed its certificate", "who answers there? {proxy}"),
    "certificate_wrong_name": ("its certificate is for another name", "is {setting} right? who answers there?"),
    "tls_not_spoken": ("TLS is not spoken there", "is it http instead of https, or another port? check {setting}"),
    "tls_reset": ("the connection is broken off during the handshake", "a firewall that forbids the name does that"),
    "tls_timeout": ("the handshake does not end", "try again; a firewall that inspects TLS does that too"),
    "tls_failed": ("the handshake fails", "does something between here and there speak an old TLS?"),
}
PROXY_HINT: Final = "a proxy that inspects TLS needs its authority in REQUESTS_CA_BUNDLE"


def judge(report: TargetReport) -> TargetReport:
    """Return the report with its findings, the worst first.

    What nothing depends on is at most of severity medium.
    """
    found = [*_steps(report), *_certificate_findings(report), *_answer_findings(report), *_time_findings(report)]
    if not report.target.is_needed:
        found = [replace(one, severity=Severity.MEDIUM) if one.severity is Severity.HIGH else one for one in found]
    report.findings = worst_first(found)
    return report


# --- name, connection, handshake --------------------------------------------------------------------------------------


def _steps(report: TargetReport) -> Iterator[Finding]:
    """Yield what stopped the steps before the question."""
    if report.via_proxy:
        message = "calls go through a proxy, so name, connection and certificate are its business"
        yield Finding(Severity.LOW, "via_proxy", message, "is that meant? the environment says so: HTTPS_PROXY")
    if report.dns_problem is not None:
        yield _broken(report, report.dns_problem, DNS)
    broken = [took for took in report.connections.values() if isinstance(took, str)]
    if broken and not report.connected:
        yield _broken(report, broken[0], CONNECTION)
    elif broken:
        is_slow = "connection_timeout" in broken
        message = f"{len(broken)} of {len(report.connections)} addresses take no connection ({', '.join({*broken})})"
        what_next = "calls that meet one of them are slow: look at the routes, often it is IPv6"
        if not is_slow:
            what_next = "the next address is tried at once, so this costs nothing; often it is IPv6"
        yield Finding(Severity.MEDIUM if is_slow else Severity.LOW, "some_addresses_fail", message, what_next)
    if report.handshake is not None and report.handshake.problem is not None:
        yield _broken(report, report.handshake.problem, TLS)


def _broken(report: TargetReport, code: str, texts: dict[str, tuple[str, str]]) -> Finding:
    message, what_next = texts[code]
    target = report.target
    said = what_next.format(setting=target.setting, port=target.port, proxy=PROXY_HINT)
    return Finding(Severity.HIGH, code, f"{target.host}: {message}", said)


def _certificate_findings(report: TargetReport) -> Iterator[Finding]:
    certificate = report.handshake.certificate if report.handshake else None
    if certificate is None or (report.handshake and report.handshake.problem):
        return
    days = certificate.days_left(datetime.now(UTC))
    if days < EXPIRES_SOON_DAYS:
        message = f"the certificate ends in {days} days, on {certificate.not_after.date()}"
        yield Finding(Severity.MEDIUM, "certificate_expires_soon", message, "whoever runs that server has to renew it")


# --- the answer -------------------------------------------------------------------------------------------------------


def _answer_findings(report: TargetReport) -> Iterator[Finding]:
    if not report.rounds:
        return
    silent = [reply for reply in report.rounds if reply.status is None]
    if not report.answered:
        code = silent[-1].failure or "no_answer"
        what_next = "the server is there and does not answer: look at the status page, then try again"
        yield Finding(Severity.HIGH, code, f"{report.target.host}: no answer to any request ({code})", what_next)
        return
    if silent:
        message = f"{len(silent)} of {len(report.rounds)} requests got no answer ({silent[0].failure})"
        yield Finding(Severity.MEDIUM, "unsteady", message, "look at the status page, and for losses on the way there")
    yield from _outcome_findings(report, report.answered[-1])


def _outcome_findings(report: TargetReport, reply: Reply) -> Iterator[Finding]:
    """Yield what the answer itself says; a 401 to a question without credentials is all that could be hoped for."""
    outcome = read_reply(reply, size=0).outcome
    if reply.status == HTTPStatus.UNAUTHORIZED and report.target.expects_401:
        return
    match outcome:
        case Delivered():
            return
        case Rejected(code=code):
            what_next = "which mistake it is: ciosync debug auth"
            if code != UNAUTHORIZED:
                what_next = f"is {report.target.setting} the right address, and the region? ciosync debug auth"
            yield Finding(Severity.HIGH, code, f"{report.target.host} answers, and refuses: {reply.status}", what_next)
        case RetryLater(code=code):
            what_next = "try again, and look at the status page"
            if code == "not_customerio":
                what_next = f"check {report.target.setting}; a login page of the network in between answers so"
            yield Finding(
                Severity.HIGH, code, f"{report.target.host} answers, but not as it should ({code})", what_next
            )


# --- time -------------------------------------------------------------------------------------------------------------


def _time_findings(report: TargetReport) -> Iterator[Finding]:
    middle, typical = report.median, report.typical
    if middle is None or typical is None:
        return
    if middle > SLOW:
        part, what_next = _slowest_part(report, typical)
        message = f"half of the requests take longer than {milliseconds(middle):.0f} ms, most of it for {part}"
        yield Finding(Severity.MEDIUM, "high_latency", message, what_next)
    if report.again is not None and report.again.status is not None and not report.is_reused:
        message = "the connection is closed after each answer, so every call pays for a new one"
        yield Finding(Severity.LOW, "no_reuse", message, "a proxy in between may be set to do that")


def _slowest_part(report: TargetReport, reply: Reply) -> tuple[str, str]:
    """Return what takes longest, in words, and what helps against it (row Q6)."""
    timings = reply.timings
    if timings is None:
        return "the whole", "try again"
    none = timedelta(0)
    opening = (timings.connect or none) + (timings.tls or none)
    parts = {
        ("the name", "look at this machine's name server; a local cache helps"): timings.dns or none,
        (
            "the connection",
            "keep connections: workers do, a process for each call does not; and run nearer to the region",
        ): opening,
        ("the answer", f"{report.target.host} itself is slow: look at the status page"): timings.waiting or none,
        ("the body", "the line is slow, or something holds the answer back"): timings.body or none,
    }
    return max(parts, key=lambda words: parts[words])
