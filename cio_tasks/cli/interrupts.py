"""Ctrl-C while something is being stored: that is finished first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Within the `with` block Ctrl-C ends the command at once, but inside `finishing` only after that block.

    A second Ctrl-C does not wait. Main thread only; where Ctrl-C is ignored it stays ignored.
    """

    def __init__(self) -> None:
        self._is_finishing = False
        self._is_asked = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Run the body to its end, then raise KeyboardInterrupt if Ctrl-C was pressed meanwhile."""
        self._is_finishing = True
        try:
            yield
        finally:
            self._is_finishing = False
        if self._is_asked:
            raise KeyboardInterrupt

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_finishing or self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True
