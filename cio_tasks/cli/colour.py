"""Colour, where the result goes to a terminal that shows it: none where it is piped or `NO_COLOR` is set."""

from typing import Final

from rich.console import Console
from rich.text import Text

from cio_tasks.findings import Severity

GOOD: Final = "green"
BAD: Final = "red"
ODD: Final = "yellow"
PLAIN: Final = ""
SEVERITIES: Final = {Severity.HIGH: BAD, Severity.MEDIUM: ODD, Severity.LOW: PLAIN}


def paint(text: str, style: str) -> str:
    """Return a text in this colour if it will be seen: Rich knows the terminal, and what the environment says."""
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(Text(text, style), soft_wrap=True, end="")
    return captured.get()
