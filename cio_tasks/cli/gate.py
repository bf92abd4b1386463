"""`ciosync gate`: whether deliveries may run, and an operator's closing and opening."""

from datetime import timedelta

import click

from cio_tasks import operations
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.rows import plain
from cio_tasks.cli.stats import gate_row
from cio_tasks.cli.stores import name_actor, open_sessions
from cio_tasks.cli.tree import Tree
from cio_tasks.db import Sessions
from cio_tasks.gate import Reason
from cio_tasks.stats import GateState, read_gate


@click.group(
    cls=Tree, epilog=examples("ciosync gate show", "ciosync gate close --reason 'a migration'", "ciosync gate open")
)
def gate() -> None:
    """Look at the gate, stop all deliveries, or let them run again."""


@gate.command(epilog=examples("ciosync gate show", "ciosync gate show --json | jq .open"))
@answers
@pass_output
def show(output: Output) -> None:
    """Tell whether deliveries may run, and what stops them."""
    with open_sessions("gate") as (_, sessions):
        _print(output, _read(sessions))


@gate.command(
    epilog=examples("ciosync gate close --reason 'a migration' --seconds 600", "ciosync gate close --reason incident")
)
@click.option("--reason", required=True, help="Why, for everybody who finds it closed (at most 200 characters).")
@click.option("--seconds", type=click.IntRange(1, 30 * 86_400), help="For how long; else until somebody opens it.")
@click.option("--dry-run", is_flag=True, help="Show the gate as it is, and change nothing.")
@answers
@pass_output
def close(output: Output, *, reason: str, seconds: int | None, dry_run: bool) -> None:
    """Stop all deliveries. What is on its way is finished, nothing is spent or lost, and new signups wait."""
    if not reason.strip():
        raise click.BadParameter("must say something", param_hint="--reason")
    wait = None if seconds is None else timedelta(seconds=seconds)
    with open_sessions("gate") as (_, sessions):
        if not dry_run:
            operations.close_gate(sessions, actor=name_actor(), note=reason.strip(), wait=wait)
        _print(output, _read(sessions))


@gate.command(name="open", epilog=examples("ciosync gate open", "ciosync gate open --reason auth"))
@click.option(
    "--reason",
    "reasons",
    type=click.Choice([reason.value for reason in Reason]),
    multiple=True,
    help="Only this one; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show the gate as it is, and change nothing.")
@answers
@pass_output
def open_up(output: Output, *, reasons: tuple[Reason, ...], dry_run: bool) -> None:
    """Let deliveries run again, whatever stopped them. What is still wrong closes the gate again by itself."""
    with open_sessions("gate") as (_, sessions):
        if not dry_run:
            wanted = [Reason(reason) for reason in reasons] or None
            opened = operations.open_gate(sessions, actor=name_actor(), reasons=wanted)
            output.note(f"opened: {', '.join(opened)}" if opened else "nothing was closed")
        _print(output, _read(sessions))


def _read(sessions: Sessions) -> GateState:
    with sessions() as session:
        return read_gate(session)


def _print(output: Output, state: GateState) -> None:
    rows = [
        (one.reason, plain(one.closed_at), plain(one.closed_until) or "until opened", one.actor, one.note)
        for one in state.reasons
    ]
    closed = [("closed by", "since", "until", "who", "why"), *rows]
    output.result(gate_row(state), table=[("open",)] if state.open else closed)
