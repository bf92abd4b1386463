"""A report of the checks on a terminal: by title, a mark before each check and its fix behind it."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from cio_tasks.checks import Check, Group, Report, Status
from cio_tasks.checks.running import run_checks
from cio_tasks.checks.spans import many
from cio_tasks.cli.output import Output, say
from cio_tasks.settings import Settings

TITLES: Final = {
    Group.CONFIG: "Configuration",
    Group.DATABASE: "Stores",
    Group.REDIS: "Stores",
    Group.CELERY: "Celery",
    Group.BEAT: "Celery",
    Group.QUEUE: "Deliveries",
    Group.GATE: "Deliveries",
    Group.CUSTOMERIO: "Customer.io",
    Group.WEBHOOK: "Webhooks",
    Group.CLOCK: "Clocks",
}
NAMED: Final = frozenset({Group.BEAT, Group.QUEUE, Group.GATE})
"""Groups whose messages need their name, since their title has several."""
MARKS: Final = {Status.OK: "✓", Status.WARN: "!", Status.FAIL: "✗", Status.SKIP: "\N{EN DASH}"}
PLAIN_MARKS: Final = {Status.OK: "ok", Status.WARN: "!", Status.FAIL: "FAIL", Status.SKIP: "-"}
"""For a terminal that cannot show the others, which would all become the same one."""
STYLES: Final = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red", Status.SKIP: ""}
MESSAGE_WIDTH: Final = 56


def examine(
    output: Output, settings: Settings, groups: tuple[Group, ...], *, timeout: timedelta, strict: bool
) -> Report:
    """Run these checks, print what was found and return it."""
    report = run_checks(settings, only=groups, timeout=timeout)
    if output.as_json:
        output.result(report.as_json(strict=strict))
    else:
        _print(report, settings)
    return report


def _print(report: Report, settings: Settings) -> None:
    """Print through the console that decides about colour: none where it is piped or `NO_COLOR` is set."""
    console = Console(highlight=False)
    with console.capture() as captured:
        for line in _lines(report, settings):
            console.print(line, soft_wrap=True)
    say(captured.get().removesuffix("\n"))


def _lines(report: Report, settings: Settings) -> Iterator[Text]:
    for title, checks in groupby(report.checks, lambda check: TITLES[check.group]):
        place = f" ({settings.customerio_region})" if title == TITLES[Group.CUSTOMERIO] else ""
        yield Text(f"{title}{place}")
        yield from map(_line, checks)
    yield Text(_summary(report))


def _line(check: Check) -> Text:
    mark = _marks()[check.status]
    message = f"{check.group}: {check.message}" if check.group in NAMED else check.message
    line = Text.assemble("  [", (mark, STYLES[check.status]), f"] {message}")
    if check.fix:
        line.pad_right(max(MESSAGE_WIDTH - len(message), 0))
        line.append(f" → {check.fix}")
    return line


def _marks() -> dict[Status, str]:
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return PLAIN_MARKS
    return MARKS


def _summary(report: Report) -> str:
    failures, warnings = report.count(Status.FAIL), report.count(Status.WARN)
    told = [many(count, noun) for count, noun in ((failures, "failure"), (warnings, "warning")) if count]
    return ", ".join(told) or "everything that was looked at is well"
