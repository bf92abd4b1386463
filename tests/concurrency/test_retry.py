"""Operators race each other, workers and sweeps: each failure is retried once, and nobody waits for ever."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text, update

from cio_tasks import journal, transitions
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions
from cio_tasks.delivery import Result, Verdict, record
from cio_tasks.errors import NotFound
from cio_tasks.failures import FailureFilter
from cio_tasks.maintenance import reset_stuck
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncJob
from cio_tasks.operations import BulkRetry, close_gate, open_gate, retry_failures, retry_signup
from cio_tasks.outcomes import INITIAL_FAILED, Rejected
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.concurrency.together import blocked, crowd, deadlocks, together
from tests.eventually import eventually
from tests.factories import Factory
from tests.integration.buried import bury

THREADS = 16
ALL = FailureFilter()
FAIL = [
    """UPDATE signup_customerio_sync_jobs
          SET status = 'failed', error_type = 'network', error_code = 'timeout', error_message = 'no answer',
              attempt_count = 5, last_attempt_at = now()""",
    """INSERT INTO customerio_dead_letters
         (job_id, signup_id, sync_phase, error_type, error_code, error_message, attempt_count, exhausted_retries)
       SELECT id, signup_id, sync_phase, error_type, error_code, error_message, attempt_count, true
         FROM signup_customerio_sync_jobs""",
    "UPDATE signups SET customerio_sync_failed = true",
]

ENRICHED_OF_ALL_BUT_THE_FIRST = """
    INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase) SELECT id, 'enriched' FROM signups ORDER BY id OFFSET 1
"""


def failed_crowd(sessions: Sessions, count: int) -> None:
    """Make so many signups whose jobs have failed."""
    crowd(sessions, count)
    with sessions.begin() as session:
        for statement in FAIL:
            session.execute(text(statement))


def statuses(sessions: Sessions) -> set[str]:
    with sessions() as session:
        return set(session.scalars(select(SyncJob.status).distinct()))


@pytest.mark.row("C6", "C10")
def test_of_many_who_retry_one_signup_at_once_exactly_one_wins(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    bury(make, signup)

    def retry(number: int) -> int:
        try:
            return len(retry_signup(runtime.sessions, signup.id, actor=f"ops-{number}"))
        except NotFound:
            return 0

    won = together(THREADS, retry)
    (entry,), (letter,) = make.all(AuditEntry, action="manual_retry"), make.all(DeadLetter)

    assert sorted(won) == [0] * (THREADS - 1) + [1]
    assert entry.actor == letter.resolved_by == f"ops-{won.index(1)}"


def test_of_many_bulk_retries_each_job_is_retried_by_one(engine: Engine, runtime: Runtime, make: Factory) -> None:
    failed_crowd(runtime.sessions, 300)
    results = together(THREADS, lambda number: retry_failures(runtime.sessions, ALL, actor=f"ops-{number}"))
    retried = [entry.job_id for entry in make.all(AuditEntry, action="manual_retry")]

    assert sum(result.retried for result in results) == len(retried) == len(set(retried)) == 300
    assert all(result.matched == result.retried + result.skipped for result in results)
    assert statuses(runtime.sessions) == {JobStatus.PENDING}
    assert deadlocks(engine) == 0


def test_a_job_that_changed_while_the_bulk_waited_for_it_is_skipped(runtime: Runtime, make: Factory) -> None:
    signups = [make.signup() for _ in range(3)]
    jobs = [bury(make, signup) for signup in signups]
    with ThreadPoolExecutor(1) as pool:
        with runtime.sessions.begin() as holder:
            journal.lock_signups(holder, [signup.id for signup in signups])
            bulk = pool.submit(retry_failures, runtime.sessions, ALL, actor="ops")
            eventually(lambda: blocked(runtime.sessions) == 1)
            make.set(jobs[1].id, status="completed", error_type=None, mock=True)
        result = bulk.result()

    assert result == BulkRetry(matched=3, retried=2, skipped=1)
    assert (make.job(signups[1]).status, make.job(signups[1]).mock) == (JobStatus.COMPLETED, True)
    assert {entry.job_id for entry in make.all(AuditEntry, action="manual_retry")} == {jobs[0].id, jobs[2].id}


def test_a_job_that_somebody_holds_is_skipped_when_they_have_changed_it(runtime: Runtime, make: Factory) -> None:
    """By hand, in SQL, past the lock of the signup: the WHERE of the UPDATE looks once more."""
    jobs = [bury(make, make.signup()) for _ in range(3)]
    completed = update(SyncJob).where(SyncJob.id == jobs[1].id).values(status="completed", error_type=None, mock=True)
    with ThreadPoolExecutor(1) as pool:
        with runtime.sessions.begin() as holder:
            holder.execute(completed)
            bulk = pool.submit(retry_failures, runtime.sessions, ALL, actor="ops")
            eventually(lambda: blocked(runtime.sessions) == 1)
        result = bulk.result()

    assert result == BulkRetry(matched=3, retried=2, skipped=1)
    assert [job.status for job in make.all(SyncJob)] == ["pending", "completed", "pending"]


def test_a_refusal_waits_for_the_retry_that_makes_it_untrue(runtime: Runtime, make: Factory) -> None:
    """The operator's transaction is not over when the worker records that the initial job is given up."""
    signup = make.signup()
    bury(make, signup)
    make.confirm(signup)
    with runtime.sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="w", limit=1)
    with ThreadPoolExecutor(1) as pool:
        with runtime.sessions.begin() as operator:
            transitions.retry_manually(operator, signup.id, phase=None, actor="ops")
            recording = pool.submit(record, runtime, [Result(claim, Rejected(INITIAL_FAILED, "not sent"))])
            eventually(lambda: blocked(runtime.sessions) == 1)
        (result,) = recording.result()

    assert (claim.initial_failed, result.verdict) == (True, Verdict.DEFERRED)
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_five_thousand_failures_are_retried_in_one_go(engine: Engine, runtime: Runtime, make: Factory) -> None:
    failed_crowd(runtime.sessions, 5_000)

    assert retry_failures(runtime.sessions, ALL, actor="ops") == BulkRetry(5_000, 5_000, 0)
    assert statuses(runtime.sessions) == {JobStatus.PENDING}
    assert not any(signup.customerio_sync_failed for signup in make.all(Signup))
    assert {letter.resolution for letter in make.all(DeadLetter)} == {"manual_retry"}
    assert len(make.all(AuditEntry, action="manual_retry")) == 5_000
    assert len(make.all(AuditEntry, action="bulk_retry")) == 1


