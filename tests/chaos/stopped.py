"""`python -m tests.chaos stopped`: workers that hold a claim are stopped, others do their jobs, and they wake up."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
from sqlalchemy import Engine, text

from cio_tasks.processes import exit_on
from tests.chaos.proofs import Proof, conclude
from tests.chaos.sleepers import Sleeper, stop_workers
from tests.chaos.submitting import all_done, pid_of, submit, wait_for_workers
from tests.chaos.system import Shape, System, running_system
from tests.eventually import eventually

CLAIM: Final = "A worker that slept for longer than stuck_after changes no row when it wakes up"
STUCK_AFTER: Final = 31.0
TIME_SCALE: Final = 0.1
"""For beat alone: a sweep each second, since whoever is stopped takes a message with it. Nothing is retried here."""
QUIET_SECONDS: Final = 240.0
"""Longer than Postgres lets a stopped process keep a transaction open (60 s), after which the job has to get stuck."""
AWAKE_SECONDS: Final = 120.0
REFUSED: Final = "sync.claim_lost"
"""What a worker logs when it found, as it recorded, that the claim was no longer its own."""
TABLES: Final = {
    "customers": text("SELECT customers::text FROM customers ORDER BY id"),
    "signups": text("SELECT signups::text FROM signups ORDER BY id"),
    "jobs": text("SELECT job::text FROM signup_customerio_sync_jobs job ORDER BY id"),
    "attempts": text("SELECT attempt::text FROM customerio_sync_attempts attempt ORDER BY id"),
    "dead letters": text("SELECT letter::text FROM customerio_dead_letters letter ORDER BY id"),
    "audit": text("SELECT audit_logs::text FROM audit_logs ORDER BY id"),
}
AGE: Final = text("""
    UPDATE signup_customerio_sync_jobs SET updated_at = updated_at - make_interval(secs => :seconds)
     WHERE status = 'processing'
