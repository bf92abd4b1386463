"""One worker, one beat, one API, one Customer.io: what nobody can see from inside a process."""

import json
from itertools import count
from pathlib import Path
from typing import cast

import pytest
import redis

from cio_tasks.models import SyncAttempt, SyncJob
from cio_tasks.queries import count_jobs
from cio_tasks.states import JobStatus, Phase
from tests.acceptance.conftest import System
from tests.eventually import eventually
from tests.factories import Factory

BET_SLIP = {"betAmount": 12.5, "teamBetOn": "Rovers", "odds": "+150", "confidence": 0.93}


def unfinished(system: System) -> int:
    with system.sessions() as session:
        return count_jobs(session).unfinished


@pytest.mark.row("F1", "F2", "B5", "I3")
def test_a_signup_and_its_extraction_reach_customerio(system: System) -> None:
    signup_id = system.submit("ada@example.com")
    assert system.post(f"/signups/{signup_id}/extraction/confirm", BET_SLIP).status_code == 200
    eventually(lambda: unfinished(system) == 0)
    submitted, confirmed = system.events("signup_submitted"), system.events("signup_extraction_confirmed")
    assert [event["attributes"]["signup_id"] for event in submitted] == [signup_id]
    assert confirmed[0]["attributes"]["bet_amount"] == 12.5


@pytest.mark.row("F3", "B6", "B7")
def test_a_failing_delivery_is_retried_by_celery_and_succeeds(system: System) -> None:
    numbers = count()

    def deliver_another() -> str:
        """With one of them the sweep may be quicker."""
        system.submit(f"ada{next(numbers)}+500x3@example.com")
        eventually(lambda: unfinished(system) == 0, seconds=30)
        return worker_log(system)

    eventually(deliver_another, lambda log: "Retry in" in log)
    jobs = Factory(system.sessions).all(SyncJob)
    assert {(job.status, job.attempt_count) for job in jobs} == {(JobStatus.COMPLETED, 3)}


def test_wiping_redis_under_load_loses_nothing(system: System) -> None:
    client = redis.Redis.from_url(system.broker.url)
    for number in range(60):
        system.submit(f"ada{number}{'+500x1' if number % 10 == 0 else ''}@example.com")
        if number % 15 == 14:
            client.flushall()
    eventually(lambda: unfinished(system) == 0, seconds=60)
    assert len(system.events("signup_submitted")) == 60
    assert Factory(system.sessions).all(SyncJob, status=JobStatus.COMPLETED, sync_phase=Phase.INITIAL)


@pytest.mark.parametrize("scale", ["1"])
def test_worker_consumes_again_after_redis_was_killed_with_retries_held(system: System) -> None:
    """The countdowns are real seconds here, so that the worker holds one when its broker dies."""
    system.submit("ada+500x1@example.com")
    rows = Factory(system.sessions)
    eventually(lambda: [attempt.outcome for attempt in rows.all(SyncAttempt)] == ["retry_later"])
    system.broker.kill()
    system.broker.start()
    system.submit("grace@example.com")
    eventually(lambda: len(system.events("signup_submitted")) == 2, seconds=15)


def test_stopping_a_worker_spends_no_attempt_and_leaves_no_claim(system: System) -> None:
    system.change_customerio(latency_seconds=0.3)
    for number in range(40):
        system.submit(f"ada{number}@example.com")
    rows = Factory(system.sessions)
    eventually(lambda: rows.all(SyncJob, status=JobStatus.PROCESSING))
    worker, *_ = system.stack.own_processes
    worker.terminate()
    assert rows.all(SyncJob, status=JobStatus.PROCESSING) == []
    assert {job.attempt_count for job in rows.all(SyncJob)} == {0}
    worker.restart()
    eventually(lambda: unfinished(system) == 0, seconds=30)


def test_no_log_line_holds_an_address_or_a_secret(system: System) -> None:
    system.submit("canary-person@example.com")
    system.submit("canary-second+badattr@example.com")
    eventually(lambda: unfinished(system) == 0)
    text = "".join(path.read_text() for path in system.stack.logs.glob("*.log"))
    secrets = [*system.stack.settings.secrets, *system.stack.tokens.values()]
    assert not [found for found in ("canary-", *secrets) if found in text]


def test_messages_carry_one_id_and_nothing_else(system: System) -> None:
    worker, *_ = system.stack.own_processes
    worker.terminate()
    system.submit("canary-person@example.com")

    def waiting() -> list[bytes]:
        return cast("list[bytes]", redis.Redis.from_url(system.broker.url).lrange("cio", 0, -1))

    def signups() -> list[bytes]:
        return [one for one in waiting() if json.loads(one)["headers"]["task"] == "cio_tasks.sync_signup"]

    assert len(eventually(signups)) == 1
    assert b"canary" not in b"".join(waiting())


def worker_log(system: System) -> str:
    return (Path(system.stack.logs) / "worker.log").read_text()
