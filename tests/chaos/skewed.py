"""`python skewed.py SECONDS -m MODULE …`: run a module in a process whose clock is wrong by so many seconds."""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import time_machine

HOW: Final = str(Path(__file__).resolve())


def skewed_by(seconds: float) -> list[str]:
    """Return the beginning of a command, to be followed by `-m` and a module."""
    return [sys.executable, HOW, str(seconds)]


def main() -> None:
    """Set the clock wrong, and be the module from then on."""
    _, seconds, _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    sys.path[0] = ""  # where `python -m` looks first, and not where this file lies
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(seconds)), tick=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
