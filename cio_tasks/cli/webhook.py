"""`ciosync webhook`: reporting webhooks checked, signed, received and sent. Each command is loaded when it is called."""

from importlib import import_module
from typing import Final

import click

from cio_tasks.cli.output import examples
from cio_tasks.cli.tree import Tree

COMMANDS: Final = ("verify", "sign", "listen", "send")


class WebhookTree(Tree):
    """A group whose command `<name>` is in the module `cio_tasks.cli.webhook_<name>`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in the order of the help."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Load and return a command, or None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"cio_tasks.cli.webhook_{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=WebhookTree,
    epilog=examples(
        "ciosync webhook verify --body body.json --timestamp 1795300000 --signature 5f0c…",
        "ciosync webhook listen --forward-to http://127.0.0.1:5000/api/v1/webhooks/customerio",
    ),
)
def webhook() -> None:
    """Check, sign, receive and send the webhooks in which Customer.io reports what became of messages."""
