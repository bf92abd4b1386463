"""A report of the checks on a terminal: by title, a mark before each check and its fix behind it."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from typing import Final

import click

from cio_tasks.checks import Check, Group, Report, Status
from cio_tasks.checks.running import run_checks
from cio_tasks.checks.spans import many
from cio_tasks.cli.colour import BAD, GOOD, ODD, PLAIN, paint
from cio_tasks.cli.output import Output, say, with_next
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
STYLES: Final = {Status.OK: GOOD, Status.WARN: ODD, Status.FAIL: BAD, Status.SKIP: PLAIN}
MESSAGE_WIDTH: Final = 56


def examine(
    output: Output, settings: Settings, groups: tuple[Group, ...], *, timeout: timedelta, strict: bool
) -> Report:
    """Run these checks, print what was found and return it."""
    report = run_checks(settings, only=groups, timeout=timeout)
    if output.as_json:
        output.result(report.as_json(strict=strict))
    else:
        for line in _lines(report, settings):
            say(line)
    return report


def _lines(report: Report, settings: Settings) -> Iterator[str]:
    for title, checks in groupby(report.checks, lambda check: TITLES[check.group]):
        place = f" ({settings.customerio_region})" if title == TITLES[Group.CUSTOMERIO] else ""
        yield f"{title}{place}"
        for check in checks:
            yield from _check_lines(check)
    yield _summary(report)


def _check_lines(check: Check) -> Iterator[str]:
    message = f"{check.group}: {check.message}" if check.group in NAMED else check.message
    marked = f"  [{paint(_marks()[check.status], STYLES[check.status])}] "
    if check.fix:
        yield from with_next(f"{marked}{message:<{MESSAGE_WIDTH}}", check.fix, indent=len(click.unstyle(marked)))
    else:
        yield f"{marked}{message}"


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
