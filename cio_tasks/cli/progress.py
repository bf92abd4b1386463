"""How far a long command is: a bar on a terminal, else a line every ten seconds; always on stderr."""

import time
from types import TracebackType
from typing import Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cio_tasks.cli.output import say

LINE_SECONDS: Final = 10.0


class LineProgress:
    """Counts lines of a file whose size may be known. Tells nothing when `quiet`; `tell` is heard all the same."""

    def __init__(self, *, size: int | None, quiet: bool) -> None:
        self._size = size
        self._quiet = quiet
        self._started_at = self._told_at = time.monotonic()
        console = Console(stderr=True)
        shown = "[progress.percentage]{task.percentage:>3.0f} %" if size else ""
        self._bar = Progress(
            BarColumn(),
            TextColumn(shown),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("0 lines", total=size)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, *, lines: int, read: int) -> None:
        """Show that so many lines, which are so many bytes, are done."""
        now = time.monotonic()
        told = f"{lines} lines, {lines / max(now - self._started_at, 0.001):.0f}/s"
        self._bar.update(self._task, completed=read, description=told)
        if self._bar.disable and not self._quiet and now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            say(told + (f", {100 * read // self._size} %" if self._size else ""), err=True)

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar.disable:
            say(line, err=True)
        else:
            self._bar.console.print(click.unstyle(line), markup=False, highlight=False, soft_wrap=True)
