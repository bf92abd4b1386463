"""`ciosync incident report`: what happened in a time, with a picture of it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cio_tasks.cli.incident_case import check_free
from cio_tasks.cli.output import GAP, Output, align
from cio_tasks.cli.stores import open_sessions
from cio_tasks.diagnostics.incident.evidence import Tally
from cio_tasks.diagnostics.incident.picture import clock, spark
from cio_tasks.diagnostics.incident.report import Report, read_report
from cio_tasks.diagnostics.incident.severity import percent
from cio_tasks.diagnostics.incident.shapes import cleaned
from cio_tasks.diagnostics.telling import age, counted

Rows = Iterator[tuple[str, ...]]


def run(output: Output, *, since: datetime | timedelta, path: Path | None, yes: bool) -> None:
    """Print the report, or write it to a file as text."""
    check_free(path, yes=yes)
    with open_sessions("incident") as (settings, sessions):
        with sessions() as session:
            found = read_report(session, since)
        told, lines = cleaned(found.shown(), settings.secrets), _lines(found, settings.secrets)
    if path is not None:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        output.note(f"written: {path}")
    shown = lines if path is None else [f"{found.tally.total} attempts, {found.tally.failed} failed: {path}"]
    output.result({**told, "file": None if path is None else str(path)}, table=[[line] for line in shown])


def _lines(report: Report, secrets: tuple[str, ...]) -> list[str]:
    steps = [tally for _, tally in report.steps]
    lines = [
        f"{clock(report.since)} to {clock(report.until)}   {_tally_text(report.tally)}",
        f"attempts  {spark([float(tally.total) for tally in steps])}  {_step_text(report.step)} each",
        f"failed    {spark([tally.share for tally in steps])}  {_highest(steps)}",
    ]
    for title, rows in (
        ("by phase", _tallies(report.by_phase)),
        ("by release", _tallies(report.by_release)),
        ("errors", _groups(report)),
        ("gate", _closures(report)),
        ("dead letters", ((what, str(count)) for what, count in report.letters.items())),
        ("alerts", _alerts(report)),
        ("releases", _releases(report)),
        ("webhooks", ((metric, str(count)) for metric, count in sorted(report.webhooks.items()))),
    ):
        lines += [title, *(f"{GAP}{line}" for line in align(cleaned([*rows], secrets)) or ["none"])]
    return [*lines, f"retries: {report.retries} by the schedule, {report.manual_retries} jobs by hand"]


def _highest(steps: Iterable[Tally]) -> str:
    highest = max((tally.share for tally in steps if tally.share is not None), default=None)
    return "no attempts" if highest is None else f"highest {percent(highest)}"


def _tally_text(tally: Tally) -> str:
    share = f" ({percent(tally.share)})" if tally.share is not None else ""
    return f"{tally.total} attempts, {tally.failed} failed{share}"


def _step_text(step: timedelta) -> str:
    return age(step) if step < timedelta(days=1) else f"{step.days} d"


def _tallies(tallies: Mapping[str, Tally]) -> Rows:
    return ((name, _tally_text(tally)) for name, tally in sorted(tallies.items()))


def _groups(report: Report) -> Rows:
    return (
        (
            f"{group.count} times",
            group.error_type,
            group.status,
            f"{clock(group.first_seen)} to {clock(group.last_seen)}",
        )
        for group in report.groups
    )


def _closures(report: Report) -> Rows:
    for closure in report.closures:
        lasted = f"{closure.lasted(report.since, report.until).total_seconds():.0f} s"
        until = clock(closure.opened_at) or "still closed"
        yield closure.reason, clock(closure.closed_at) or "before", until, lasted, closure.note or "-"


def _alerts(report: Report) -> Rows:
    for alert in report.alerts:
        state = (
            f"firing since {clock(alert.breached_at)}"
            if alert.breached_at
            else f"recovered, told {clock(alert.told_at)}"
        )
        yield alert.name, state, f"value {alert.value}"


def _releases(report: Report) -> Rows:
    return (
        (one.name, counted(one.workers, "worker"), f"first started {clock(one.first_started_at)}")
        for one in report.releases
    )
