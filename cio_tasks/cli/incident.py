"""`ciosync incident`: how bad it is, what to look at, the note and the report. The work is loaded when it is called for."""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cio_tasks.cli.incident_words import Answers, Since
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.tree import Tree

F = TypeVar("F", bound=Callable[..., Any])
LEVELS: Final = ("P1", "P2", "P3", "P4")


def _work(name: str) -> Any:
    """Return the module that does the work: it needs the database's library, of which help can do without."""
    return import_module(f"cio_tasks.cli.incident_{name}")


@click.group(
    cls=Tree,
    epilog=examples(
        "ciosync incident severity --explain",
        "ciosync incident runbook",
        "ciosync incident sheet -o note.md",
        "ciosync incident report --since 2h",
    ),
)
def incident() -> None:
    """Tell how severe an incident is and why, go through its runbook, and write down what happened. Only reads.

    P1: nothing gets through. P2: more than 5 % of the attempts fail. P3: mail bounces or is called spam. P4: reports of
    Customer.io do not come in.
    """


def _patience(function: F) -> F:
    """Give a command the option that says how long each question may take."""
    return click.option(
        "--timeout", type=click.FloatRange(0.1, 60), default=4.0, show_default=True, help="Seconds for every question."
    )(function)


@incident.command(
    epilog=examples(
        "ciosync incident severity --explain",
        "ciosync incident severity --fail-on P2",
        "ciosync incident severity --json | jq .reasons",
    )
)
@click.option("--explain", is_flag=True, help="Show the evidence too.")
@click.option("--fail-on", type=click.Choice(LEVELS), help="End with 1 when it is as bad as this, or worse.")
@_patience
@answers
@pass_output
def severity(output: Output, *, explain: bool, fail_on: str | None, timeout: float) -> None:
    """Gather evidence and say how severe it is, why, and why not worse. What nobody answered is told as unknown."""
    _work("severity").run(output, explain=explain, fail_on=fail_on, each=timedelta(seconds=timeout))


@incident.command(
    epilog=examples(
        "ciosync incident runbook P1",
        "ciosync incident runbook",
        "ciosync incident runbook P2 --json | jq '.steps[] | select(.status==\"fail\")'",
    )
)
@click.argument("level", metavar="[P1|P2|P3|P4]", type=click.Choice(LEVELS, case_sensitive=False), required=False)
@click.option("--check/--no-check", default=True, help="Take the steps (the default), or only list them.")
@_patience
@answers
@pass_output
def runbook(output: Output, *, level: str | None, check: bool, timeout: float) -> None:
    """Take the steps of a runbook, by default the one for the severity found. Nothing is changed.

    Each step ends as pass, fail, or human: then a person has to look or decide. Ends with 1 when a step fails.
    """
    _work("runbook").run(output, level=level, check=check, each=timedelta(seconds=timeout))


@incident.command(
    epilog=examples(
        "ciosync incident sheet -o note.md",
        "ciosync incident sheet --answer 'J1=signups arrive' --answer 'J2=none do' --answer J3=9:40 --answer J4=all "
        "--answer J5=consistent",
    )
)
@click.option("-o", "--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="The file; else on stdout.")
@click.option("--answer", "given", type=Answers(), multiple=True, help="J1=… to J5=…; repeatable. The rest is asked.")
@click.option("--yes", is_flag=True, help="Replace the file if it is there.")
@click.option("--dry-run", is_flag=True, help="Show the note, and write no file.")
@_patience
@answers
@pass_output
def sheet(
    output: Output,
    *,
    path: Path | None,
    given: tuple[tuple[str, str], ...],
    yes: bool,
    dry_run: bool,
    timeout: float,
) -> None:
    """Ask what is wrong, and write a note with the answers, the severity, the runbook and a timeline.

    J1 what should happen, J2 what happens, J3 since when, J4 how many users or messages, J5 consistent or intermittent.
    """
    target = None if dry_run else path
    _work("sheet").run(output, path=target, given=dict(given), yes=yes, each=timedelta(seconds=timeout))


@incident.command(
    epilog=examples(
        "ciosync incident report --since 2h",
        "ciosync incident report --since 2026-11-01T09:30:00Z -o report.txt",
        "ciosync incident report --json | jq .groups",
    )
)
@click.option(
    "--since", type=Since(), default="2h", show_default=True, help="An age (30m, 2h, 7d) or a time (ISO 8601)."
)
@click.option("-o", "--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="The file; else on stdout.")
@click.option("--yes", is_flag=True, help="Replace the file if it is there.")
@answers
@pass_output
def report(output: Output, *, since: datetime | timedelta, path: Path | None, yes: bool) -> None:
    """Tell what happened: attempts and errors by time, closings of the gate, dead letters, releases, webhooks."""
    _work("report").run(output, since=since, path=path, yes=yes)
