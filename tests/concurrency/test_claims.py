from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, update

from cio_tasks import transitions
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import SyncAttempt, SyncJob
from cio_tasks.outcomes import Deferred, Delivered
from cio_tasks.processor import process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.concurrency.together import crowd, together
from tests.factories import Factory

THREADS = 24


@pytest.fixture
def workers(runtime: Runtime) -> list[Runtime]:
    """Workers that share one database and one Customer.io, in a hurry."""
    settings = runtime.settings.model_copy(update={"batch_size": 20, "rate_limit": 1000})
    client = CustomerIO.from_settings(settings)
    return [replace(runtime, settings=settings, client=client, worker=f"w{number}") for number in range(THREADS)]


def times_sent(fake: FakeCustomerIO) -> Counter[Any]:
    operations = [operation for entry in fake.ledger.entries() for operation in entry["operations"]]
    return Counter(operation["event_id"] for operation in operations if operation["event_id"])


def test_many_workers_deliver_every_job_once(workers: list[Runtime], make: Factory, fake: FakeCustomerIO) -> None:
    crowd(workers[0].sessions, 2_000)
    summaries = together(THREADS, lambda number: process_due(workers[number], limit=2_000))
    jobs, attempts = make.all(SyncJob), make.all(SyncAttempt)

    assert sum(summary.succeeded for summary in summaries) == sum(summary.processed for summary in summaries) == 2_000
    assert {(job.status, job.claim_token, job.attempt_count) for job in jobs} == {(JobStatus.COMPLETED, 1, 0)}
    assert Counter(times_sent(fake).values()) == {1: 2_000}
    assert len({(attempt.job_id, attempt.claim_token) for attempt in attempts}) == len(attempts) == 2_000
    assert len({attempt.worker for attempt in attempts}) > 1


def test_a_message_and_the_sweep_do_not_deliver_a_job_twice(
    workers: list[Runtime], make: Factory, fake: FakeCustomerIO
) -> None:
    crowd(workers[0].sessions, 100)
    ids = [job.id for job in make.all(SyncJob)]

    def work(number: int) -> None:
        if number % 3 == 0:
            process_due(workers[number], limit=100)
        for job_id in ids[number % 4 :: 4]:
            sync_one(workers[number], job_id)

    together(THREADS, work)

    assert Counter(times_sent(fake).values()) == {1: 100}
    assert {(job.status, job.claim_token) for job in make.all(SyncJob)} == {(JobStatus.COMPLETED, 1)}


def test_of_many_threads_exactly_one_claims_a_job(sessions: Sessions, make: Factory) -> None:
    """Fifteen rounds of 32 threads: each round has one winner, and the token counts the rounds."""
    job_id = make.job(make.signup()).id

    def work(number: int) -> list[int]:
        with sessions.begin() as session:
            claims = transitions.claim(session, worker=f"w{number}", limit=1, job_id=job_id)
        return [claim.token for claim in claims]

    for played in range(1, 16):
        assert [token for tokens in together(32, work) for token in tokens] == [played]
        make.set(job_id, status="pending", claimed_by=None)


def test_of_many_results_for_one_claim_exactly_one_is_recorded(sessions: Sessions, make: Factory) -> None:
    job = make.job(make.signup())
    with sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="w", limit=1)

    def work(number: int) -> int:
        with sessions.begin() as session:
            if number % 2:
                return len(transitions.complete(session, [claim], Delivered(200), None))
            return len(transitions.release(session, [claim], Deferred("stopping", ""), None))

    assert sum(together(16, work)) == 1
    assert len(make.attempts(job)) <= 1


def test_two_sweeps_take_a_stuck_job_back_once(workers: list[Runtime], make: Factory) -> None:
    sessions = workers[0].sessions
    crowd(sessions, 50)
    with sessions.begin() as session:
        transitions.claim(session, worker="dead", limit=50)
    with sessions.begin() as session:
        stale = func.now() - workers[0].settings.stuck_after * 2
        session.execute(update(SyncJob).values(updated_at=stale))

    def work(_: int) -> int:
        with sessions.begin() as session:
            return len(transitions.reset_stuck(session, older_than=workers[0].settings.stuck_after))

    assert sum(together(8, work)) == 50
    assert {(job.status, job.attempt_count) for job in make.all(SyncJob)} == {("pending", 1)}
    assert len(make.all(SyncAttempt)) == 50
