"""Processes whose clocks are hours wrong: what is due, what is stuck and what comes first is for the database to say."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func

from cio_tasks.states import JobStatus
from tests.chaos.crew import Crew, crew
from tests.chaos.skewed import skewed_by
from tests.conftest import TEMPLATE, Server, copied_database

HOURS = 2 * 3600
FIRST_RETRY = timedelta(seconds=5 * 0.05)


@pytest.fixture
def system(postgres: Server, servers_dir: Path) -> Iterator[Crew]:
    """A worker in the future, another in the past, and a beat in the future."""
    with (
        copied_database(postgres.url, TEMPLATE) as url,
        crew(servers_dir / f"clocks-{uuid4().hex[:8]}", url, CIO_BATCH_SIZE="1") as made,
    ):
        made.start("early", prefix=skewed_by(HOURS))
        made.start("late", prefix=skewed_by(-HOURS))
        made.start("beat", "beat", prefix=skewed_by(HOURS))
        made.wait_for_workers(2)
        yield made


def clock_of(system: Crew, name: str) -> datetime:
    """Return what time a worker took it for when it started, as it says in its log."""
    told = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", system.processes[name].log_path.read_text())
    assert told is not None
    return datetime.fromisoformat(told[0])


def test_workers_and_beat_whose_clocks_are_hours_wrong_deliver_in_time_and_steal_nothing(system: Crew) -> None:
    held = system.make.signup()
    system.make.set(
        system.make.job(held).id,
        status=JobStatus.PROCESSING,
        claim_token=1,
        claimed_by="a slow one",
        updated_at=func.now(),
    )
    signups = [*system.submit(20), *(system.make.signup(f"ada{number}+500x1@example.com") for number in range(10))]
    system.wait_until_delivered(signups)
    attempts = [system.make.attempts(job) for job in system.jobs(signups) if job.attempt_count]
    waits = [second.started_at - first.finished_at for first, second in attempts]

    assert min(waits) >= FIRST_RETRY, "a retry came before its time"
    assert system.make.job(held).status == JobStatus.PROCESSING, "it was taken back before its time"
    assert clock_of(system, "early") - clock_of(system, "late") > timedelta(seconds=HOURS)
