"""`ciosync version`."""

import platform
from importlib.metadata import version as version_of

import click

from cio_tasks.cli.output import Output, answers, examples, pass_output


@click.command(epilog=examples("ciosync version", "ciosync version --json"))
@answers
@pass_output
def version(output: Output) -> None:
    """Print the versions of ciosync and Python, and the platform."""
    output.result(
        {"version": version_of("ciosync"), "python": platform.python_version(), "platform": platform.platform()}
    )
