"""`ciosync signups submit`: signups from a file into the database, each with the jobs that it owes."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import PurePath
from typing import IO, Final

import click
from sqlalchemy.exc import SQLAlchemyError

from cio_tasks import wake
from cio_tasks.cli.config import load_settings
from cio_tasks.cli.faults import CommandFailed, Exit, fault_of
from cio_tasks.cli.interrupts import Interrupts
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.progress import LineProgress
from cio_tasks.cli.tree import Tree
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.intake.batches import Intake, LineFault, in_batches
from cio_tasks.intake.lines import read_lines
from cio_tasks.intake.records import Format, Record, read_records

EXTENSIONS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
KEPT_FAULTS: Final = 1_000
"""Faults that the result lists; all of them are told on stderr."""
AGAIN: Final = "run the same command again: what is stored is found by its externalId"


@click.group(cls=Tree, epilog=examples("ciosync signups submit signups.jsonl", "ciosync signups submit signups.csv"))
def signups() -> None:
    """Bring signups in."""


@signups.command(
    epilog=examples(
        "ciosync signups submit examples/signups.jsonl",
        "ciosync signups submit signups.csv --dry-run",
        "zcat signups.jsonl.gz | ciosync signups submit - --json",
    )
)
@click.argument("file", type=click.File("rb"))
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), help="Otherwise the file's name or content says."
)
@click.option("--dry-run", is_flag=True, help="Check every line and store nothing; needs no database.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first N lines.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@answers
@pass_output
def submit(
    output: Output, /, *, file: IO[bytes], form: Format | None, dry_run: bool, limit: int | None, quiet: bool
) -> None:
    """Submit the signups of FILE (- is stdin), and confirm the extractions in it.

    JSON lines: one object a line, as for POST /api/v1/signups, with an externalId and perhaps an extraction. CSV: a
    header of externalId, email, firstName, lastName, phone, operatorId, submittedAt, betAmount, teamBetOn, odds,
    confidence. Lines at fault are named on stderr and the others go in; the exit code is then 1. A line whose externalId
    is there already changes nothing, so a file can be submitted again.
    """
    records = islice(read_records(read_lines(file), form or _form_by_name(file)), limit)
    progress = LineProgress(size=_size(file), quiet=quiet or output.as_json)
    run = Run(output, progress, is_dry=dry_run)
    with _sessions(needed=not dry_run) as sessions:
        run.take_in(records, sessions)
    raise click.exceptions.Exit(Exit.NO if run.intake.tally.invalid else Exit.OK)


@dataclass
class Run:
    """One run of `signups submit`."""

    output: Output
    progress: LineProgress
    is_dry: bool
    intake: Intake = field(default_factory=Intake)
    faults: list[LineFault] = field(default_factory=list)
    left_out: int = 0

    def take_in(self, records: Iterator[Record], sessions: Sessions | None) -> None:
        """Take all records in and print the result; also when it is cut short, with what was done until then."""
        try:
            with Interrupts() as interrupts, self.progress:
                for batch in in_batches(records):
                    with interrupts.finishing():
                        self._take_in(batch, sessions)
        except KeyboardInterrupt:
            self._print(is_complete=False)
            self.output.note(f"hint:  {AGAIN}")
            raise
        except SQLAlchemyError as error:
            self._print(is_complete=False)
            raise self._failure(error) from error
        self._print(is_complete=True)

    def _take_in(self, batch: list[Record], sessions: Sessions | None) -> None:
        if sessions is None:
            self.intake.check(batch)
        else:
            self.intake.store(sessions, batch)
        faults = sorted(self.intake.faults, key=lambda fault: fault.line)
        for fault in faults:
            self.progress.tell(f"line {fault.line}: {fault.field}: {fault.message}")
        room = KEPT_FAULTS - len(self.faults)
        self.faults += faults[:room]
        self.left_out += len(faults[room:])
        self.progress.update(lines=self.intake.tally.lines, read=self.intake.read)

    def _print(self, *, is_complete: bool) -> None:
        tally = asdict(self.intake.tally)
        facts = {"complete": is_complete, "dryRun": self.is_dry, "errorsLeftOut": self.left_out}
        errors = [asdict(fault) for fault in self.faults]
        self.output.result({**tally, **facts, "errors": errors}, table=[*tally.items()])

    def _failure(self, error: SQLAlchemyError) -> CommandFailed:
        fault = fault_of(error)
        cause = f"{fault.cause}, after {self.intake.tally.lines} lines"
        return CommandFailed(replace(fault, cause=cause, hint=AGAIN if fault.retryable else fault.hint))


@contextmanager
def _sessions(*, needed: bool) -> Iterator[Sessions | None]:
    if not needed:
        yield None
        return
    settings = load_settings()
    wake.configure(settings)
    engine = make_engine(settings.required_database_url(), pool_size=1, application="ciosync signups")
    try:
        yield make_sessions(engine)
    finally:
        engine.dispose()


def _form_by_name(file: IO[bytes]) -> Format | None:
    return EXTENSIONS.get(PurePath(str(getattr(file, "name", ""))).suffix.lower())


def _size(file: IO[bytes]) -> int | None:
    """Return the size of a regular file, and None for a pipe."""
    try:
        about = os.fstat(file.fileno())
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None
