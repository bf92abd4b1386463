from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import func, text

from cio_tasks import events, maintenance, transitions
from cio_tasks.claims import Claim
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.outcomes import Delivered
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.factories import Factory

HOUR = timedelta(hours=1)
Abandon = Callable[..., Claim]
CROWD = [
    """INSERT INTO customers (email, first_name, last_name)
       SELECT i || '@example.com', 'Ada', 'Lovelace' FROM generate_series(1, 1100) i""",
    "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-1' FROM customers",
    """INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase, status, claim_token, updated_at)
       SELECT id, 'initial', 'processing', 1, now() - interval '1 hour' FROM signups""",
]


@pytest.fixture
def abandon(runtime: Runtime, make: Factory) -> Abandon:
    """Claims a job and dies."""

    def abandon(job_id: UUID, *, ago: timedelta = HOUR) -> Claim:
        with runtime.sessions.begin() as session:
            (claim,) = transitions.claim(session, worker="the dead one", limit=1, job_id=job_id)
        make.set(job_id, updated_at=func.now() - ago)
        return claim

    return abandon


@pytest.mark.row("D3", "D4", "D5")
def test_a_job_whose_worker_is_gone_is_pending_again(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    job = make.job(make.signup())
    abandon(job.id)
    count = maintenance.reset_stuck(runtime)
    after = make.all(SyncJob)[0]

    assert (count, after.status, after.claimed_by, after.next_retry_at) == (1, JobStatus.PENDING, None, None)
    assert after.updated_at > job.updated_at
    assert process_due(runtime, limit=10).succeeded == 1


@pytest.mark.row("D3")
@pytest.mark.parametrize(("seconds", "stuck"), [(299, 0), (301, 1)])
def test_a_job_is_stuck_after_five_minutes(
    runtime: Runtime, make: Factory, abandon: Abandon, seconds: int, stuck: int
) -> None:
    abandon(make.job(make.signup()).id, ago=timedelta(seconds=seconds))

    assert maintenance.reset_stuck(runtime) == stuck


@pytest.mark.row("D3")
def test_the_time_until_a_job_is_stuck_is_a_setting(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    abandon(make.job(make.signup()).id)
    patient = replace(runtime, settings=runtime.settings.model_copy(update={"stuck_after": 2 * HOUR}))

    assert (maintenance.reset_stuck(patient), maintenance.reset_stuck(runtime)) == (0, 1)


@pytest.mark.parametrize("shift", [-24 * HOUR, 24 * HOUR])
def test_the_clock_of_the_database_decides_what_is_stuck(
    runtime: Runtime, make: Factory, abandon: Abandon, shift: timedelta
) -> None:
    young, old = make.job(make.signup()), make.job(make.signup())
    abandon(young.id, ago=timedelta(0))
    abandon(old.id)
    with time_machine.travel(old.created_at + shift, tick=True):
        assert maintenance.reset_stuck(runtime) == 1


def test_a_crash_costs_a_retry_and_leaves_an_attempt(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    job = make.job(make.signup())
    claim = abandon(job.id)
    maintenance.reset_stuck(runtime)
    (attempt,), (entry,) = make.attempts(job), make.all(AuditEntry, action="reset_stuck")

    assert make.all(SyncJob)[0].attempt_count == 1
    assert (attempt.outcome, attempt.error_code, attempt.retry) == ("worker_lost", "worker_lost", 0)
    assert (attempt.worker, attempt.claim_token) == ("the dead one", claim.token)
    assert (entry.job_id, entry.details["worker"]) == (job.id, "the dead one")


def test_a_job_that_kills_its_workers_ends_in_the_dead_letters(
    runtime: Runtime, make: Factory, abandon: Abandon
) -> None:
    signup = make.signup()
    for _ in range(6):
        abandon(make.job(signup).id)
        maintenance.reset_stuck(runtime)
    job, (letter,), (row,) = make.job(signup), make.all(DeadLetter), make.all(Signup)

    assert (job.status, job.attempt_count, job.error_code) == (JobStatus.FAILED, 5, "worker_lost")
    assert (letter.error_code, letter.exhausted_retries, letter.attempt_count) == ("worker_lost", True, 5)
    assert (row.customerio_sync_failed, row.customerio_sync_error) == (True, job.error_message)
    assert [attempt.retry for attempt in make.attempts(job)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.row("C12", "E5")
def test_the_end_of_a_job_that_kills_its_workers_is_told_like_any_other(
    runtime: Runtime, make: Factory, abandon: Abandon
) -> None:
    job = make.job(make.signup())
    make.set(job.id, attempt_count=5)
    abandon(job.id)
    heard: list[tuple[str, dict[str, Any]]] = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        heard.append((name, facts))

    events.listen(listener)
    maintenance.reset_stuck(runtime)
    events.unlisten(listener)
    told = [facts for name, facts in heard if name == "sync.failed"]

    assert [(facts["job_id"], facts["exhausted_retries"]) for facts in told] == [(str(job.id), True)]
    assert make.all(AuditEntry, action="customerio_sync_failed")[0].details["exhaustedRetries"] is True


def test_other_jobs_are_left_alone(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    jobs = [make.job(make.signup()) for _ in range(4)]
    for job, status in zip(jobs, ["pending", "completed", "failed", "processing"], strict=True):
        make.set(job.id, status=status)
    make.set(jobs[0].id, updated_at=func.now() - HOUR)

    assert maintenance.reset_stuck(runtime) == 0
    assert [job.status for job in make.all(SyncJob)] == ["pending", "completed", "failed", "processing"]


def test_a_late_result_is_dropped(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    job = make.job(make.signup())
    claim = abandon(job.id)
    maintenance.reset_stuck(runtime)

    with runtime.sessions.begin() as session:
        held = transitions.complete(session, [claim], Delivered(200), None)

    assert (held, maintenance.reset_stuck(runtime)) == ([], 0)
    assert make.all(SyncJob)[0].status == JobStatus.PENDING
    assert len(make.attempts(job)) == 1


def test_one_run_takes_back_every_stuck_job(runtime: Runtime, make: Factory) -> None:
    with runtime.sessions.begin() as session:
        for statement in CROWD:
            session.execute(text(statement))

    assert maintenance.reset_stuck(runtime) == 1100
    assert {job.status for job in make.all(SyncJob)} == {JobStatus.PENDING}


def test_one_odd_row_does_not_keep_the_others_stuck(runtime: Runtime, make: Factory, abandon: Abandon) -> None:
    """Rows that a crash, an operator or an older version left behind: an attempt and a dead letter are there already."""
    jobs = [make.job(make.signup()) for _ in range(5)]
    for job in jobs:
        make.set(job.id, attempt_count=5)
        abandon(job.id)
    with runtime.sessions.begin() as session:
        session.add(SyncAttempt(job_id=jobs[2].id, claim_token=1, retry=5, outcome="released", started_at=func.now()))
        session.add(
            DeadLetter(
                job_id=jobs[3].id,
                signup_id=jobs[3].signup_id,
                sync_phase="initial",
                error_type="other",
                error_code="x",
                error_message="x",
                attempt_count=5,
                exhausted_retries=True,
            )
        )

    assert maintenance.reset_stuck(runtime) == 5
    assert {job.status for job in make.all(SyncJob)} == {JobStatus.FAILED}
    assert len(make.all(DeadLetter, resolved_at=None)) == 5
