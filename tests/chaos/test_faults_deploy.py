"""What people do to a system that works: deploy it, give it new credentials, stop it for a while."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from cio_tasks import gate, heartbeats, operations
from cio_tasks.fake import Scenario
from cio_tasks.models import DeadLetter, Signup
from cio_tasks.states import JobStatus
from tests.chaos.crew import SITE_ID, Crew, crew
from tests.conftest import TEMPLATE, Server, copied_database
from tests.eventually import eventually

GRACE = timedelta(seconds=20)
NEW_KEY = "crew-new-key"
THREADS = 4
SLOWLY = {"CIO_BATCH_SIZE": "1", "CIO_WAKE_WINDOW": "0"}


@pytest.fixture(scope="module")
def running(postgres: Server, servers_dir: Path) -> Iterator[Crew]:
    """Two workers, and two beats that know nothing of each other. Nobody rings, so there is always something left."""
    with (
        copied_database(postgres.url, TEMPLATE) as url,
        crew(servers_dir / f"deploy-{uuid4().hex[:8]}", url, **SLOWLY) as made,
    ):
        for name in ("one", "two"):
            made.start(name, threads=THREADS)
        for name in ("beat", "second_beat"):
            made.start(name, "beat")
        made.wait_for_workers(2)
        yield made


@pytest.fixture
def system(running: Crew) -> Crew:
    running.fake.scenario = Scenario()
    return running


def closed(system: Crew) -> list[str]:
    with system.make.sessions() as session:
        return [row.reason for row in gate.list_closed(session)]


def open_letters(system: Crew) -> list[DeadLetter]:
    with system.make.sessions() as session:
        return list(session.scalars(select(DeadLetter).where(DeadLetter.resolved_at.is_(None))))


def let_beat_tick(system: Crew, times: int) -> None:
    """Wait until what beat sends was worked on so many times more; it sends sweeps as often."""
    for _ in range(times):
        eventually(partial(has_ticked_since, system, last_tick(system)), seconds=60)


def has_ticked_since(system: Crew, moment: datetime | None) -> bool:
    return last_tick(system) != moment


def last_tick(system: Crew) -> datetime | None:
    with system.make.sessions() as session:
        return heartbeats.last_tick(session)


def test_a_rolling_restart_under_load_loses_repeats_and_spends_nothing(system: Crew) -> None:
    """What a stopped worker gives back is delivered by the other, long before a claim would be taken for stuck."""
    done = []
    for worker in system.workers:
        system.fake.scenario = Scenario(latency_seconds=1)
        signups = system.submit(48)  # for six seconds at least, since there are eight threads in all
        eventually(partial(is_busy, system, signups), seconds=60)
        worker.terminate(GRACE)
        assert worker.returncode == 0, "it did not end by itself"
        assert any(job.status == JobStatus.PENDING for job in system.jobs(signups)), "it went on to the end"
        system.fake.scenario = Scenario()
        system.wait_until_delivered(signups)
        worker.restart()
        system.wait_for_workers(2)
        done += signups

    assert set(system.events_of(done).values()) == {1}
    assert {job.attempt_count for job in system.jobs(done)} == {0}
    assert {attempt.outcome for attempt in system.attempts(done)} == {"delivered"}


def is_busy(system: Crew, signups: Sequence[Signup]) -> bool:
    return any(job.status == JobStatus.PROCESSING for job in system.jobs(signups))


def test_an_operator_stops_deliveries_under_load_and_lets_them_go_on(system: Crew) -> None:
    system.fake.scenario = Scenario(latency_seconds=0.05)
    before = system.fake.ledger.count()
    signups = system.submit(40)
    eventually(lambda: system.fake.ledger.count() > before, seconds=60)
    operations.close_gate(system.make.sessions, note="an incident", actor="ops")
    eventually(lambda: not is_busy(system, signups), seconds=60)
    asked = system.fake.ledger.count()
    signups += system.submit(5)
    let_beat_tick(system, 3)
    assert system.fake.ledger.count() == asked, "something was sent through a closed gate"
    operations.open_gate(system.make.sessions, actor="ops")
    system.wait_until_delivered(signups)

    assert set(system.events_of(signups).values()) == {1}
    assert {job.attempt_count for job in system.jobs(signups)} == {0}


def test_credentials_that_were_rotated_bury_nobody(system: Crew) -> None:
    """From one moment on Customer.io knows only the new ones; workers that are started then have them."""
    signups = system.submit(10)
    system.fake.rotate(site_id=SITE_ID, api_key=NEW_KEY)
    signups += system.submit(20)
    eventually(lambda: closed(system) == ["auth"], seconds=60)
    signups += system.submit(20)
    let_beat_tick(system, 3)
    spent = {job.attempt_count for job in system.jobs(signups)}
    for worker in system.workers:
        worker.terminate(GRACE)
    for name in ("new", "newer"):
        system.start(name, threads=THREADS, CUSTOMERIO_API_KEY=NEW_KEY)
    system.wait_until_delivered(signups)

    system.wait_for_workers(2)

    assert (spent, open_letters(system), closed(system)) == ({0}, [], [])
