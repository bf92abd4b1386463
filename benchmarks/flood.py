"""`python -m benchmarks.flood`: a million jobs that wait, and what they do to Redis, to the worker, and to new signups."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

import click
import psutil
import redis
import requests
from sqlalchemy import Engine, text

from cio_tasks import transitions
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.cli.stack import Stack, local_stack
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.processes import exit_on
from cio_tasks.settings import Role
from tests.chaos.proofs import Proof, conclude, quantile

CALLERS: Final = 4
PER_SECOND: Final = 20
"""Signups that are submitted, before the flood and during it."""
SIGNUPS_PER_CUSTOMER: Final = 100
LOOK_EVERY: Final = 1.0
TIMEOUT: Final = 30.0
MEGABYTE: Final = 1_000_000

WINDOWS: Final = 2
"""The worker and the API look at the queue apart from each other, so each may fill the window."""
MOST_REDIS: Final = 16 * MEGABYTE
"""What Redis may take more than before."""
MOST_WORKER: Final = 300 * MEGABYTE
MOST_GROWTH: Final = 48 * MEGABYTE
"""What the worker may grow by from when it is at work on the flood (a third of the time) to the end."""
MOST_SLOWER: Final = 8.0
"""How many times longer it may take to accept a signup, in the median and at 99 %, with both cores at work on the flood."""

POUR: Final = (
    "SET synchronous_commit = off",
    "SET statement_timeout = 0",
    """WITH people AS (
           INSERT INTO customers (email, first_name, last_name)
           SELECT 'flood' || i || '@example.com', 'Ada', 'Lovelace'
             FROM generate_series(0, (:jobs - 1) / :each) i RETURNING id),
       numbered AS (SELECT id, row_number() OVER () - 1 AS place FROM people),
       made AS (
           INSERT INTO signups (customer_id, operator_id)
           SELECT id, 'flood' FROM generate_series(0, :jobs - 1) i JOIN numbered ON place = i / :each RETURNING id)
       INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase) SELECT id, 'initial' FROM made""",
)
DELIVERED: Final = text("""
    SELECT count(*) FROM customerio_sync_attempts WHERE outcome = 'delivered' AND finished_at > to_timestamp(:since)
""")
DELAYS: Final = text("""
    SELECT extract(epoch FROM customerio_synced_at - created_at) FROM signups WHERE operator_id = :operator
""")

numbers: Final = count()


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What became of the signups that were submitted: milliseconds of each request, seconds until each was delivered."""

    milliseconds: Sequence[float]
    refused: int
    delays: Sequence[float]
    waiting: int

    def share(self, part: float) -> float:
        return quantile(self.milliseconds, part)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at what the flood may fill; `claim_ms` and `cleanup_ms` are what a claim of a batch and a cleanup take."""

    queue: int
    redis_bytes: int
    worker_bytes: int
    claim_ms: float
    cleanup_ms: float


@dataclass
class Watch:
    """Looks every second for as long as it is entered."""

    stack: Stack
    sessions: Sessions
    looks: list[Look] = field(default_factory=list)

    @contextmanager
    def looking(self) -> Iterator[list[Look]]:
        """Give the looks, which grow."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(LOOK_EVERY):
                self.looks.append(self.look())

        thread = threading.Thread(target=run, name="watch")
        thread.start()
        try:
            yield self.looks
        finally:
            over.set()
            thread.join()

    def look(self) -> Look:
        """Look once."""
        settings = self.stack.settings
        with redis.Redis.from_url(settings.required_redis_url()) as client:
            queue, memory = cast("int", client.llen(QUEUE)), cast("dict[str, int]", client.info("memory"))
        return Look(
            queue=queue,
            redis_bytes=memory["used_memory"],
            worker_bytes=psutil.Process(self.stack.own_processes[0].pid).memory_info().rss,
            claim_ms=self._time(lambda session: transitions.claim(session, worker="w", limit=settings.batch_size)),
            cleanup_ms=self._time(lambda session: transitions.reset_stuck(session, older_than=settings.stuck_after)),
        )

    def _time(self, work: Callable[..., object]) -> float:
        """Return the milliseconds of a transaction that is then rolled back."""
        with self.sessions() as session:
            session.connection()
            began = time.perf_counter()
            work(session)
            return 1000 * (time.perf_counter() - began)


