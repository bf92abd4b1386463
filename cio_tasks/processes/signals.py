"""Ends that Python does not unwind for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never


@contextmanager
def exit_on(*signals: signal.Signals) -> Iterator[None]:
    """Within the context these signals (by default SIGTERM and SIGHUP) raise SystemExit(128 + number).

    Without it `kill PID` or a closed terminal ends Python on the spot, and every `with` around a server is skipped.
    What is ignored stays so: that is how `nohup` works. Main thread only.
    """
    chosen = signals or (signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in chosen if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _exit) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> Never:
    raise SystemExit(128 + number)
