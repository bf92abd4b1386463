"""The cleanup of what is stuck, against a worker that was not dead after all: slow, and just in time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func

from cio_tasks import maintenance, transitions
from cio_tasks.models import AuditEntry
from cio_tasks.outcomes import Delivered
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.concurrency.together import blocked
from tests.eventually import eventually
from tests.factories import Factory


@pytest.mark.row("D4", "D5")
def test_a_job_that_ends_while_the_cleanup_waits_for_it_stays_ended(runtime: Runtime, make: Factory) -> None:
    job = make.job(make.signup())
    with runtime.sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="slow", limit=1)
    make.set(job.id, updated_at=func.now() - timedelta(hours=1))
    with ThreadPoolExecutor(1) as pool:
        with runtime.sessions.begin() as recording:
            assert transitions.complete(recording, [claim], Delivered(200), None) == [claim]
            cleanup = pool.submit(maintenance.reset_stuck, runtime)
            eventually(lambda: blocked(runtime.sessions) == 1)
        assert cleanup.result() == 0

    assert [(made.status, made.attempt_count) for made in make.all(type(job))] == [(JobStatus.COMPLETED, 0)]
    assert [attempt.outcome for attempt in make.attempts(job)] == ["delivered"]
    assert not make.all(AuditEntry, action="reset_stuck")
