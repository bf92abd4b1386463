"""`ciosync backfill`: enqueue what signups owe that were stored without a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from cio_tasks.backfill import count_missing, enqueue_missing
from cio_tasks.cli.asking import confirm
from cio_tasks.cli.interrupts import Interrupts
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.progress import CountProgress
from cio_tasks.cli.stores import name_actor, open_sessions
from cio_tasks.db import Sessions
from cio_tasks.states import Phase

AGAIN: Final = "run the same command again: what is enqueued is not enqueued twice"
TIMES: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"]


@click.command(
    epilog=examples(
        "ciosync backfill --dry-run",
        "ciosync backfill --phase initial --since 2026-01-01 --yes",
        "ciosync backfill --yes --json",
    )
)
@click.option("--phase", type=click.Choice([phase.value for phase in Phase]), help="Only this one; both otherwise.")
@click.option(
    "--since",
    type=click.DateTime(TIMES),
    help="Signups stored, and extractions confirmed, from then on (UTC). By default as far back as jobs are kept.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many jobs.")
@click.option("--dry-run", is_flag=True, help="Count them, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@answers
@pass_output
def backfill(
    output: Output,
    *,
    phase: str | None,
    since: datetime | None,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Enqueue the phases that signups owe and have no job for, oldest first.

    Deliveries keep to their usual pace. An event older than 72 hours starts no campaign at Customer.io.
    """
    phases = [Phase(phase)] if phase else [*Phase]
    with open_sessions("backfill") as (settings, sessions):
        start = since.replace(tzinfo=UTC) if since else datetime.now(UTC) - timedelta(days=settings.retention_days)
        with sessions() as session:
            missing = {one: count_missing(session, one, since=start) for one in phases}
        most = min(sum(missing.values()), limit or sum(missing.values()))
        if dry_run or not most:
            output.result({"missing": missing, "enqueued": 0, "dryRun": dry_run}, table=[*missing.items()])
            return
        confirm(f"Enqueue {most} jobs?", yes=yes)
        progress = CountProgress(total=most, quiet=quiet or output.as_json)
        _run(output, sessions, Owed(phases, start, most), progress)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a run enqueues: at most so many jobs of these phases, of signups since then."""

    phases: Sequence[Phase]
    since: datetime
    most: int


def _run(output: Output, sessions: Sessions, owed: Owed, progress: CountProgress) -> None:
    """Enqueue and print the result; also when it is cut short, with what was done until then."""
    enqueued = dict.fromkeys(owed.phases, 0)
    try:
        with Interrupts() as interrupts, progress:
            for phase in owed.phases:
                left = owed.most - sum(enqueued.values())
                steps = enqueue_missing(sessions, phase, since=owed.since, limit=left, actor=name_actor())
                done = -1
                while done:
                    with interrupts.finishing():
                        done = next(steps, 0)
                        enqueued[phase] += done
                    progress.update(sum(enqueued.values()))
    except KeyboardInterrupt:
        output.note(f"hint:  {AGAIN}")
        raise
    finally:
        output.result({"enqueued": sum(enqueued.values()), "byPhase": enqueued}, table=[*enqueued.items()])
