"""How far something is that is counted in jobs: a bar on a terminal, else a line every ten seconds; on stderr."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from cio_tasks.cli.output import say

LINE_SECONDS: Final = 10.0


class CountProgress:
    """Shows how many of `total` are done. Tells nothing when `quiet`."""

    def __init__(self, *, total: int, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._told_at = time.monotonic()
        console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int) -> None:
        """Show that so many are done."""
        self._bar.update(self._task, completed=done)
        now = time.monotonic()
        if self._bar.disable and not self._quiet and now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            say(f"{done} of {self._total}", err=True)
