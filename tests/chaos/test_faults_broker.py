"""A Redis that is there and of no use, and stores that are gone: signups are taken, delivered, and little is said of it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import psutil
import pytest
import redis

from cio_tasks.fake import Scenario
from cio_tasks.states import JobStatus
from tests.chaos.crew import Crew, crew
from tests.chaos.proxy import Fault, Mode
from tests.conftest import TEMPLATE, Server, copied_database
from tests.eventually import eventually

OUTAGE_SECONDS = 3.0
FEW_DESCRIPTORS = 8
LINES_PER_SECOND = 12
"""Beside one line for each message that meets the outage. Beat is twenty times as fast here as in life."""

Command = tuple[str | int, ...]


@pytest.fixture(scope="module")
def running(postgres: Server, servers_dir: Path) -> Iterator[Crew]:
    with (
        copied_database(postgres.url, TEMPLATE) as url,
        crew(servers_dir / f"broker-{uuid4().hex[:8]}", url) as made,
    ):
        made.start("one")
        made.start("beat", "beat")
        made.wait_for_workers(1)
        yield made


@pytest.fixture
def client(running: Crew) -> Iterator[redis.Redis]:
    """A connection that was there before the fault, and so may still take it back."""
    with redis.Redis.from_url(running.broker.url, single_connection_client=True) as client:
        client.ping()
        yield client


def order(client: Any, *command: str | int) -> None:
    """Send a command as it is; the library types this door to itself not at all."""
    client.execute_command(*command)


def refusals(client: redis.Redis, kind: str) -> int:
    """Return how often this server has refused a command so."""
    told = cast("dict[str, dict[str, int]]", client.info("errorstats"))
    return told.get(f"errorstat_{kind}", {}).get("count", 0)


@pytest.mark.parametrize(
    ("kind", "begin", "end"),
    [
        ("OOM", [("CONFIG", "SET", "maxmemory", 1)], [("CONFIG", "SET", "maxmemory", 0)]),
        ("READONLY", [("REPLICAOF", "127.0.0.1", 1)], [("REPLICAOF", "NO", "ONE")]),
        (
            "NOAUTH",
            [("CONFIG", "SET", "requirepass", "other"), ("CLIENT", "KILL", "TYPE", "normal")],
            [("CONFIG", "SET", "requirepass", "")],
        ),
    ],
    ids=["full", "read only", "another password"],
)
def test_a_redis_that_refuses_holds_nobody_up_for_long(
    running: Crew, client: redis.Redis, kind: str, begin: list[Command], end: list[Command]
) -> None:
    before, restarts = refusals(client, kind), running.processes["one"].restarts
    for command in begin:
        order(client, *command)
    signups = running.submit(5)
    eventually(lambda: refusals(client, kind) >= before + 3, seconds=60)
    for command in end:
        order(client, *command)
    signups += running.submit(1)
    running.wait_until_delivered(signups)

    assert set(running.events_of(signups).values()) == {1}
    assert running.processes["one"].restarts <= restarts + 1, "its supervisor had to start it more than once"


def test_a_broker_that_is_lost_in_mid_delivery_repeats_nothing(running: Crew, client: redis.Redis) -> None:
    before = running.fake.ledger.count()
    running.fake.scenario = Scenario(latency_seconds=0.5)
    signups = running.submit(5)
    eventually(lambda: running.fake.ledger.count() > before, seconds=60)
    order(client, "CLIENT", "KILL", "TYPE", "normal")
    running.wait_until_delivered(signups)
    running.fake.scenario = Scenario()

    assert set(running.events_of(signups).values()) == {1}
    assert {job.attempt_count for job in running.jobs(signups)} == {0}


@contextmanager
def redis_gone(running: Crew) -> Iterator[None]:
    running.broker.kill()
    yield
    running.broker.start()


@contextmanager
def postgres_gone(running: Crew) -> Iterator[None]:
    running.postgres.use(Fault(mode=Mode.REFUSE))
    yield
    running.postgres.heal()


def lines(running: Crew) -> dict[str, int]:
    """Return how many lines each process has logged."""
    return {name: len(process.log_path.read_text().splitlines()) for name, process in running.processes.items()}


@pytest.mark.parametrize("gone", [redis_gone, postgres_gone])
def test_an_outage_makes_few_words_and_loses_nothing(
    running: Crew, gone: Callable[[Crew], AbstractContextManager[None]]
) -> None:
    signups, before, began = running.submit(20), lines(running), time.monotonic()
    with gone(running):
        signups += running.submit(20)
        eventually(lambda: time.monotonic() - began > OUTAGE_SECONDS, seconds=60)
        said, lasted = lines(running), time.monotonic() - began
    running.wait_until_delivered(signups)

    most = LINES_PER_SECOND * lasted + len(signups)
    assert {name: count - before[name] for name, count in said.items() if count - before[name] > most} == {}


@contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """Let a process open nothing more; should it end for that, its successor may."""
    process = psutil.Process(pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (FEW_DESCRIPTORS, before[1]))
    yield
    with suppress(psutil.NoSuchProcess):
        process.rlimit(psutil.RLIMIT_NOFILE, before)


def test_a_worker_that_can_open_nothing_goes_on_when_it_can(running: Crew) -> None:
    worker = running.processes["one"]
    running.wait_until_delivered(running.submit(1))
    before = psutil.Process(worker.pid).num_fds()
    with no_descriptors(worker.pid):
        running.postgres.use(Fault(mode=Mode.RESET))
        running.postgres.heal()
        signups, said = running.submit(5), lines(running)["one"]
        eventually(lambda: lines(running)["one"] > said, seconds=60)
    running.wait_until_delivered(signups)

    assert psutil.Process(worker.pid).num_fds() <= before + 10


def test_a_log_that_takes_nothing_more_stops_no_worker(running: Crew) -> None:
    running.processes["one"].terminate()
    talker = running.start("talker", prefix=["sh", "-c", 'exec "$0" "$@" 2> /dev/full', sys.executable])
    refused = running.make.signup(f"{uuid4().hex}+400@example.com")
    running.wait_until_delivered(running.submit(5))
    eventually(lambda: [job.status for job in running.jobs([refused])] == [JobStatus.FAILED], seconds=60)
    assert (talker.restarts, talker.is_alive()) == (0, True)
    talker.terminate()
    running.processes["one"].restart()
