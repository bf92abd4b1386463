"""`ciosync` on a terminal of its own, for what people alone get: colour, progress and questions."""

import os
import pty
import subprocess
from typing import Literal, NamedTuple

from tests.cli.conftest import CIOSYNC, CommandLine

LOOKS = {"TERM": "xterm", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}


class Shown(NamedTuple):
    """How a run ended, and what stood on the terminal."""

    code: int
    text: str


def on_terminal(
    cli: CommandLine, *arguments: str, stream: Literal["stdout", "stderr"], typed: str = "", **environment: str
) -> Shown:
    """Run a command line whose `stream` is a terminal, and its input too when something is typed there."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    with subprocess.Popen(
        [CIOSYNC, *arguments],
        env={**cli.environment, **LOOKS, **environment},
        stdin=theirs if typed else subprocess.DEVNULL,
        stdout=theirs if stream == "stdout" else subprocess.DEVNULL,
        stderr=theirs if stream == "stderr" else subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        text = b"".join(iter(lambda: _read(ours), b"")).decode(errors="replace")
        code = process.wait(60)
    os.close(ours)
    return Shown(code, text)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux's way to say that the other side is closed
        return b""