# --- the run ----------------------------------------------------------------------------------------------------------


def measure(folder: Path, *, jobs: int, seconds: float, tell: Callable[[str], None] = lambda _: None) -> Proof:
    """Accept signups, pour the flood into the database, accept on, and compare."""
    with local_stack(folder, {"CIO_API_RATE_LIMIT": "100000"}, fresh=True, tell=lambda *_: None) as stack:
        engine = make_engine(stack.settings.required_database_url())
        watch = Watch(stack, make_sessions(engine))
        try:
            submit_for(stack, "warm-up", min(seconds / 4, 10))
            calm = accept(stack, engine, "calm", min(seconds / 2, 30))
            before = watch.look()
            tell(f"calm: {calm.share(0.5):.0f} ms; pouring {jobs:,} jobs")
            poured_in = pour(engine, jobs)
            tell(f"poured in {poured_in:.0f} s; {seconds:g} s of flood")
            since = time.time()
            with watch.looking() as looks:
                flooded = accept(stack, engine, "flooded", seconds)
            return judge(
                Flood(
                    jobs=jobs,
                    window=stack.settings.wake_window,
                    calm=calm,
                    flooded=flooded,
                    before=before,
                    looks=looks,
                    delivered=count_delivered(engine, since) / (time.time() - since),
                )
            )
        finally:
            engine.dispose()


def pour(engine: Engine, jobs: int) -> float:
    """Make so many jobs that are due, all at once; return the seconds. Nobody rings for them and nobody analyses tables."""
    began = time.monotonic()
    with engine.begin() as connection:
        for statement in POUR:
            connection.execute(text(statement), {"jobs": jobs, "each": SIGNUPS_PER_CUSTOMER})
    engine.dispose()
    return time.monotonic() - began


def accept(stack: Stack, engine: Engine, operator: str, seconds: float) -> Accepted:
    """Submit signups at a steady pace, and return how it went."""
    answers = submit_for(stack, operator, seconds)
    with engine.connect() as connection:
        delays = [
            None if delay is None else float(delay) for delay in connection.scalars(DELAYS, {"operator": operator})
        ]
    return Accepted(
        milliseconds=[took for took, _ in answers],
        refused=sum(status != HTTPStatus.CREATED for _, status in answers),
        delays=[delay for delay in delays if delay is not None],
        waiting=delays.count(None),
    )


