"""`ciosync failures`: what failed for good, what it has in common, and running it again."""

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import click
from sqlalchemy.orm import Session

from cio_tasks import failures as storage
from cio_tasks import operations, queries
from cio_tasks.cli.asking import confirm
from cio_tasks.cli.jobs import print_history
from cio_tasks.cli.output import Output, answers, examples, pass_output, say
from cio_tasks.cli.rows import ago, failure_row, plain
from cio_tasks.cli.stores import name_actor, open_sessions
from cio_tasks.cli.tree import Tree
from cio_tasks.db import Sessions
from cio_tasks.errors import NotFound
from cio_tasks.failures import Failure, FailureFilter, FailureGroup
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import Phase

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
EXPORTED: Final = (
    "jobId",
    "signupId",
    "syncPhase",
    "attemptCount",
    "errorType",
    "httpStatus",
    "errorMessage",
    "failedAt",
    "operatorId",
    "customerId",
    "email",
    "firstName",
    "lastName",
)


PERSON: Final = ("email", "firstName", "lastName")
WORDS: Final[dict[str, list[str]]] = {"syncPhase": [*Phase], "errorType": [*ErrorType]}
"""What `--filter` knows, and which words each takes."""


# --- which failures ---------------------------------------------------------------------------------------------------


class FilterWords(click.ParamType[dict[str, str]]):
    """`syncPhase=initial,errorType=network`: names and values, several with commas between them."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Return the names and values of one option."""
        pairs = [part.partition("=") for part in str(value).split(",")]
        for name, equals, word in pairs:
            if name not in WORDS or not equals:
                self.fail(f"{name or value!r} is none of {', '.join(f'{known}=…' for known in WORDS)}", param, ctx)
            if word not in WORDS[name]:
                self.fail(f"{name} must be one of {', '.join(WORDS[name])}", param, ctx)
        words = {name: word for name, _, word in pairs}
        if len(words) < len(pairs):
            self.fail("one of them is given twice", param, ctx)
        return words


def filtered(command: Any) -> Any:
    """Give a command the options that choose failures."""
    filters = click.option(
        "--filter", "words", type=FilterWords(), multiple=True, help="syncPhase=… or errorType=…; repeatable."
    )
    search = click.option("--search", metavar="TEXT", help="Part of the name or e-mail, in any case; no wildcards.")
    return filters(search(command))


def read_filter(
    words: Iterable[dict[str, str]], search: str | None, job_ids: list[UUID] | None = None
) -> FailureFilter:
    """Return the failures that the options mean.

    Raises:
        BadParameter: when two of them contradict each other, or the search is empty.
    """
    chosen: dict[str, str] = {}
    for given in words:
        for name, word in given.items():
            if chosen.setdefault(name, word) != word:
                raise click.BadParameter(f"{name} is given twice", param_hint="--filter")
    if search is not None and not search.strip():
        raise click.BadParameter("must say something", param_hint="--search")
    phase, kind = chosen.get("syncPhase"), chosen.get("errorType")
    return FailureFilter(
        phase=Phase(phase) if phase else None,
        error_type=ErrorType(kind) if kind else None,
        search=search and search.strip(),
        job_ids=job_ids,
    )


# --- the commands -----------------------------------------------------------------------------------------------------


@click.group(
    cls=Tree,
    epilog=examples(
        "ciosync failures groups",
        "ciosync failures list --filter errorType=rate_limit",
        "ciosync failures retry --filter syncPhase=initial --yes",
    ),
)
def failures() -> None:
    """Look at what failed for good, and run it again."""


@failures.command(
    name="list", epilog=examples("ciosync failures list", "ciosync failures list --search ada --json | jq .total")
)
@filtered
@click.option("--limit", type=click.IntRange(1, 1_000), default=25, show_default=True, help="How many.")
@click.option("--offset", type=click.IntRange(0, 1_000_000), default=0, help="How many to pass over.")
@click.option("--reveal", is_flag=True, help="Show names and addresses unmasked.")
@answers
@pass_output
def list_failures(
    output: Output, *, words: tuple[dict[str, str], ...], search: str | None, limit: int, offset: int, reveal: bool
) -> None:
    """List failures, those with the most retries first, then the latest."""
    wanted = read_filter(words, search)
    with open_sessions("failures") as (_, sessions), sessions() as session:
        found = storage.list_failures(session, wanted, limit=limit, offset=offset)
        total = storage.count_failures(session, wanted)
    answer = {"failures": [failure_row(one, reveal=reveal) for one in found], "total": total}
    table = [
        ("job", "customer", "phase", "error", "retries", "last try"),
        *(_line(one, reveal=reveal) for one in found),
    ]
    output.result({**answer, "limit": limit, "offset": offset}, table=table)
    shown = offset + len(found)
    output.note(f"{len(found)} of {total}" + (f"; more: --offset {shown}" if found and shown < total else ""))


def _line(failure: Failure, *, reveal: bool) -> tuple[object, ...]:
    job, person = failure.job, failure_row(failure, reveal=reveal)["customer"]
    error = " ".join(map(str, filter(None, (job.error_type, job.http_status, job.error_message))))
    who = f"{person['firstName']} {person['lastName']} {person['email']}"
    return job.id, who, job.sync_phase, error, f"{job.attempt_count}/{job.max_attempts}", ago(job.last_attempt_at)