""")
WORKERS: Final = text(
    "SELECT DISTINCT worker FROM customerio_sync_attempts WHERE outcome = :outcome AND finished_at > :since"
)

Rows = Mapping[str, Sequence[str]]
Operations = Sequence[str]


def prove(folder: Path, *, processes: int, hurry: bool = False) -> Proof:
    """Stop so many workers, let another do their jobs, wake them all, and compare every row.

    With `hurry` the claims are aged in the database, whose clock decides what is stuck, and not waited for.
    """
    shape = Shape(workers=processes, steady=True, time_scale=TIME_SCALE, stuck_after=STUCK_AFTER)
    with running_system(folder, shape) as system:
        wait_for_workers(system)
        sleepers = stop_workers(system)
        let_others_do_it(system, sleepers, hurry=hurry)
        before, asked = read_rows(system.engine), read_operations(system.ledger)
        slept = time.time() - sleepers[-1].since
        wake(system)
        after, late = read_rows(system.engine), read_operations(system.ledger)[len(asked) :]
        taken_back = count_workers(system.engine, "worker_lost", {sleeper.pid for sleeper in sleepers})
        faults = [
            *find_unfit(system, sleepers, taken_back, slept, hurry=hurry),
            *find_changes(before, after),
            *(f"sent after waking, and new to Customer.io: {operation}" for operation in set(late) - set(asked)),
        ]
        figures = {
            "workers stopped": len(sleepers),
            **{f"stopped {place}": times for place, times in Counter(sleeper.place for sleeper in sleepers).items()},
            "workers whose claim was taken back": taken_back,
            "stuck_after, s": STUCK_AFTER,
            "the last one slept for, s": slept,
            "claims aged by hand": hurry,
            **{f"{table}: rows, digest before and after": digests(before, after, table) for table in TABLES},
            "records refused": count_refused(system),
            "operations sent after waking": len(late),
            "of these new to Customer.io": len(set(late) - set(asked)),
            "woken workers that delivered afterwards": deliver_again(system, sleepers),
        }
    return Proof(claim=CLAIM, figures=figures, faults=faults)


def let_others_do_it(system: System, sleepers: Sequence[Sleeper], *, hurry: bool) -> None:
    """Return when everything is delivered, and the last one to be stopped has slept for longer than `stuck_after`."""
    if hurry:
        with system.engine.begin() as connection:
            connection.execute(AGE, {"seconds": STUCK_AFTER})
    else:
        eventually(lambda: time.time() > sleepers[-1].since + STUCK_AFTER, seconds=2 * STUCK_AFTER, every=0.5)
    eventually(system.count_unfinished, lambda left: left == 0, seconds=QUIET_SECONDS, every=0.25)


def wake(system: System) -> None:
    """Let them all go on, and return when each has been told that it came too late, or should have been by far."""
    system.wake_stopped()
    with suppress(AssertionError):  # the rows tell more than the log
        eventually(lambda: count_refused(system) >= len(system.workers), seconds=AWAKE_SECONDS, every=0.25)


def count_refused(system: System) -> int:
    """Return how many workers have been told so."""
    return sum(REFUSED in process.log_path.read_text() for process in system.workers)


def deliver_again(system: System, sleepers: Sequence[Sleeper]) -> int:
    """Return how many of them deliver now that they are alone: the worker that did their jobs ends first."""
    since = time.time()
    next(process for process in system.steady if process.name == "steady_worker").terminate()
    signups = [submit(system) for _ in range(2 * len(sleepers))]
    eventually(lambda: all_done(system.engine, signups), seconds=QUIET_SECONDS, every=0.25)
    return count_workers(system.engine, "delivered", {sleeper.pid for sleeper in sleepers}, since)


def count_workers(engine: Engine, outcome: str, among: set[int], since: float = 0) -> int:
    with engine.connect() as connection:
        values = {"outcome": outcome, "since": datetime.fromtimestamp(since, UTC)}
        return len(among & {pid_of(worker) for worker in connection.scalars(WORKERS, values)})


# --- what is compared -------------------------------------------------------------------------------------------------


def read_rows(engine: Engine) -> Rows:
    """Return every row of the tables that say what was delivered, as the text that Postgres makes of it."""
    with engine.connect() as connection:
        return {name: list(connection.scalars(statement)) for name, statement in TABLES.items()}


def digests(before: Rows, after: Rows, table: str) -> str:
    """Return how many rows a table has, and the digest of all of them at both moments."""
    both = [sha256("\n".join(rows[table]).encode()).hexdigest()[:12] for rows in (before, after)]
    return f"{len(after[table]):,} {' '.join(both)}"


def find_changes(before: Rows, after: Rows) -> Iterator[str]:
    """Yield the rows that differ."""
    for table in TABLES:
        for row in sorted(set(before[table]) ^ set(after[table])):
            yield f"{table}, {'gone' if row in before[table] else 'new'}: {row}"


def read_operations(ledger: Path) -> list[str]:
    """Return all that was sent to Customer.io, in its order, without what Customer.io made of it."""
    entries = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    return [as_sent(operation) for entry in entries for operation in entry["operations"]]


def as_sent(operation: Mapping[str, Any]) -> str:
    said = {name: value for name, value in operation.items() if name not in {"applied", "why"}}
    return json.dumps(said, sort_keys=True)


def find_unfit(
    system: System, sleepers: Sequence[Sleeper], taken_back: int, slept: float, *, hurry: bool
) -> Iterator[str]:
    """Yield what did not happen and had to: without it equal rows prove nothing."""
    if len({sleeper.pid for sleeper in sleepers}) < len(system.workers):
        yield "not every worker was stopped"
    if taken_back < len(sleepers):
        yield f"only {taken_back} of {len(sleepers)} had their claim taken back"
    if slept <= STUCK_AFTER and not hurry:
        yield f"the last one slept for {slept:.1f} s, not longer than stuck_after"
    if (told := count_refused(system)) < len(system.workers):
        yield f"only {told} of {len(system.workers)} found that they came too late"
    for process in system.workers:
        if process.restarts:
            yield f"{process.name} did not wake up: it was started anew"


@click.command(name="stopped")
@click.option("--processes", type=click.IntRange(1, 60), default=30, show_default=True, help="How many are stopped.")
@click.option("--hurry", is_flag=True, help="Age the claims in the database instead of waiting for stuck_after.")
def stopped_and_woken(*, processes: int, hurry: bool) -> None:
    """Stop workers in the middle of a delivery, and wake them. Exit code 0 when no row differs, 1 when one does."""
    with exit_on(), TemporaryDirectory(prefix="ciosync-stopped-") as folder:
        conclude(prove(Path(folder) / "run", processes=processes, hurry=hurry))
