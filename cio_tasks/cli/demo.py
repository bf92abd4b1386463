"""`ciosync demo`: the whole system on this machine, watched at work, and an account of every signup at the end."""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import click
from rich.console import Console

from cio_tasks import events
from cio_tasks.cli import board
from cio_tasks.cli.reconciliation import Reconciliation, reconcile
from cio_tasks.cli.sample import Sender, Submitted, sample_path
from cio_tasks.cli.stack import Stack, local_stack
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.processes import exit_on
from cio_tasks.queries import JobCounts, count_jobs
from cio_tasks.settings import Role, set_values

TIME_SCALE: Final = "0.02"
"""The whole retry schedule, 3905 s, in 78 s."""
POLL_SECONDS: Final = 0.25
DEFAULTS: Final = {"CIO_TIME_SCALE": TIME_SCALE, "CIO_STUCK_AFTER": "31"}
"""A job held by a worker that was killed comes back soon enough to be watched."""
OUTSIDE: Final = ("DATABASE_URL", "REDIS_URL", "CUSTOMERIO_SITE_ID")
DEFAULT_STATE: Final = Path(".state/demo")


@click.command(
    epilog="Examples:  ciosync demo   ·   ciosync demo --no-serve   ·   ciosync demo --limit 100 --time-scale 0.01"
)
@click.option("--serve/--no-serve", default=True, help="Keep everything running after the summary, until Ctrl-C.")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own signups.")
@click.option("--limit", type=click.IntRange(min=1), help="Submit only the first N lines.")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help=f"What all waits are multiplied by; otherwise CIO_TIME_SCALE, or {TIME_SCALE}.",
)
@click.option("--timeout", default=600, show_default=True, type=click.IntRange(min=1), help="Give up after N seconds.")
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_STATE, show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask before the sample signups go where the environment says.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def demo(
    *,
    serve: bool,
    path: Path | None,
    limit: int | None,
    time_scale: float | None,
    timeout: int,
    state_dir: Path,
    yes: bool,
    as_json: bool,
) -> None:
    """Run everything on this machine and watch 1,000 sample signups reach Customer.io.

    Starts a real Postgres and Valkey, a stand-in Customer.io that fails now and then, worker, beat and API; submits the
    signups over HTTP, confirms their extractions, waits until each job is completed or in the dead letters, and checks
    the result against the stand-in's own ledger. Exits with 1 when a job is neither.
    """
    own = {**DEFAULTS, **set_values()}
    if time_scale is not None:
        own["CIO_TIME_SCALE"] = str(time_scale)
    outside = [name for name in OUTSIDE if name in own]
    if outside and not yes:
        _confirm(outside)
    console = board.make_console()
    console.print(
        "[bold]ciosync demo[/]: everything on 127.0.0.1, nothing leaves this machine"
        if not outside
        else "[bold]ciosync demo[/]"
    )
    events.listen(board.process_teller(console))
    with exit_on(), local_stack(state_dir, own, fresh=True, tell=board.teller(console)) as stack:
        account, submitted = _run(stack, console, path or sample_path(), limit=limit, timeout=timeout)
        board.print_summary(account, submitted, as_json=as_json)
        if serve:
            board.print_addresses(console, stack)
            threading.Event().wait()
    sys.exit(1 if account.unfinished or account.faults else 0)


def _confirm(outside: Sequence[str]) -> None:
    """Ask before sample signups go anywhere but to our own servers.

    Raises:
        UsageError: when there is nobody to ask.
    """
    names = ", ".join(outside)
    if not sys.stdin.isatty():
        raise click.UsageError(f"{names} set: the sample signups would go there. Add --yes, or unset it.")
    click.confirm(f"{names} set: put 1,000 sample signups there?", abort=True, err=True)


def _run(
    stack: Stack, console: Console, path: Path, *, limit: int | None, timeout: int
) -> tuple[Reconciliation, Submitted]:
    """Submit, watch, and account for it."""
    engine = make_engine(stack.settings.required_database_url(), application="ciosync demo")
    sessions = make_sessions(engine)
    sender = Sender(stack.api_url, stack.tokens[Role.APP])
    with board.watching(console, lambda: _counts(sessions)) as watch:
        submitted = sender.send_all(path, limit=limit, on_line=watch.line_sent)
        watch.all_sent()
        _wait_until_done(sessions, submitted, timeout)
    with sessions() as session:
        account = reconcile(
            session, submitted.signup_ids, confirmed=len(submitted.confirmed_ids), fake_url=stack.fake_url
        )
    engine.dispose()
    return account, submitted


def _counts(sessions: Sessions, signup_ids: set[UUID] | None = None) -> JobCounts:
    with sessions() as session:
        return count_jobs(session, signup_ids)


def _wait_until_done(sessions: Sessions, submitted: Submitted, timeout: int) -> None:
    until = time.monotonic() + timeout
    while _counts(sessions, submitted.signup_ids).unfinished and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
