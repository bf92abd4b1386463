"""`ciosync debug campaign`: why a campaign does not send. The work is loaded when it is asked for."""

from importlib import import_module
from typing import Any

import click

from cio_tasks.cli.arguments import filled
from cio_tasks.cli.lookup import lookup_options
from cio_tasks.cli.output import Output, answers, examples, pass_output


@click.command(
    epilog=examples(
        "ciosync debug campaign 17",
        "ciosync debug campaign 17 --user ada@example.com",
        "ciosync debug campaign 17 --json | jq .issues",
    )
)
@click.argument("campaign_id", metavar="ID", type=click.IntRange(min=1))
@click.option(
    "--user",
    metavar="USER",
    callback=filled,
    help="Also say what keeps this person out; named as in ciosync investigate.",
)
@lookup_options
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many of the newest messages."
)
@answers
@pass_output
def campaign(output: Output, /, **asked: Any) -> None:
    """Show the campaign ID, its trigger, audience and numbers, and whether we send what starts it. Reads only.

    It needs CUSTOMERIO_APP_API_KEY; with DATABASE_URL it also knows when we last sent its event.
    """
    import_module("cio_tasks.cli.campaign_report").answer(output, **asked)
