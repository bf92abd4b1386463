"""`ciosync debug`: one real call to Customer.io, shown whole."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import click

from cio_tasks.cli.arguments import filled
from cio_tasks.cli.assignments import assignments
from cio_tasks.cli.campaign import campaign
from cio_tasks.cli.config import load_settings
from cio_tasks.cli.exchanges import Telling, finding_lines
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.tree import Tree
from cio_tasks.customerio.calls import Version
from cio_tasks.customerio.transport import Transport
from cio_tasks.diagnostics.credentials import CredentialsReport, check_credentials, prepare_region
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.requests import Exchange, make, prepare_identify, prepare_track, refuse, transport_of
from cio_tasks.errors import ConfigurationError
from cio_tasks.findings import Severity, reaches
from cio_tasks.outcomes import Delivered
from cio_tasks.settings import TOTAL_DEADLINE, Settings

F = TypeVar("F", bound=Callable[..., Any])
ACCEPTED: Final = "✓ the credentials are accepted"


@click.group(cls=Tree, epilog=examples("ciosync debug auth", "ciosync debug identify u_1042 -a plan=pro --dry-run"))
def debug() -> None:
    """Make one real call to Customer.io and show all of it: request, answer, times, and what is odd about it.

    Secrets are masked, e-mail addresses too unless --reveal. Nothing is retried.
    """


debug.add_command(campaign)


def _call_options(function: F) -> F:
    """Give a command the options of all that make a call."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show the request and the checks, and send nothing."),
        click.option("--reveal", is_flag=True, help="Show personal data. Secrets stay masked."),
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 60),
            default=TOTAL_DEADLINE.total_seconds(),
            show_default=True,
            help="Seconds until the call is given up.",
        ),
    ):
        function = option(function)
    return function


def _write_options(function: F) -> F:
    """Give a command the options of the calls that write."""
    version = click.option(
        "--api", type=click.Choice(["v1", "v2"]), default="v1", show_default=True, help="v2 is a batch of one."
    )
    return version(_call_options(function))


@debug.command(
    epilog=examples(
        "ciosync debug identify u_1042 -a email=ada@example.com -a plan=pro --dry-run",
        'ciosync debug identify u_1042 -a visits=3 -a \'zip:="01234"\' -a \'tags:=["a","b"]\'',
        "ciosync debug identify u_1042 -a plan=pro --api v2 --json | jq .response",
    )
)
@click.argument("person", metavar="ID", callback=filled)
@assignments("-a", "--attribute", "attributes")
@_write_options
@answers
@pass_output
def identify(output: Output, /, *, person: str, attributes: dict[str, Any], api: Version, **options: Any) -> None:
    """Create or update the person ID: this writes to the workspace, by exactly one call.

    ID is taken as Customer.io takes it: your id, an e-mail address, or its own cio_… id.
    """
    _debug_write(output, lambda transport: prepare_identify(transport, person, attributes, api), **options)


@debug.command(
    epilog=examples(
        "ciosync debug track u_1042 signup_submitted -d operator_id=op-1 --dry-run",
        "ciosync debug track u_1042 purchase -d amount=25.5 -d 'items:=[1,2]'",
        "ciosync debug track u_1042 purchase --json | jq .timings",
    )
)
@click.argument("person", metavar="ID", callback=filled)
@click.argument("event", callback=filled)
@assignments("-d", "--data", "data")
@_write_options
@answers
@pass_output
def track(output: Output, /, *, person: str, event: str, data: dict[str, Any], api: Version, **options: Any) -> None:
    """Record EVENT for the person ID: this writes to the workspace, by exactly one call, and may set off campaigns.

    A second run is a second event.
    """
    _debug_write(output, lambda transport: prepare_track(transport, person, event, data, api), **options)


def _debug_write(
    output: Output, prepare: Callable[[Transport], Exchange], *, dry_run: bool, reveal: bool, timeout: float
) -> None:
    settings, limit = load_settings(), timedelta(seconds=timeout)
    _require_credentials(settings, dry_run=dry_run)
    transport = transport_of(settings, timeout=limit)
    exchange = prepare(transport)
    refused = refuse(exchange)
    if refused is not None:
        exchange = refused
    elif not dry_run:
        exchange = make(transport, exchange, timeout=limit)
    telling = Telling(settings, Mask(settings.secrets, reveal))
    told = {**exchange.shown(telling.mask, site_id=telling.site_id), "region": settings.customerio_region}
    output.result(told, table=[[line] for line in telling.lines(exchange)])
    _end_with(telling.fault(exchange))


@debug.command(epilog=examples("ciosync debug auth", "ciosync debug auth --json | jq .issues"))
@_call_options
@answers
@pass_output
def auth(output: Output, /, *, dry_run: bool, reveal: bool, timeout: float) -> None:
    """Tell whether the credentials work, in which region the account lives, and otherwise which mistake it is.

    Reads only. When the credentials are refused, they are tried in the other region and the other way round.
    """
    settings, limit = load_settings(), timedelta(seconds=timeout)
    _require_credentials(settings, dry_run=dry_run)
    if dry_run:
        report = CredentialsReport(prepare_region(settings, timeout=limit))
    else:
        report = check_credentials(settings, timeout=limit)
    telling = Telling(settings, Mask(settings.secrets, reveal))
    output.result(report.shown(settings, telling.mask), table=[[line] for line in _report_lines(report, telling)])
    _end_with(_fault(report, telling))


def _report_lines(report: CredentialsReport, telling: Telling) -> list[str]:
    lines = [*telling.lines(report.exchange)]
    if report.region is not None:
        lines += [f"{ACCEPTED}: workspace {report.workspace}, region {report.region}"]
    if isinstance(report.app, Delivered):
        lines += ["✓ the App API accepts its key"]
    return [*lines, *finding_lines(report.findings)]


def _fault(report: CredentialsReport, telling: Telling) -> Fault | None:
    """Return the error that the report is: what the Track API said, and what the findings make of it."""
    fault = telling.fault(report.exchange)
    if not reaches(report.findings, Severity.HIGH):
        return fault
    worst = report.findings[0]
    if fault is not None:
        return replace(fault, hint=f"{worst.message}: {worst.next}")
    exit_code = Exit.UNAUTHORIZED if worst.code == "app_key_rejected" else Exit.NO
    return Fault(f"auth.{worst.code}", exit_code, worst.message, "that is what Customer.io answered", worst.next)


def _require_credentials(settings: Settings, *, dry_run: bool) -> None:
    if settings.mock and not dry_run:
        message = "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are not both set: nobody to ask, nothing to debug"
        raise ConfigurationError(message, hint="set them, or only look at the request: --dry-run")


def _end_with(fault: Fault | None) -> None:
    if fault is not None:
        raise CommandFailed(fault)
