"""`ciosync jobs`: the jobs and what happened to them; delivering and cleaning up by hand."""

from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import click

from cio_tasks import maintenance, operations, queries
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.rows import ago, job_row, pick
from cio_tasks.cli.stats import describe_gate
from cio_tasks.cli.stores import name_actor, open_runtime, open_sessions
from cio_tasks.cli.tree import Tree
from cio_tasks.queries import JobHistory
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import GateState, read_gate, read_stats

ATTEMPT: Final = (
    "retry",
    "outcome",
    "error_type",
    "error_code",
    "error_message",
    "http_status",
    "request_id",
    "mock",
    "worker",
    "started_at",
    "finished_at",
    "duration_ms",
    "next_retry_at",
)
ENTRY: Final = ("id", "action", "actor", "details", "created_at")
LETTER: Final = (
    "id",
    "error_type",
    "error_code",
    "error_message",
    "http_status",
    "attempt_count",
    "exhausted_retries",
    "created_at",
    "resolved_at",
    "resolution",
    "resolved_by",
)


@click.group(cls=Tree, epilog=examples("ciosync jobs list --status pending", "ciosync jobs process --limit 500"))
def jobs() -> None:
    """Look at jobs, deliver those that are due, and take stuck ones back."""


@jobs.command(
    name="list", epilog=examples("ciosync jobs list", "ciosync jobs list --status failed --phase enriched --json")
)
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only those in this status.")
@click.option("--phase", type=click.Choice([phase.value for phase in Phase]), help="Only those of this phase.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many.")
@click.option("--cursor", help="Where the page before ended.")
@answers
@pass_output
def list_jobs(output: Output, *, status: JobStatus | None, phase: Phase | None, limit: int, cursor: str | None) -> None:
    """List jobs, newest first."""
    with open_sessions("jobs") as (_, sessions), sessions() as session:
        page = queries.list_jobs(
            session,
            status=JobStatus(status) if status else None,
            phase=Phase(phase) if phase else None,
            limit=limit,
            cursor=cursor,
        )
        rows = [
            (
                job.id,
                job.sync_phase,
                job.status,
                f"{job.attempt_count}/{job.max_attempts}",
                ago(job.updated_at),
                job.error_message,
            )
            for job in page.jobs
        ]
        table = [("job", "phase", "status", "retries", "changed", "error"), *rows]
        output.result({"jobs": [job_row(job) for job in page.jobs], "nextCursor": page.next_cursor}, table=table)
    if page.next_cursor is not None:
        output.note(f"more: --cursor {page.next_cursor}")


@jobs.command(epilog=examples("ciosync jobs show 0198c1d2-…", "ciosync jobs show 0198c1d2-… --json | jq .attempts"))
@click.argument("job_id", type=click.UUID)
@answers
@pass_output
def show(output: Output, *, job_id: UUID) -> None:
    """Show a job with its newest attempts, audit entries and dead letters."""
    with open_sessions("jobs") as (_, sessions), sessions() as session:
        print_history(output, queries.get_job(session, job_id))


@jobs.command(epilog=examples("ciosync jobs process", "ciosync jobs process --limit 1000 --json"))
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--dry-run", is_flag=True, help="Count what is due, and deliver nothing.")
@answers
@pass_output
def process(output: Output, *, limit: int, dry_run: bool) -> None:
    """Deliver due jobs in this process, without the broker and without a worker."""
    with open_runtime("jobs") as runtime:
        with runtime.sessions() as session:
            closed, due = read_gate(session), queries.count_due(session, at_most=limit)
        if dry_run:
            output.result({"due": due, "dryRun": True})
            return
        done = operations.process_by_hand(runtime, limit=limit, actor=name_actor())
        output.result({**asdict(done), "mock": runtime.settings.mock})
        if runtime.settings.mock and done.processed:
            output.note("mock mode: nothing was sent, since CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are not set")
    if due and not done.processed and not closed.open:
        raise CommandFailed(_gate_closed(closed))


@jobs.command(epilog=examples("ciosync jobs cleanup", "ciosync jobs cleanup --dry-run"))
@click.option("--dry-run", is_flag=True, help="Count the stuck jobs, and change nothing.")
@answers
@pass_output
def cleanup(output: Output, *, dry_run: bool) -> None:
    """Take back the jobs whose worker has not reported for too long; it costs each a retry."""
    with open_runtime("jobs") as runtime:
        if dry_run:
            with runtime.sessions() as session:
                stuck = read_stats(session, stuck_after=runtime.settings.stuck_after).stuck
            output.result({"stuck": stuck, "dryRun": True})
        else:
            output.result({"resetCount": maintenance.reset_stuck(runtime, actor=name_actor())})


def print_history(output: Output, found: JobHistory) -> None:
    """Print a job with what happened to it."""
    output.result(_history(found), table=_history_table(found))


def _gate_closed(gate: GateState) -> Fault:
    return Fault(
        "gate.closed",
        Exit.TRY_AGAIN,
        "nothing was delivered: the gate is closed",
        describe_gate(gate),
        "what closed it, and until when: ciosync gate show; to open it: ciosync gate open",
    )


def _history(found: JobHistory) -> dict[str, Any]:
    return {
        **job_row(found.job),
        "attempts": [pick(attempt, ATTEMPT) for attempt in found.attempts],
        "audit": [pick(entry, ENTRY) for entry in found.audit],
        "deadLetters": [pick(letter, LETTER) for letter in found.dead_letters],
    }


def _history_table(found: JobHistory) -> list[tuple[object, ...]]:
    """Return the job, then its ladder of attempts, then who did what, each line with its time."""
    job = found.job
    head = [
        ("job", job.id, "", ""),
        ("signup", job.signup_id, "", ""),
        (job.sync_phase, f"{job.status}, {job.attempt_count}/{job.max_attempts} retries", "", job.error_message or ""),
    ]
    tries = [
        (
            f"try {attempt.retry + 1}",
            f"{attempt.finished_at:%Y-%m-%d %H:%M:%S}",
            f"{attempt.outcome} in {attempt.duration_ms or 0} ms",
            " ".join(map(str, filter(None, (attempt.http_status, attempt.error_message)))),
        )
        for attempt in found.attempts
    ]
    entries = [
        ("audit", f"{entry.created_at:%Y-%m-%d %H:%M:%S}", entry.action, f"by {entry.actor}") for entry in found.audit
    ]
    letters = [
        (
            "dead letter",
            f"{letter.created_at:%Y-%m-%d %H:%M:%S}",
            letter.error_code,
            "unresolved" if letter.resolved_at is None else f"{letter.resolution} by {letter.resolved_by}",
        )
        for letter in found.dead_letters
    ]
    return [*head, *tries, *entries, *letters]
