"""`ciosync incident runbook`: the steps one after the other, and what each found."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from cio_tasks.cli.colour import BAD, GOOD, ODD, paint
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.incident_case import open_case
from cio_tasks.cli.output import GAP, Output
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.runbook import RUNBOOKS, failed_steps, shown_runbook, take_steps
from cio_tasks.diagnostics.incident.shapes import cleaned
from cio_tasks.diagnostics.incident.steps import NOTHING, Case, Taken, human

MARKS: Final = {"pass": "✓", "fail": "✗", "human": "?"}
STYLES: Final = {"pass": GOOD, "fail": BAD, "human": ODD}
NO_RUNBOOK: Final = "No incident: no runbook is called for. One by name: ciosync incident runbook P1"
UNTAKEN: Final = human("not looked at", "take the steps: ciosync incident runbook")


def run(output: Output, *, level: str | None, check: bool, each: timedelta) -> None:
    """Print what the steps found, and fail when one did."""
    if not check and level is not None:
        _print_steps(output, Level(level.upper()))
        return
    output.note("gathering evidence…")
    with open_case("incident", each=each) as case:
        chosen = case.verdict.level if level is None else Level(level.upper())
        if level is None and chosen is not Level.NONE:
            output.note(f"{chosen} {chosen.meaning}: {cleaned(case.verdict.reasons[0], case.settings.secrets)}")
        taken = [*take_telling(output, case, chosen)] if check else []
    if not check:
        _print_steps(output, chosen)
        return
    told = cleaned(shown_runbook(chosen, taken), case.settings.secrets)
    output.result(told, table=[[line] for line in _lines(chosen, told["steps"])])
    _end_with(taken, case.settings.secrets)


def take_telling(output: Output, case: Case, level: Level) -> Iterator[Taken]:
    """Take the steps, and tell on stderr which one is done."""
    for taken in take_steps(case, level):
        output.note(f"{taken.step.id} {taken.step.title}: {taken.result.status}")
        yield taken


def _print_steps(output: Output, level: Level) -> None:
    """Print what the steps are, for a person to take: to scripts each is one that nobody has looked at."""
    steps = RUNBOOKS[level]
    lines = [_heading(level, steps), *(f"{GAP}{step.id} {step.title}" for step in steps)]
    lines += [f"take them: ciosync incident runbook {level}"] if steps else []
    output.result(shown_runbook(level, [Taken(step, UNTAKEN) for step in steps]), table=[[line] for line in lines])


def _lines(level: Level, steps: Sequence[dict[str, str]]) -> Iterator[str]:
    yield _heading(level, steps)
    for step in steps:
        yield f"{paint(MARKS[step['status']], STYLES[step['status']])} {step['id']} {step['title']}"
        yield f"{GAP}{GAP}{step['evidence']}"
        if step["next"] != NOTHING:
            yield f"{GAP}{GAP}→ {step['next']}"


def _heading(level: Level, steps: Sequence[object]) -> str:
    return f"{level} {level.meaning}" if steps else NO_RUNBOOK


def _end_with(taken: Sequence[Taken], secrets: tuple[str, ...]) -> None:
    amiss = failed_steps(taken)
    if amiss:
        message = f"{len(amiss)} of {len(taken)} steps failed: {', '.join(one.step.id for one in amiss)}"
        cause, hint = (cleaned(text, secrets) for text in (amiss[0].result.evidence, amiss[0].result.next))
        raise CommandFailed(Fault("incident.step_failed", Exit.NO, message, cause, hint))
