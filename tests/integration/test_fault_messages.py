"""Messages that come again, late, or in any order: the row says whether anything is left to do."""

import random
from datetime import timedelta

from sqlalchemy import func, update

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import SyncAttempt, SyncJob
from cio_tasks.processor import sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.concurrency.together import crowd, together
from tests.factories import Factory

JOBS, TIMES, THREADS = 3, 40, 8


def test_messages_that_come_dozens_of_times_in_any_order_deliver_once(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    crowd(make.sessions, JOBS)
    messages = [job.id for job in make.all(SyncJob)] * TIMES
    random.Random(17).shuffle(messages)
    together(THREADS, lambda number: [sync_one(runtime, job_id) for job_id in messages[number::THREADS]])

    assert (fake.ledger.count(), len(make.all(SyncAttempt))) == (JOBS, JOBS)
    assert {(job.status, job.claim_token) for job in make.all(SyncJob)} == {(JobStatus.COMPLETED, 1)}


def test_a_message_that_comes_a_week_late_finds_nothing_to_do(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup()
    sync_one(runtime, make.job(signup).id)
    week = timedelta(days=7)
    with make.sessions.begin() as session:
        session.execute(update(SyncJob).values(completed_at=func.now() - week, updated_at=func.now() - week))

    assert (sync_one(runtime, make.job(signup).id), fake.ledger.count()) == (None, 1)
