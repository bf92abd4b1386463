"""Asking before something that cannot be taken back; where nobody can answer, an option has to say yes."""

import sys
from typing import Final

import click

from cio_tasks.cli.output import say

DECLINED: Final = "nothing was done"


def confirm(question: str, *, yes: bool) -> None:
    """Return when the answer is yes.

    Raises:
        UsageError: when nobody is there to ask and `--yes` was not given.
        Abort: when the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question} Nobody is there to ask: add --yes", click.get_current_context())
    if not click.confirm(question, err=True):
        say(DECLINED, err=True)
        raise click.Abort
