"""How far a long command is: on a terminal a bar, or that it is at work; else a line every ten seconds. On stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cio_tasks.cli.output import say

LINE_SECONDS: Final = 10.0


@contextmanager
def working(what: str, *, quiet: bool) -> Iterator[None]:
    """Show on a terminal what is going on while the body runs. Elsewhere, and when `quiet`, nothing is shown."""
    console = Console(stderr=True)
    if quiet or not console.is_interactive:
        yield
        return
    with console.status(what):
        yield


class _Bar:
    """A bar within a `with` block; without a terminal a line now and then; nothing when `quiet`."""

    def __init__(self, *columns: ProgressColumn, description: str, total: int | None, quiet: bool) -> None:
        self._quiet = quiet
        self._started_at = self._told_at = time.monotonic()
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task(description, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _say_now_and_then(self, line: str) -> None:
        now = time.monotonic()
        if self._bar.disable and not self._quiet and now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            say(line, err=True)


class CountProgress(_Bar):
    """Shows how many of `total` are done. Tells nothing when `quiet`."""

    def __init__(self, *, total: int, quiet: bool) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, description="", total=total, quiet=quiet)
        self._total = total

    def update(self, done: int) -> None:
        """Show that so many are done."""
        self._bar.update(self._task, completed=done)
        self._say_now_and_then(f"{done} of {self._total}")


class LineProgress(_Bar):
    """Counts lines of a file whose size may be known. Tells nothing when `quiet`; `tell` is heard all the same."""

    def __init__(self, *, size: int | None, quiet: bool) -> None:
        share = TextColumn("[progress.percentage]{task.percentage:>3.0f} %" if size else "")
        columns = (BarColumn(), share, TextColumn("{task.description}"), TimeElapsedColumn())
        super().__init__(*columns, description="0 lines", total=size, quiet=quiet)
        self._size = size

    def update(self, *, lines: int, read: int) -> None:
        """Show that so many lines, which are so many bytes, are done."""
        told = f"{lines} lines, {lines / max(time.monotonic() - self._started_at, 0.001):.0f}/s"
        self._bar.update(self._task, completed=read, description=told)
        self._say_now_and_then(told + (f", {100 * read // self._size} %" if self._size else ""))

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar.disable:
            say(line, err=True)
        else:
            self._bar.console.print(click.unstyle(line), markup=False, highlight=False, soft_wrap=True)
