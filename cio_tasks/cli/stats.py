"""`ciosync stats`: how many jobs stand where."""

import time
from dataclasses import asdict
from typing import Any

import click

from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.rows import plain, span
from cio_tasks.cli.stores import open_sessions
from cio_tasks.stats import GateState, Stats, read_stats


@click.command(epilog=examples("ciosync stats", "ciosync stats --watch 5", "ciosync stats --json | jq .byPhase"))
@click.option("--watch", type=click.FloatRange(min=0.5), metavar="SECONDS", help="Show them again and again.")
@answers
@pass_output
def stats(output: Output, *, watch: float | None) -> None:
    """Count all jobs by status and phase, exactly and at one instant, and tell whether the gate is open."""
    with open_sessions("stats") as (settings, sessions):
        while True:
            with sessions() as session:
                found = read_stats(session, stuck_after=settings.stuck_after)
            output.result(_as_json(found), table=_table(found))
            if watch is None:
                return
            output.note("")
            time.sleep(watch)


def gate_row(gate: GateState) -> dict[str, Any]:
    """Return the gate as the contract names its parts."""
    reasons = [
        {
            "reason": one.reason,
            "closedAt": plain(one.closed_at),
            "closedUntil": plain(one.closed_until),
            "note": one.note,
            "actor": one.actor,
        }
        for one in gate.reasons
    ]
    return {"open": gate.open, "reasons": reasons}


def describe_gate(gate: GateState) -> str:
    """Return the gate in a few words."""
    if gate.open:
        return "open"
    return "closed: " + "; ".join(f"{one.reason} ({one.note or 'no note'})" for one in gate.reasons)


def _as_json(found: Stats) -> dict[str, Any]:
    return {
        "pending": found.pending,
        "processing": found.processing,
        "completed": found.completed,
        "failed": found.failed,
        "stuck": found.stuck,
        "deadLetters": found.dead_letters,
        "oldestDueSeconds": found.oldest_due_seconds,
        "byPhase": {phase: asdict(counts) for phase, counts in found.by_phase.items()},
        "gate": gate_row(found.gate),
    }


def _table(found: Stats) -> list[tuple[object, ...]]:
    oldest = "nothing is due" if found.oldest_due_seconds is None else f"{span(found.oldest_due_seconds)} overdue"
    phases = [(phase, *asdict(counts).values(), "") for phase, counts in found.by_phase.items()]
    return [
        ("", "pending", "processing", "completed", "failed", ""),
        *phases,
        ("all", found.pending, found.processing, found.completed, found.failed, ""),
        ("", oldest, f"stuck {found.stuck}", "", f"dead letters {found.dead_letters}", ""),
        ("gate", describe_gate(found.gate), "", "", "", ""),
    ]
