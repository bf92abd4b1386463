"""`python -m tests.chaos claimers`: many claimers over one table of jobs, and a log that shows who held what and when."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from cio_tasks import transitions
from cio_tasks.db import make_engine, make_sessions
from cio_tasks.embedded import EmbeddedPostgres, create_database
from cio_tasks.processes import exit_on
from cio_tasks.schema import upgrade
from tests.chaos.claiming import GATE, Order, Tally, claim_together
from tests.chaos.holdings import CLEANUP, find_faults, make_log, note, read_figures
from tests.chaos.proofs import Proof, conclude, quantile
from tests.concurrency.together import blocked, crowd, deadlocks
from tests.eventually import eventually

SPAWN: Final = multiprocessing.get_context("spawn")
CLAIMS_PER_JOB: Final = 8
STARTED_WITHIN: Final = 120.0
CLEANUP_EVERY: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How many claimers, in how many processes, for how many claims and how long; `stale` is what `stuck_after` is."""

    claims: int
    claimers: int = 64
    processes: int = 4
    stale: timedelta = timedelta(seconds=2)
    minutes: float = 30
    seed: int = 1

    def orders(self, url: str) -> list[Order]:
        """Return what each process does."""
        until, each = time.time() + 60 * self.minutes, -(-self.claims // self.claimers)
        shares = [range(first, self.claimers, self.processes) for first in range(self.processes)]
        return [
            Order(url=url, claimers=share, claims_each=each, stale=self.stale, until=until, seed=self.seed)
            for share in shares
        ]


def prove(url: str, wanted: Crowd) -> Proof:
    """Let them claim in an empty, migrated database, and look through the log."""
    engine = make_engine(url)
    try:
        make_log(engine)
        crowd(make_sessions(engine), max(wanted.claims // CLAIMS_PER_JOB, 2 * wanted.claimers))
        began = time.monotonic()
        with cleanup(engine, wanted.stale) as own:
            tallies = start_together(engine, wanted, url)
        return judge(engine, wanted, [*tallies, own], time.monotonic() - began)
    finally:
        engine.dispose()


def start_together(engine: Engine, wanted: Crowd, url: str) -> list[Tally]:
    """Start all processes, open the gate when every claimer stands behind it, and return what they did."""
    with ProcessPoolExecutor(wanted.processes, mp_context=SPAWN) as pool:
        with closed_gate(engine):
            working = [pool.submit(claim_together, order) for order in wanted.orders(url)]
            eventually(lambda: all_wait(engine, wanted, working), seconds=STARTED_WITHIN)
        return [tally for process in working for tally in process.result()]


@contextmanager
def closed_gate(engine: Engine) -> Iterator[None]:
    """Keep the claimers waiting for as long as the body runs."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:gate)"), {"gate": GATE})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:gate)"), {"gate": GATE})


def all_wait(engine: Engine, wanted: Crowd, working: Sequence[Future[list[Tally]]]) -> bool:
    for process in working:
        if process.done():
            process.result()  # none may end before the start, and if one does, this tells why
    return blocked(make_sessions(engine)) == wanted.claimers


@contextmanager
def cleanup(engine: Engine, stale: timedelta) -> Iterator[Tally]:
    """Take back what is held for longer than `stale`, again and again, for as long as the body runs."""
    over, tally = threading.Event(), Tally()

    def sweep() -> None:
        with make_sessions(engine).begin() as session:
            note(session, "ended", transitions.reset_stuck(session, older_than=stale), CLEANUP)

    def run() -> None:
        while not over.wait(CLEANUP_EVERY):
            try:
                sweep()
            except DBAPIError as error:
                tally.failures.append(type(error.orig).__name__)

    thread = threading.Thread(target=run, name="cleanup")
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


def judge(engine: Engine, wanted: Crowd, tallies: Sequence[Tally], seconds: float) -> Proof:
    """Return what the log shows, beside what the claimers counted."""
    times = [1000 * each for tally in tallies for each in tally.seconds]
    claims, refused = sum(tally.claims for tally in tallies), sum(tally.refused for tally in tallies)
    logged, broken = read_figures(engine), deadlocks(engine)
    figures = {
        "claimers": wanted.claimers,
        "processes": wanted.processes,
        **logged,
        "records refused because they came too late": refused,
        "claims that found nothing": sum(tally.empty for tally in tallies),
        "deadlocks": broken,
        "a claim, median, ms": quantile(times, 0.5),
        "a claim, 99 %, ms": quantile(times, 0.99),
        "claims a second": claims / seconds,
        "seconds": seconds,
    }
    failures = Counter(failure for tally in tallies for failure in tally.failures)
    faults = [
        *find_faults(engine),
        *(f"{often} transactions refused by the database: {failure}" for failure, often in failures.items()),
        *find_gaps(wanted, logged, claims, refused),
    ]
    return Proof(claim="No job is claimed twice at once, and tokens only grow", figures=figures, faults=faults)


def find_gaps(wanted: Crowd, logged: Mapping[str, int], claims: int, refused: int) -> Iterator[str]:
    """Yield what must have happened and did not: without it the log proves too little."""
    if claims < wanted.claims:
        yield f"only {claims:,} of {wanted.claims:,} claims in {wanted.minutes:g} min"
    if claims != logged["claims"]:
        yield f"{claims:,} claims were counted, and {logged['claims']:,} logged"
    if logged["claimers that got some"] < wanted.claimers:
        yield "not every claimer got a job"
    taken_back = logged["taken back by the cleanup"]
    if not refused or refused != taken_back:
        yield f"{taken_back} claims were taken back, and {refused} records of them were refused"


@click.command(name="claimers")
@click.option("--claims", type=click.IntRange(1), default=200_000, show_default=True, help="How many at least.")
@click.option("--claimers", "count", type=click.IntRange(1, 120), default=64, show_default=True)
@click.option("--processes", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.1, 600), default=30, show_default=True, help="How long at most.")
@click.option("--seed", type=int, default=1, show_default=True)
def claimers(*, claims: int, count: int, processes: int, minutes: float, seed: int) -> None:
    """Claim and record, all at once. Exit code 0 when no job was held twice, 1 when one was."""
    wanted = Crowd(claims=claims, claimers=count, processes=min(processes, count), minutes=minutes, seed=seed)
    with (
        exit_on(),
        TemporaryDirectory(prefix="ciosync-claimers-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as postgres,
    ):
        url = create_database(postgres.facts.url, "claimers")
        upgrade(url)
        conclude(prove(url, wanted))
