"""A delivery that breaks in this process, for want of memory or by a mistake of ours: the claim outlives it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import func

from cio_tasks import failpoints, maintenance
from cio_tasks.failpoints import FailpointReached
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import DeadLetter, Signup, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.factories import Factory

HOUR = timedelta(hours=1)


@pytest.fixture
def _broken() -> Iterator[None]:
    """Whatever is claimed breaks before it is sent."""
    failpoints.arm("worker.after_claim=raise")
    yield
    failpoints.arm(None)


def break_off(runtime: Runtime, make: Factory) -> SyncJob:
    """Let a delivery break, and its claim be taken back when its time is over; return the job."""
    with pytest.raises(FailpointReached):
        process_due(runtime, limit=1)
    (signup,) = make.all(Signup)
    job = make.job(signup)
    assert job.status == JobStatus.PROCESSING
    make.set(job.id, updated_at=func.now() - HOUR)
    assert maintenance.reset_stuck(runtime) == 1
    return make.job(signup)


@pytest.mark.usefixtures("_broken")
def test_a_delivery_that_breaks_costs_one_retry_and_goes_on(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    make.signup()
    job = break_off(runtime, make)
    failpoints.arm(None)

    assert (job.status, job.attempt_count) == (JobStatus.PENDING, 1)
    assert (process_due(runtime, limit=1).succeeded, fake.ledger.count()) == (1, 1)


@pytest.mark.usefixtures("_broken")
def test_a_delivery_that_always_breaks_ends_in_the_dead_letters(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    make.signup()
    statuses = [break_off(runtime, make).status for _ in range(6)]
    (letter,) = make.all(DeadLetter)

    assert statuses == [JobStatus.PENDING] * 5 + [JobStatus.FAILED]
    assert (letter.error_code, fake.ledger.count()) == ("worker_lost", 0)
