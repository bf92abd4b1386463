"""`ciosync investigate`: why somebody does not get what they should. The work is loaded when it is asked for."""

from importlib import import_module
from typing import Any

import click

from cio_tasks.cli.arguments import filled
from cio_tasks.cli.output import Output, answers, examples, pass_output


@click.command(
    epilog=examples(
        "ciosync investigate 01980c1d-…",
        "ciosync investigate ada@example.com --reveal",
        "ciosync investigate 01980c1d-… --signup --json | jq .issues",
        "ciosync investigate cio_03000001 --fail-on high",
    )
)
@click.argument("user", metavar="USER", callback=filled)
@click.option("--id", "kind", flag_value="id", help="USER is Customer.io's id, which is our customer's.")
@click.option("--email", "kind", flag_value="email", help="USER is an e-mail address.")
@click.option("--signup", "kind", flag_value="signup", help="USER is the id of a signup of ours.")
@click.option(
    "--fail-on", type=click.Choice(["high", "medium", "low"]), help="End with 1 when an issue is as bad as this."
)
@click.option(
    "--within",
    type=click.FloatRange(0.5, 300),
    default=20.0,
    show_default=True,
    help="Seconds for all questions together; what is not answered then is left out.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Events and messages to read."
)
@click.option("--reveal", is_flag=True, help="Show personal data. Secrets stay masked.")
@answers
@pass_output
def investigate(output: Output, /, **asked: Any) -> None:
    """Ask Customer.io and our own database about USER, and say what is wrong and what to do next. Reads only.

    USER is taken as it looks: an e-mail address, Customer.io's cio_… id, the id that our customers have there, or the
    id of a signup. What cannot be reached is named and left out.
    """
    import_module("cio_tasks.cli.person").answer(output, **asked)
