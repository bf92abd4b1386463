"""`python -m benchmarks.reading`: what people read and retry, among a million jobs as among ten thousand."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from benchmarks.filling import RARE_NAME, fill
from cio_tasks import operations, wake
from cio_tasks.db import make_engine, make_sessions
from cio_tasks.embedded import create_database, embedded_postgres
from cio_tasks.failures import FailureFilter, count_failures, list_failures
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import ErrorType
from cio_tasks.queries import list_jobs
from cio_tasks.schema import upgrade
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import read_stats

SMALL, BIG = 10_000, 1_000_000
ROUNDS = 30
MOST = 2.0
"""How many times longer it may take among a hundred times as many jobs."""
PAGE = 50
STUCK_AFTER = timedelta(minutes=5)
JOBS = SyncJob.__tablename__
Ask = Callable[[Engine], Any]


@dataclass(frozen=True)
class Reading:
    """Median milliseconds among few and among many jobs, and how the many were read."""

    name: str
    small_ms: float
    big_ms: float
    jobs_read_by: list[str]

    @property
    def ratio(self) -> float:
        return self.big_ms / self.small_ms

    @property
    def scans(self) -> bool:
        return any("Seq Scan" in step for step in self.jobs_read_by)

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": round(self.ratio, 2)}


# --- what is asked ----------------------------------------------------------------------------------------------------


def page_of(wanted: FailureFilter) -> Ask:
    """Return what `GET sync-failures` asks: a page, and how many there are."""

    def ask(engine: Engine) -> None:
        with Session(engine) as session:
            list_failures(session, wanted, limit=PAGE)
            count_failures(session, wanted)

    return ask


def stats(engine: Engine) -> None:
    with Session(engine) as session:
        read_stats(session, stuck_after=STUCK_AFTER)


def jobs_of(status: JobStatus) -> Ask:
    def ask(engine: Engine) -> None:
        with Session(engine) as session:
            list_jobs(session, status=status, limit=PAGE)

    return ask


class Retries:
    """Retries one failed signup after the other, a different one each time."""

    def __init__(self, *engines: Engine) -> None:
        self.waiting = {engine: list_failed_signups(engine) for engine in engines}

    def __call__(self, engine: Engine) -> None:
        operations.retry_signup(make_sessions(engine), self.waiting[engine].pop(), actor="bench")


def list_failed_signups(engine: Engine) -> list[UUID]:
    with Session(engine) as session:
        failures = list_failures(session, FailureFilter(), limit=3 * ROUNDS)
    return list({failure.signup.id for failure in failures})


def questions(*engines: Engine) -> dict[str, Ask]:
    phase, error_type = Phase.ENRICHED, ErrorType.NETWORK
    return {
        "stats": stats,
        "failures": page_of(FailureFilter()),
        "failures of a phase": page_of(FailureFilter(phase=phase)),
        "failures of an error type": page_of(FailureFilter(error_type=error_type)),
        "failures of both": page_of(FailureFilter(phase=phase, error_type=error_type)),
        "search by part of a name": page_of(FailureFilter(search=RARE_NAME.upper()[2:9])),
        "search in a phase": page_of(FailureFilter(phase=phase, search=RARE_NAME[2:9])),
        "jobs of a status": jobs_of(JobStatus.COMPLETED),
        "retry of one signup": Retries(*engines),
    }


# --- timing -----------------------------------------------------------------------------------------------------------


def compare_sizes(postgres_url: str) -> list[Reading]:
    """Fill a small and a big database, and ask both the same in turns."""
    small, big = (filled(postgres_url, jobs) for jobs in (SMALL, BIG))
    wake.configure(Settings.from_env({"DATABASE_URL": postgres_url}))
    readings = [compare(name, ask, small, big) for name, ask in questions(small, big).items()]
    small.dispose()
    big.dispose()
    return readings


def filled(postgres_url: str, jobs: int) -> Engine:
    url = create_database(postgres_url, f"reading_{jobs}")
    upgrade(url)
    engine = make_engine(url)
    fill(engine, jobs)
    return engine


def compare(name: str, ask: Ask, small: Engine, big: Engine) -> Reading:
    with statements_of(small), statements_of(big) as asked:
        ask(small)
        ask(big)
    times: dict[Engine, list[float]] = defaultdict(list)
    for turn in range(ROUNDS):
        for engine in (small, big) if turn % 2 else (big, small):
            began = time.perf_counter()
            ask(engine)
            times[engine].append(1000 * (time.perf_counter() - began))
    small_ms, big_ms = (round(statistics.median(times[engine]), 2) for engine in (small, big))
    return Reading(name, small_ms, big_ms, steps(big, asked))


# --- plans ------------------------------------------------------------------------------------------------------------


@contextmanager
def statements_of(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Give the statements about jobs that the engine executes while the body runs."""
    asked: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if JOBS in statement:
            asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", record)
    yield asked
    event.remove(engine, "before_cursor_execute", record)


def steps(engine: Engine, asked: list[tuple[str, Any]]) -> list[str]:
    """Return how these statements read the table of jobs."""
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one() for sql, values in asked
        ]
    return sorted({step for (plan,) in plans for step in steps_of(plan["Plan"])})


def steps_of(node: dict[str, Any]) -> Iterator[str]:
    if node.get("Relation Name") == JOBS and node["Node Type"] != "ModifyTable":
        yield f"{node['Node Type']} {node.get('Index Name', '')}".strip()
    for part in node.get("Plans", []):
        yield from steps_of(part)


# --- telling ----------------------------------------------------------------------------------------------------------


def show(readings: list[Reading]) -> None:
    """Print the table, and how the jobs were read."""
    table = Table("what", f"{SMALL:,} jobs", f"{BIG:,} jobs", "ratio", f"within {MOST:g} x", box=None, padding=(0, 2))
    for one in readings:
        held = "yes" if one.ratio <= MOST and not one.scans else "NO"
        table.add_row(one.name, f"{one.small_ms:.1f} ms", f"{one.big_ms:.1f} ms", f"{one.ratio:.2f} x", held)
    console = Console(width=120)
    console.print(table)
    for one in readings:
        console.print(f"{one.name}: {', '.join(one.jobs_read_by) or 'no job is read'}", style="dim")


def main() -> None:
    """Run only this one, and fail when the table of jobs is read from end to end."""
    with TemporaryDirectory(prefix="ciosync-bench-") as folder, embedded_postgres(Path(folder)) as postgres:
        readings = compare_sizes(postgres.url)
    show(readings)
    if any(one.scans for one in readings):
        raise SystemExit("the table of jobs is read from end to end")


if __name__ == "__main__":
    main()