def submit_for(stack: Stack, operator: str, seconds: float) -> list[tuple[float, int]]:
    """Let a few callers submit for so long; return the milliseconds and the status of each answer."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(CALLERS) as callers:
        parts = callers.map(lambda _: list(submit(stack, operator, until)), range(CALLERS))
        return [answer for part in parts for answer in part]


def submit(stack: Stack, operator: str, until: float) -> Iterator[tuple[float, int]]:
    pause = threading.Event()
    headers = {"Authorization": f"Bearer {stack.tokens[Role.APP]}"}
    with requests.Session() as http:
        while (began := time.monotonic()) < until:
            customer = {"email": f"fresh{next(numbers)}@example.com", "firstName": "Ada", "lastName": "Lovelace"}
            body = {"customer": customer, "operatorId": operator}
            answer = http.post(f"{stack.api_url}/api/v1/signups", json=body, headers=headers, timeout=TIMEOUT)
            took = time.monotonic() - began
            yield 1000 * took, answer.status_code
            pause.wait(max(CALLERS / PER_SECOND - took, 0))


def count_delivered(engine: Engine, since: float) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(DELIVERED, {"since": since}) or 0)


# --- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What was measured before the flood and in it; `delivered` is in jobs a second."""

    jobs: int
    window: int
    calm: Accepted
    flooded: Accepted
    before: Look
    looks: Sequence[Look]
    delivered: float

    @property
    def at_work(self) -> Sequence[Look]:
        """The looks without the first third, in which the worker gets to work."""
        return self.looks[len(self.looks) // 3 :]

    @property
    def growth(self) -> int:
        return self.at_work[-1].worker_bytes - self.at_work[0].worker_bytes

    def most(self, name: str) -> int:
        return max(getattr(look, name) for look in self.looks)

    def slower(self, part: float) -> float:
        return self.flooded.share(part) / self.calm.share(part)


def judge(flood: Flood) -> Proof:
    """Return the figures, and what is out of bounds."""
    return Proof(
        claim="A flood fills neither Redis nor the worker, and keeps no signup out",
        figures=figures_of(flood),
        faults=list(find_faults(flood)),
    )


def figures_of(flood: Flood) -> dict[str, object]:
    calm, flooded, looks = flood.calm, flood.flooded, flood.looks
    worker = [look.worker_bytes for look in (flood.before, flood.at_work[0], flood.at_work[-1])]
    return {
        "jobs poured in": flood.jobs,
        "delivered a second": flood.delivered,
        "drained at that pace in, min": flood.jobs / flood.delivered / 60 if flood.delivered else "never",
        "most messages in the queue": flood.most("queue"),
        "Redis before, at most, MB": megabytes(flood.before.redis_bytes, flood.most("redis_bytes")),
        "worker before, after a third, at the end, MB": megabytes(*worker),
        "a claim of a batch, median and 99 %, ms": spread([look.claim_ms for look in looks]),
        "a cleanup, median and 99 %, ms": spread([look.cleanup_ms for look in looks]),
        "signups submitted before, during": f"{len(calm.milliseconds):,} {len(flooded.milliseconds):,}",
        "accepted in before, median and 99 %, ms": spread(calm.milliseconds),
        "accepted in during, median and 99 %, ms": spread(flooded.milliseconds),
        "times slower, median": flood.slower(0.5),
        "times slower, 99 %": flood.slower(0.99),
        "delivered after before, median and 99 %, s": spread(calm.delays),
        "delivered after during, median and 99 %, s": spread(flooded.delays),
        "submitted during, not delivered at the end": flooded.waiting,
    }


def find_faults(flood: Flood) -> Iterator[str]:
    if flood.most("queue") > WINDOWS * flood.window:
        yield f"{flood.most('queue')} messages in the queue, with a window of {flood.window}"
    if flood.most("redis_bytes") - flood.before.redis_bytes > MOST_REDIS:
        yield "Redis filled"
    if flood.most("worker_bytes") > MOST_WORKER:
        yield f"the worker took {megabytes(flood.most('worker_bytes'))} MB"
    if flood.growth > MOST_GROWTH:
        yield f"the worker grew by {megabytes(flood.growth)} MB"
    if max(flood.slower(0.5), flood.slower(0.99)) > MOST_SLOWER:
        yield f"accepting took more than {MOST_SLOWER:g} times longer"
    if refused := flood.calm.refused + flood.flooded.refused:
        yield f"{refused} signups were refused"
    if not flood.delivered:
        yield "nothing was delivered"


def megabytes(*sizes: int) -> str:
    return " ".join(f"{size / MEGABYTE:.1f}" for size in sizes)


def spread(values: Sequence[float]) -> str:
    """Return the median and what 99 % are within."""
    return f"{quantile(values, 0.5):.1f} {quantile(values, 0.99):.1f}" if values else "none"


@click.command()
@click.option("--jobs", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(2, 3600), default=120, show_default=True, help="Of flood.")
def main(*, jobs: int, seconds: float) -> None:
    """Pour jobs into the database and see what gives. Exit code 0 when nothing did, 1 when something did."""
    with exit_on(), TemporaryDirectory(prefix="ciosync-flood-") as folder:
        conclude(
            measure(Path(folder) / "run", jobs=jobs, seconds=seconds, tell=lambda line: click.echo(line, err=True))
        )


if __name__ == "__main__":
    main()
