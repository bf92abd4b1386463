"""`ciosync incident sheet`: five questions, and the note. What was answered is never lost."""

import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from cio_tasks.cli.incident_case import check_free, open_case
from cio_tasks.cli.incident_runbook import take_telling
from cio_tasks.cli.output import Output, say
from cio_tasks.diagnostics.incident.shapes import cleaned
from cio_tasks.diagnostics.incident.sheet import QUESTIONS, Note, markdown, read_moments
from cio_tasks.diagnostics.incident.steps import Case

AGAIN: Final = "ciosync incident sheet"


def run(output: Output, *, path: Path | None, given: Mapping[str, str], yes: bool, each: timedelta) -> None:
    """Ask for what was not given, measure, and write the note."""
    check_free(path, yes=yes)
    answers = dict(given)
    try:
        _ask(answers)
        _write(output, path, answers, each)
    except (click.Abort, KeyboardInterrupt):
        _keep(answers, path)
        raise


def _ask(answers: dict[str, str]) -> None:
    """Fill in the answers, one by one.

    Raises:
        UsageError: when nobody is there to ask.
        Abort: on Ctrl-C and at the end of the input.
    """
    missing = [row for row in QUESTIONS if row not in answers]
    if missing and not (sys.stdin.isatty() and sys.stderr.isatty()):
        options = " ".join(f"--answer {row}=…" for row in missing)
        raise click.UsageError(f"nobody is there to ask: add {options}", click.get_current_context())
    for row in missing:
        answers[row] = str(click.prompt(f"{row} {QUESTIONS[row][1]}", err=True)).strip()


def _write(output: Output, path: Path | None, answers: Mapping[str, str], each: timedelta) -> None:
    output.note("gathering evidence…")
    with open_case("incident", each=each) as case:
        note = _note(output, case, answers)
    secrets = case.settings.secrets
    told, text = cleaned(note.shown(), secrets), _cleaned_page(note, secrets)
    if path is not None:
        path.write_text(text, encoding="utf-8")
        output.note(f"written: {path}")
    lines = text.splitlines() if path is None else [f"{note.verdict.level} {note.verdict.level.meaning}: {path}"]
    output.result({**told, "file": None if path is None else str(path)}, table=[[line] for line in lines])


def _note(output: Output, case: Case, answers: Mapping[str, str]) -> Note:
    taken = tuple(take_telling(output, case, case.verdict.level))
    safe = {row: str(cleaned(answers[row], case.settings.secrets)) for row in QUESTIONS}
    return Note(datetime.now(UTC), safe, case.verdict, case.evidence, taken, read_moments(case))


def _cleaned_page(note: Note, secrets: tuple[str, ...]) -> str:
    """Return the page with every line fit to show, its indentation and empty lines kept."""
    return "".join(f"{cleaned(line, secrets)}\n" for line in markdown(note).splitlines())


def _keep(answers: Mapping[str, str], path: Path | None) -> None:
    """Print the command that goes on with what was answered."""
    words = [word for row, text in sorted(answers.items()) for word in ("--answer", f"{row}={cleaned(text, ())}")]
    words += ["-o", str(path)] if path is not None else []
    say(f"\nnot written; go on with: {AGAIN} {shlex.join(words)}", err=True)
