"""`ciosync fake serve`: the stand-in Customer.io, in the foreground."""

import threading
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError

from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.tree import Tree
from cio_tasks.fake import CAST, FakeCustomerIO, Scenario
from cio_tasks.processes import exit_on
from cio_tasks.settings import set_values

PORT: Final = 8025


@click.group(cls=Tree, epilog=examples("ciosync fake serve", "ciosync fake serve --port 0 --json"))
def fake() -> None:
    """Stand in for Customer.io on this machine."""


def _credential(name: str, otherwise: str) -> Any:
    """Return the default of an option: what the environment says, so that both sides agree without arguments."""
    return lambda: set_values().get(name, otherwise)


def _read_scenario(_ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Scenario | None:
    if path is None:
        return None
    try:
        return Scenario.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
        raise click.BadParameter("; ".join(faults)) from None


@fake.command(
    epilog=examples(
        "ciosync fake serve",
        "ciosync fake serve --port 0 --json --ledger ledger.jsonl",
        "CUSTOMERIO_TRACK_URL=http://127.0.0.1:8025 ciosync dev",
        "CUSTOMERIO_APP_API_KEY=app-key CUSTOMERIO_APP_URL=http://127.0.0.1:8025 ciosync investigate cast-bounced",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes one that is free."
)
@click.option(
    "--site-id", default=_credential("CUSTOMERIO_SITE_ID", "site"), show_default="CUSTOMERIO_SITE_ID, or site"
)
@click.option("--api-key", default=_credential("CUSTOMERIO_API_KEY", "key"), show_default="CUSTOMERIO_API_KEY, or key")
@click.option(
    "--app-api-key",
    default=_credential("CUSTOMERIO_APP_API_KEY", "app-key"),
    show_default="CUSTOMERIO_APP_API_KEY, or app-key",
)
@click.option("--region", type=click.Choice(["us", "eu"]), default="us", show_default=True)
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Append every request to this file.")
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_read_scenario,
    help="A JSON file that says how badly to behave: the fields of cio_tasks.fake.Scenario.",
)
@click.option(
    "--cast/--no-cast",
    default=True,
    show_default=True,
    help="Begin with people who have a history, such as cast-fine, cast-bounced and cast-complained, and campaigns 1-4.",
)
@answers
@pass_output
def serve(output: Output, /, *, ledger: Path | None, cast: bool, **options: Any) -> None:
    """Serve Track API v1 and v2, App API and status page until Ctrl-C, and print the address.

    People with a tag in their address bring their own faults: ann+429x2@example.com is refused twice. What was asked
    is at /_fake/ledger; more histories go to /_fake/histories.
    """
    histories = CAST if cast else None
    with exit_on(), FakeCustomerIO(ledger_path=ledger, histories=histories, **options) as server:
        output.result({"url": server.url}, table=[[server.url]])
        output.note("a stand-in Customer.io is listening; Ctrl-C stops it")
        threading.Event().wait()