@failures.command(epilog=examples("ciosync failures groups", "ciosync failures groups --filter syncPhase=enriched"))
@filtered
@answers
@pass_output
def groups(output: Output, *, words: tuple[dict[str, str], ...], search: str | None) -> None:
    """Show what the failures have in common: one line for each cause, the largest first."""
    wanted = read_filter(words, search)
    with open_sessions("failures") as (_, sessions), sessions() as session:
        found = storage.list_groups(session, wanted)
    table = [("all", "1 h", "24 h", "7 d", "first", "last", "cause", "a job"), *map(_group_line, found)]
    output.result({"groups": [_group_row(group) for group in found]}, table=table)


def _group_line(group: FailureGroup) -> tuple[object, ...]:
    counts = (group.total, group.last_hour, group.last_day, group.last_week)
    return *counts, ago(group.first_seen), ago(group.last_seen), group.fingerprint, group.example_job_id


def _group_row(group: FailureGroup) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint,
        "errorType": group.error_type,
        "httpStatus": group.http_status,
        "message": group.message,
        "total": group.total,
        "lastHour": group.last_hour,
        "lastDay": group.last_day,
        "lastWeek": group.last_week,
        "firstSeen": plain(group.first_seen),
        "lastSeen": plain(group.last_seen),
        "exampleJobId": str(group.example_job_id),
    }


@failures.command(epilog=examples("ciosync failures show 0198c1d2-…", "ciosync failures show 0198c1d2-… --json"))
@click.argument("identifier", metavar="JOB|SIGNUP", type=click.UUID)
@answers
@pass_output
def show(output: Output, *, identifier: UUID) -> None:
    """Show a failed job, by its own id or its signup's, with everything that happened to it."""
    with open_sessions("failures") as (_, sessions), sessions() as session:
        for job_id in _failed_jobs(session, [identifier]):
            print_history(output, queries.get_job(session, job_id))


@failures.command(
    epilog=examples(
        "ciosync failures retry 0198c1d2-…",
        "ciosync failures retry --filter syncPhase=initial,errorType=network --dry-run",
        "ciosync failures retry --filter syncPhase=initial --yes",
    )
)
@click.argument("identifiers", metavar="[JOB|SIGNUP]...", type=click.UUID, nargs=-1)
@filtered
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, in the order of the list.")
@click.option("--all", "everything", is_flag=True, help="Every failure there is.")
@click.option("--dry-run", is_flag=True, help="Count them, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@answers
@pass_output
def retry(
    output: Output,
    *,
    identifiers: tuple[UUID, ...],
    words: tuple[dict[str, str], ...],
    search: str | None,
    limit: int | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Run failures again, at once and with all their retries: those named, or those that the filters match.

    Each leaves its dead letter resolved and an audit entry with your name.
    """
    if not (identifiers or words or search or everything):
        raise click.UsageError("say which: an id, --filter, --search, or --all", click.get_current_context())
    with open_sessions("failures") as (_, sessions):
        job_ids = _failed_jobs_of(sessions, identifiers) if identifiers else None
        wanted = read_filter(words, search, job_ids)
        matched = operations.retry_failures(sessions, wanted, actor=name_actor(), limit=limit, dry_run=True).matched
        if not dry_run and matched and not identifiers:
            confirm(f"Run {matched} failed jobs again?", yes=yes)
        done = operations.retry_failures(sessions, wanted, actor=name_actor(), limit=limit, dry_run=dry_run)
    counts = {"matched": done.matched, "retried": done.retried, "skipped": done.skipped}
    output.result({**counts, "dryRun": dry_run}, table=[*counts.items()])


def _failed_jobs_of(sessions: Sessions, identifiers: Iterable[UUID]) -> list[UUID]:
    with sessions() as session:
        return _failed_jobs(session, identifiers)


def _failed_jobs(session: Session, identifiers: Iterable[UUID]) -> list[UUID]:
    """Return the failed jobs that these ids of jobs and signups name.

    Raises:
        NotFound: when one of them names none.
    """
    found: list[UUID] = []
    for identifier in identifiers:
        jobs = queries.list_failed_jobs(session, identifier)
        if not jobs:
            raise NotFound(f"{identifier} is neither a failed job nor a signup with one", hint="ciosync failures list")
        found += jobs
    return found


@failures.command(
    epilog=examples("ciosync failures export > failures.csv", "ciosync failures export --format jsonl --reveal")
)
@filtered
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--reveal", is_flag=True, help="Write names and addresses unmasked.")
@answers
@pass_output
def export(output: Output, *, words: tuple[dict[str, str], ...], search: str | None, form: str, reveal: bool) -> None:
    """Write all failures to stdout, as they are at one instant."""
    wanted = read_filter(words, search)
    with open_sessions("failures") as (_, sessions), sessions() as session:
        rows = (failure_row(failure, reveal=reveal) for failure in storage.iterate_failures(session, wanted))
        if form == "jsonl" or output.as_json:
            _write_lines(rows)
        else:
            _write_csv(rows)


def _write_lines(rows: Iterator[dict[str, Any]]) -> None:
    for row in rows:
        say(json.dumps(row))


def _write_csv(rows: Iterator[dict[str, Any]]) -> None:
    """Write every value in quotes, and none that a spreadsheet would run."""
    writer = csv.DictWriter(_Stdout(), EXPORTED, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        person = row["customer"]
        known = {"jobId": row["id"], "customerId": person["id"], **row, **{name: person[name] for name in PERSON}}
        writer.writerow({name: _harmless(known[name]) for name in EXPORTED})


class _Stdout:
    """Stdout as `csv` wants it, whose reader may go away."""

    def write(self, line: str) -> None:
        say(line.removesuffix("\n"))


def _harmless(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