def test_no_transaction_of_a_bulk_retry_ends_between_the_phases_of_a_signup(runtime: Runtime, make: Factory) -> None:
    """All signups but the first have both phases, so that the five hundredth job is the former of two."""
    crowd(runtime.sessions, 260)
    with runtime.sessions.begin() as session:
        session.execute(text(ENRICHED_OF_ALL_BUT_THE_FIRST))
        for statement in FAIL:
            session.execute(text(statement))
    assert retry_failures(runtime.sessions, ALL, actor="ops").retried == 519
    entries = make.all(AuditEntry, action="manual_retry")
    at = {
        signup.id: {entry.created_at for entry in entries if entry.signup_id == signup.id}
        for signup in make.all(Signup)
    }

    assert {len(times) for times in at.values()} == {1}
    assert len({entry.created_at for entry in entries}) == 2


def test_a_bulk_retry_and_the_workers_that_deliver_do_not_hinder_each_other(
    engine: Engine, runtime: Runtime, make: Factory
) -> None:
    """Workers begin to deliver what the first part of the bulk has brought back while the others are still to come."""
    failed_crowd(runtime.sessions, 1_500)
    settings = runtime.settings.model_copy(update={"batch_size": 50, "rate_limit": 1000})
    worker = replace(runtime, settings=settings, client=CustomerIO.from_settings(settings))

    def work(number: int) -> None:
        match number:
            case 0:
                retry_failures(runtime.sessions, ALL, actor="ops")
            case 1:
                close_gate(runtime.sessions, actor="ops", note="", wait=timedelta(milliseconds=50))
                open_gate(runtime.sessions, actor="ops")
            case 2:
                reset_stuck(runtime)
            case _:
                eventually(lambda: delivered(worker) == 1_500, seconds=60)

    together(6, work)

    assert {(job.status, job.claim_token) for job in make.all(SyncJob)} == {(JobStatus.COMPLETED, 1)}
    assert all(signup.customerio_synced and not signup.customerio_sync_failed for signup in make.all(Signup))
    assert deadlocks(engine) == 0


def delivered(worker: Runtime) -> int:
    process_due(worker, limit=500)
    with worker.sessions() as session:
        return len(session.scalars(select(SyncJob.id).where(SyncJob.status == JobStatus.COMPLETED)).all())
