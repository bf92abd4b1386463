"""A worker that is killed with a claim in its hands, and how the times are judged."""

from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, func, text

from cio_tasks import maintenance, transitions
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.chaos.killed import AGE, Return, judge, prove, read_kills, read_returns
from tests.factories import Factory

HALF_A_MINUTE = 30.0


@pytest.mark.timeout(600)
def test_the_job_of_a_killed_worker_runs_again_in_time() -> None:
    with TemporaryDirectory(prefix="ciosync-killed-") as folder:
        proof = prove(Path(folder) / "run", kills=1, seed=1, hurry=True)
    assert proof.holds, proof.page()


# --- what is measured -------------------------------------------------------------------------------------------------


def test_a_return_is_measured_from_the_kill_by_the_clock_of_the_database(
    runtime: Runtime, engine: Engine, make: Factory
) -> None:
    make.signup()
    with runtime.sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="host:7:dead", limit=1)
        killed_at = float(session.scalar(text("SELECT extract(epoch FROM now())")) or 0)
    with engine.begin() as connection:
        assert connection.execute(AGE, {"pid": "7", "seconds": 3600}).rowcount == 1
    maintenance.reset_stuck(runtime)
    (lost,) = read_returns(engine, {7: killed_at})
    process_due(runtime, limit=1)
    (back,) = read_returns(engine, {7: killed_at})

    assert (lost.job_id, lost.claimed) == (str(claim.job_id), inf)
    assert 0 < lost.taken_back == back.taken_back <= back.claimed < HALF_A_MINUTE


def test_only_the_claims_of_the_killed_are_aged_and_count(runtime: Runtime, engine: Engine, make: Factory) -> None:
    job = make.job(make.signup())
    make.set(job.id, status="processing", claimed_by="host:17:alive", updated_at=func.now())
    with engine.begin() as connection:
        assert connection.execute(AGE, {"pid": "7", "seconds": 3600}).rowcount == 0
    assert not read_returns(engine, {7: 0.0})


def test_kills_are_read_from_the_notes_of_the_failpoints(tmp_path: Path) -> None:
    assert read_kills(tmp_path) == {}
    (tmp_path / "failpoints").mkdir()
    notes = "worker.after_claim kill 41 12.500\nweb.after_commit kill 42 13.000\n"
    (tmp_path / "failpoints" / "fired.log").write_text(notes)
    assert read_kills(tmp_path) == {41: 12.5}


def back(pid: int, claimed: float) -> Return:
    return Return(pid=pid, job_id="j", taken_back=claimed, claimed=claimed)


@pytest.mark.parametrize(
    ("returns", "fault"),
    [
        ([back(1, 46.1), back(2, 32)], "was claimed again only after 46.1 s"),
        ([back(1, 40), back(2, inf)], "was claimed again only after inf s"),
        ([back(1, 40)], "1 of the killed held no claim"),
    ],
    ids=["too late", "never", "idle"],
)
def test_a_job_that_comes_back_too_late_or_not_at_all_is_a_fault(returns: list[Return], fault: str) -> None:
    (found,) = judge({1: 0.0, 2: 0.0}, returns, 2, waited=31).faults
    assert fault in found


def test_kills_that_never_happened_are_a_fault() -> None:
    proof = judge({1: 0.0}, [back(1, 45.9)], 2, waited=31)
    assert list(proof.faults) == ["only 1 of 2 kills happened"]
    assert proof.figures["claimed again after, s: longest"] == 45.9
