"""How results are shown: one object, as a table for people or as a line of JSON for scripts; and the shape of commands."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, TypeVar

import click

GAP: Final = "  "
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Output:
    """How this run answers."""

    as_json: bool = False

    def result(self, answer: Mapping[str, Any], *, table: Sequence[Sequence[object]] | None = None) -> None:
        """Print the result: `answer` as JSON, or `table` (by default the names and values of `answer`) as text."""
        if self.as_json:
            say(json.dumps(answer))
            return
        for line in align(table if table is not None else [*answer.items()]):
            say(line)

    def note(self, line: str) -> None:
        """Tell a person something beside the result, on stderr; with `--json` nobody is told."""
        if not self.as_json:
            say(line, err=True)


pass_output = click.make_pass_decorator(Output, ensure=True)


def say(line: str, *, err: bool = False) -> None:
    """Print a line. A reader who has gone away, as `head` does, is no error."""
    try:
        click.echo(line, err=err)
    except BrokenPipeError:
        _close(sys.stderr if err else sys.stdout)


def align(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return rows as lines with their columns aligned."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def with_next(line: str, step: str, *, indent: int) -> Iterator[str]:
    """Yield a line with what to do about it: behind it, or below it where a terminal is too narrow for both."""
    together = f"{line}{GAP}→ {step}"
    if not sys.stdout.isatty() or len(click.unstyle(together)) <= shutil.get_terminal_size().columns:
        yield together
    else:
        yield line.rstrip()
        yield f"{'':<{indent}}→ {step}"


def keep_streams_quiet() -> None:
    """Let a terminal that cannot show a character show another, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _close(stream: IO[str]) -> None:
    """Send what is left, and what the interpreter flushes at the end, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


# --- the shape of commands --------------------------------------------------------------------------------------------


def answers(function: F) -> F:
    """Give a command the options of all that print a result: `--json` and `--debug`."""

    def remember(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        ctx.ensure_object(Output).as_json |= value

    function = click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="Print the result as JSON."
    )(function)
    return may_debug(function)


def may_debug(function: F) -> F:
    """Give a command the option `--debug`, which `Root.main` reads."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show where an error was raised.")(function)


def examples(*lines: str) -> str:
    """Return the epilog of a command: its examples, one a line."""
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)
