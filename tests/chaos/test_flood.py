"""A small flood, and figures that must not pass."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine

from benchmarks.flood import MEGABYTE, MOST_SLOWER, Accepted, Flood, Look, find_faults, judge, measure, pour
from cio_tasks.models import Customer, SyncJob
from tests.factories import Factory

LOOK = Look(queue=10, redis_bytes=2 * MEGABYTE, worker_bytes=150 * MEGABYTE, claim_ms=20.0, cleanup_ms=1.0)
FAST = Accepted(milliseconds=[10.0] * 100, refused=0, delays=[0.1], waiting=0)
GOOD = Flood(jobs=1000, window=200, calm=FAST, flooded=FAST, before=LOOK, looks=[LOOK] * 9, delivered=500.0)


@pytest.mark.timeout(300)
def test_a_small_flood_is_delivered_while_signups_are_accepted() -> None:
    with TemporaryDirectory(prefix="ciosync-flood-") as folder:
        proof = measure(Path(folder) / "run", jobs=2_000, seconds=6)
    slow = {fault for fault in proof.faults if fault.startswith("accepting took")}  # a busy machine may be that slow
    assert set(proof.faults) == slow, proof.page()


@pytest.mark.parametrize(("jobs", "customers"), [(1, 1), (100, 1), (250, 3)])
def test_as_many_jobs_are_poured_in_as_were_asked_for(engine: Engine, make: Factory, jobs: int, customers: int) -> None:
    pour(engine, jobs)
    assert (len(make.all(SyncJob, status="pending")), len(make.all(Customer))) == (jobs, customers)


def test_a_good_flood_has_no_faults_and_all_its_figures() -> None:
    proof = judge(GOOD)
    assert proof.holds
    assert proof.figures["drained at that pace in, min"] == pytest.approx(1000 / 500 / 60)
    assert proof.figures["times slower, 99 %"] == 1.0


@pytest.mark.parametrize(
    ("look", "fault"),
    [
        (replace(LOOK, queue=401), "401 messages in the queue"),
        (replace(LOOK, redis_bytes=19 * MEGABYTE), "Redis filled"),
        (replace(LOOK, worker_bytes=301 * MEGABYTE), "the worker took 301.0 MB"),
        (replace(LOOK, worker_bytes=199 * MEGABYTE), "the worker grew by 49.0 MB"),
    ],
    ids=["queue", "redis", "worker", "growth"],
)
def test_what_fills_is_a_fault(look: Look, fault: str) -> None:
    assert fault in " ".join(find_faults(replace(GOOD, looks=[*GOOD.looks, look])))


@pytest.mark.parametrize(
    ("flooded", "fault"),
    [
        (replace(FAST, milliseconds=[10.0] * 90 + [11 * MOST_SLOWER] * 10), "accepting took more than"),
        (replace(FAST, refused=2), "2 signups were refused"),
    ],
    ids=["slower", "refused"],
)
def test_a_signup_that_is_kept_out_is_a_fault(flooded: Accepted, fault: str) -> None:
    assert fault in " ".join(find_faults(replace(GOOD, flooded=flooded)))


def test_a_flood_of_which_nothing_is_delivered_is_a_fault() -> None:
    proof = judge(replace(GOOD, delivered=0.0))
    assert (list(proof.faults), proof.figures["drained at that pace in, min"]) == (["nothing was delivered"], "never")
