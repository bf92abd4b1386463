"""`ciosync investigate`: why somebody does not get what they should. The work is loaded when it is asked for."""

from importlib import import_module
from typing import Any

import click

from cio_tasks.cli.arguments import filled
from cio_tasks.cli.lookup import lookup_options
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
@click.option("--id", "by_id", is_flag=True, help="USER is Customer.io's id, which is our customer's.")
@click.option("--email", "by_email", is_flag=True, help="USER is an e-mail address.")
@click.option("--signup", "by_signup", is_flag=True, help="USER is the id of a signup of ours.")
@lookup_options
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Events and messages to read."
)
@answers
@pass_output
def investigate(output: Output, /, *, by_id: bool, by_email: bool, by_signup: bool, **asked: Any) -> None:
    """Ask Customer.io and our own database about USER, and say what is wrong and what to do next. Reads only.

    USER is taken as it looks: an e-mail address, Customer.io's cio_… id, the id that our customers have there, or the
    id of a signup. What cannot be reached is named and left out.
    """
    kinds = [kind for kind, is_said in (("id", by_id), ("email", by_email), ("signup", by_signup)) if is_said]
    if len(kinds) > 1:
        said = " and ".join(f"--{kind}" for kind in kinds)
        raise click.UsageError(f"{said} contradict each other", click.get_current_context())
    import_module("cio_tasks.cli.person").answer(output, kind=next(iter(kinds), None), **asked)
