"""`ciosync network`: the way to Customer.io, measured step by step."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import click

from cio_tasks.cli.config import load_settings
from cio_tasks.cli.exchanges import finding_lines
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.latency import in_ms, picture
from cio_tasks.cli.output import GAP, Output, align, answers, examples, pass_output
from cio_tasks.diagnostics.network import measure
from cio_tasks.diagnostics.rate_limit import Probe, Window, probe_limit, probe_size, read_window
from cio_tasks.diagnostics.target_report import TargetReport
from cio_tasks.diagnostics.targets import NAMES, Name, list_targets
from cio_tasks.diagnostics.verdicts import DEFINITE
from cio_tasks.errors import ConfigurationError
from cio_tasks.findings import Finding, Severity
from cio_tasks.outcomes import REDIRECTED
from cio_tasks.settings import Settings

WORST_FIRST: Final = (Exit.NO, Exit.CONFIGURATION, Exit.UNAUTHORIZED, Exit.REFUSED, Exit.TRY_AGAIN)
"""When several targets fail: what trying again helps least is what the run ends with."""


@click.command(
    epilog=examples(
        "ciosync network",
        "ciosync network --host track --count 20",
        "ciosync network --json | jq '.targets[0].http'",
        "ciosync network --host track --probe-limits --allow-writes",
    )
)
@click.option("--host", "hosts", type=click.Choice(NAMES), multiple=True, help="Only this server. Repeatable.")
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="Fresh connections to each.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Seconds for every single step."
)
@click.option("--probe-limits", is_flag=True, help="Also look for Customer.io's own rate limit, by a burst of calls.")
@click.option("--allow-writes", is_flag=True, help="Allow the calls of --probe-limits, which change nobody.")
@click.option("--dry-run", is_flag=True, help="Name what would be asked, and ask nothing.")
@answers
@pass_output
def network(
    output: Output,
    /,
    *,
    hosts: tuple[Name, ...],
    count: int,
    timeout: float,
    probe_limits: bool,
    allow_writes: bool,
    dry_run: bool,
) -> None:
    """Measure name, connection, certificate, answer and times of Customer.io's servers, and our own rate limit.

    Reads only, unless --probe-limits: that identifies one made-up person again and again, who is not created, as many
    times as CIO_RATE_LIMIT allows in a second (200 at most), and stops at the first refusal.
    """
    settings, limit = load_settings(), timedelta(seconds=timeout)
    _check_probe(settings, is_asked=probe_limits, is_allowed=allow_writes or dry_run)
    targets = list_targets(settings, hosts)
    if dry_run:
        _print_plan(output, [f"GET {target.url}{target.path}" for target in targets], count, settings, probe_limits)
        return
    reports = measure(targets, count=count, timeout=limit)
    window = read_window(settings)
    probe = probe_limit(settings, timeout=limit) if probe_limits else None
    lines = [*(line for report in reports for line in _report_lines(report)), *_limit_lines(window, probe)]
    told = {"targets": [report.shown() for report in reports], "rateLimit": _shown_limit(window, probe)}
    output.result(told, table=[[line] for line in lines])
    _end_with(reports)


def _check_probe(settings: Settings, *, is_asked: bool, is_allowed: bool) -> None:
    """Refuse a probe that nobody allowed, or that has nobody to ask.

    Raises:
        UsageError: without `--allow-writes`.
        ConfigurationError: in mock mode.
    """
    if is_asked and not is_allowed:
        calls = probe_size(settings)
        raise click.UsageError(f"--probe-limits makes up to {calls} calls that write: add --allow-writes")
    if is_asked and settings.mock:
        raise ConfigurationError(
            "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are not both set: there is nothing to probe"
        )


def _print_plan(output: Output, asked: list[str], count: int, settings: Settings, probe_limits: bool) -> None:
    calls = probe_size(settings) if probe_limits else 0
    lines = [f"{line}   {count} times, and once more over the same connection" for line in asked]
    lines += [f"{calls} identify calls for somebody who does not exist"] if calls else []
    told = {"dryRun": True, "requests": asked, "count": count, "probeCalls": calls}
    output.result(told, table=[[line] for line in lines])


# --- one target -------------------------------------------------------------------------------------------------------


def _report_lines(report: TargetReport) -> Iterator[str]:
    target = report.target
    yield f"{target.name} {target.host}:{target.port}   {report.verdict}"
    for line in align([*_step_rows(report)]) or []:
        yield f"{GAP}{line}"
    typical = report.typical
    if typical is not None and typical.timings is not None:
        yield from (f"{GAP}{line}" for line in picture(typical.timings))
    yield from (f"{GAP}{line}" for line in finding_lines(report.findings))
    yield ""


def _step_rows(report: TargetReport) -> Iterator[tuple[str, str]]:
    if report.dns is not None:
        yield "dns", f"{in_ms(report.dns)} ms, {', '.join(report.addresses) or report.dns_problem}"
    if report.connections:
        took = f"{in_ms(report.connected[1])} ms" if report.connected else "no connection"
        open_ones = sum(not isinstance(connection, str) for connection in report.connections.values())
        yield "tcp", f"{took}, {open_ones} of {len(report.connections)} addresses"
    if report.handshake is not None:
        yield "tls", _tls_text(report)
    if report.typical is not None:
        yield "http", f"GET {report.target.path} → {report.typical.status or report.typical.failure}"
        yield "rounds", _rounds_text(report)


def _tls_text(report: TargetReport) -> str:
    shown = report.shown()["tls"]
    agreed = f"{shown['version']} {shown['cipher']}" if shown["version"] else str(shown["problem"])
    if shown["notAfter"] is None:
        return agreed
    return f"{agreed}, certificate until {shown['notAfter']} ({shown['daysLeft']} days) by {shown['issuer']}"


def _rounds_text(report: TargetReport) -> str:
    answered = f"{len(report.answered)} of {len(report.rounds)} answered"
    if report.median is None or report.worst is None:
        return answered
    text = f"{answered}, median {in_ms(report.median)} ms, worst {in_ms(report.worst)} ms"
    if report.again is not None and report.is_reused:
        return f"{text}, {in_ms(report.again.elapsed)} ms over a kept connection"
    return text


# --- the rate limit ---------------------------------------------------------------------------------------------------


def _shown_limit(window: Window, probe: Probe | None) -> dict[str, Any]:
    shown = {"limit": window.limit, "used": window.used, "note": window.note}
    return shown if probe is None else {**shown, "probe": probe.shown()}


def _limit_lines(window: Window, probe: Probe | None) -> Iterator[str]:
    used = window.note if window.used is None else f"{window.used} used in the last second"
    yield f"our rate limit   {window.limit} a second, {used}"
    if probe is not None:
        shown = probe.shown()
        found = "no limit met" if probe.limited_after is None else f"limited at call {probe.limited_after}"
        yield f"probe            {probe.requests} calls in {shown['seconds']} s ({shown['perSecond']} a second): {found}"
        if probe.limited_after is not None:
            yield f"{GAP}→ set CIO_RATE_LIMIT below what was reached; asked to wait {shown['retryAfter']:.0f} s"


# --- how it ends ------------------------------------------------------------------------------------------------------


def _end_with(reports: list[TargetReport]) -> None:
    failed = [
        (_exit_of(finding.code), report, finding)
        for report in reports
        for finding in report.findings[:1]
        if finding.severity is Severity.HIGH
    ]
    if failed:
        exit_code, report, finding = min(failed, key=lambda one: WORST_FIRST.index(one[0]))
        raise CommandFailed(_fault(exit_code, report, finding))


def _fault(exit_code: Exit, report: TargetReport, finding: Finding) -> Fault:
    target = report.target
    cause = f"{target.name} at {target.host}:{target.port}, named by {target.setting} or the region"
    return Fault(f"network.{finding.code}", exit_code, finding.message, cause, finding.next)


def _exit_of(code: str) -> Exit:
    if code in DEFINITE:
        return Exit.NO
    if code == REDIRECTED:
        return Exit.CONFIGURATION
    if code in {"http_401", "http_403"}:
        return Exit.UNAUTHORIZED
    if code.startswith("http_4") and code not in {"http_408", "http_429"}:
        return Exit.REFUSED
    return Exit.TRY_AGAIN
