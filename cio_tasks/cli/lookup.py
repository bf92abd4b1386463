"""The options of the commands that look somebody or something up on both sides."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
SHORTEST, LONGEST = 0.5, 300
USUAL: Final = 20.0


def lookup_options(function: F) -> F:
    """Give a command the options that say when an issue fails it, how long it may take, and what it may show."""
    for option in (
        click.option("--reveal", is_flag=True, help="Show personal data. Secrets stay masked."),
        click.option(
            "--within",
            type=click.FloatRange(SHORTEST, LONGEST),
            default=USUAL,
            show_default=True,
            help="Seconds for all questions together; what is not answered then is left out.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice(["high", "medium", "low"]),
            help="End with 1 when an issue is as bad as this.",
        ),
    ):
        function = option(function)
    return function
