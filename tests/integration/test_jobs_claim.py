from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, event, func, select, text

from cio_tasks import transitions
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import DeadLetter, Signup, SyncJob
from cio_tasks.processor import process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

HOUR = timedelta(hours=1)
Take = Callable[..., list[Claim]]


@pytest.fixture
def take(sessions: Sessions) -> Take:
    def take(limit: int = 10, **options: Any) -> list[Claim]:
        with sessions.begin() as session:
            return transitions.claim(session, worker="w1", limit=limit, **options)

    return take


def ids(claims: list[Claim]) -> list[Any]:
    return [claim.job_id for claim in claims]


# --- due --------------------------------------------------------------------------------------------------------------


def test_a_claim_is_a_job_in_processing_under_a_new_token(make: Factory, take: Take) -> None:
    signup = make.signup()
    (claim,) = take()
    job = make.job(signup)

    assert (job.status, job.claim_token, job.claimed_by, job.attempt_count) == ("processing", 1, "w1", 0)
    assert (claim.job_id, claim.token, claim.worker, claim.claimed_at) == (job.id, 1, "w1", job.updated_at)
    assert (claim.signup.id, claim.contact_id) == (signup.id, str(signup.customer_id))
    assert job.last_attempt_at == job.updated_at


@pytest.mark.row("E2")
def test_a_job_whose_time_has_not_come_is_not_claimed(make: Factory, take: Take) -> None:
    job = make.job(make.signup())
    make.set(job.id, next_retry_at=func.now() + HOUR)
    assert (take(), take(job_id=job.id)) == ([], [])
    make.make_due(job.id)
    assert ids(take()) == [job.id]


@pytest.mark.parametrize("shift", [-24 * HOUR, 24 * HOUR])
def test_the_clock_of_the_database_decides_what_is_due(make: Factory, take: Take, shift: timedelta) -> None:
    early, due = make.job(make.signup()), make.job(make.signup())
    make.set(early.id, next_retry_at=func.now() + HOUR)
    with time_machine.travel(due.created_at + shift, tick=True):
        assert ids(take()) == [due.id]


def test_the_oldest_debt_is_claimed_first(make: Factory, take: Take) -> None:
    new, old, retried = (make.job(make.signup()) for _ in range(3))
    make.set(old.id, created_at=func.now() - 3 * HOUR)
    make.set(retried.id, created_at=func.now() - 9 * HOUR, next_retry_at=func.now() - HOUR)

    assert [ids(take(1)) for _ in range(4)] == [[old.id], [retried.id], [new.id], []]


def test_a_claim_takes_no_more_than_its_limit(make: Factory, take: Take) -> None:
    for _ in range(5):
        make.signup()

    assert [len(take(3)), len(take(3)), len(take(3))] == [3, 2, 0]


@pytest.mark.parametrize("status", ["processing", "completed", "failed"])
def test_only_pending_jobs_are_claimed(make: Factory, take: Take, status: str) -> None:
    job = make.job(make.signup())
    make.set(job.id, status=status)

    assert (take(), take(job_id=job.id)) == ([], [])


def test_a_row_that_another_session_holds_is_passed_over(sessions: Sessions, make: Factory, take: Take) -> None:
    held, free = make.job(make.signup()), make.job(make.signup())
    with sessions.begin() as other:
        other.execute(select(SyncJob.id).where(SyncJob.id == held.id).with_for_update())
        assert ids(take()) == [free.id]
    assert ids(take()) == [held.id]


def test_an_open_transaction_of_the_application_holds_up_only_its_own_job(
    sessions: Sessions, make: Factory, take: Take
) -> None:
    signup, other = make.signup(), make.signup()
    with sessions.begin() as session:
        session.execute(select(Signup.id).where(Signup.id == signup.id).with_for_update(key_share=True))
        assert sorted(ids(take())) == sorted([make.job(signup).id, make.job(other).id])


def test_a_claim_that_rolls_back_was_none(sessions: Sessions, make: Factory) -> None:
    signup = make.signup()
    with sessions() as session:
        assert len(transitions.claim(session, worker="w1", limit=1)) == 1
        session.rollback()

    assert (make.job(signup).status, make.job(signup).claim_token) == (JobStatus.PENDING, 0)


# --- the order of the phases ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_the_enriched_job_waits_while_the_initial_one_is_unfinished(make: Factory, take: Take, status: str) -> None:
    signup = make.signup()
    enriched = make.confirm(signup)
    make.set(make.job(signup).id, status=status, next_retry_at=func.now() + HOUR)

    assert (take(), take(job_id=enriched.id)) == ([], [])


def test_the_enriched_job_follows_once_the_initial_one_is_completed(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    make.confirm(make.signup())
    summary = process_due(runtime, limit=10)
    names = [operation["name"] for entry in fake.ledger.entries() for operation in entry["operations"]]

    assert summary.succeeded == 2
    assert names == [None, "signup_submitted", None, "signup_extraction_confirmed"]


def test_the_enriched_job_of_one_signup_does_not_wait_for_another(make: Factory, take: Take) -> None:
    waiting, ready = make.signup(), make.signup()
    make.confirm(waiting)
    follower = make.confirm(ready)
    make.set(make.job(waiting).id, next_retry_at=func.now() + HOUR)
    make.set(make.job(ready).id, status="completed", completed_at=func.now())

    assert ids(take()) == [follower.id]


def test_the_enriched_job_of_a_failed_initial_one_is_not_sent(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup("ada+403@example.com")
    make.confirm(signup)
    summary = process_due(runtime, limit=10)
    enriched = make.job(signup, Phase.ENRICHED)
    (letter,) = make.all(DeadLetter, job_id=enriched.id)

    assert (summary.failed, fake.ledger.count()) == (2, 1)
    assert (enriched.status, enriched.error_code, enriched.attempt_count) == ("failed", "initial_failed", 0)
    assert (letter.error_code, letter.exhausted_retries) == ("initial_failed", False)


def test_the_enriched_job_is_revived_when_the_initial_one_completes_later(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup("ada+403x1@example.com")
    make.confirm(signup)
    process_due(runtime, limit=10)
    with runtime.sessions.begin() as session:
        transitions.retry_manually(session, signup.id, phase=Phase.INITIAL, actor="ops")
    summary = process_due(runtime, limit=10)
    (letter,) = make.all(DeadLetter, job_id=make.job(signup, Phase.ENRICHED).id)

    assert summary.succeeded == 2
    assert letter.resolution == "initial_completed"
    assert [row.customerio_sync_failed for row in make.all(Signup)] == [False]


def test_an_enriched_job_that_was_refused_itself_is_not_revived(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    fake.scenario = Scenario(error_rate=1, error_status=404)
    make.confirm(signup)
    process_due(runtime, limit=10)
    fake.scenario = Scenario()
    make.set(make.job(signup).id, status="pending", completed_at=None)
    process_due(runtime, limit=10)

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED


def test_an_enriched_job_without_an_initial_one_is_sent(runtime: Runtime, make: Factory) -> None:
    signup = make.signup(enqueue=False)
    enriched = make.confirm(signup)
    result = sync_one(runtime, enriched.id)

    assert result is not None
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.COMPLETED


# --- the plan ---------------------------------------------------------------------------------------------------------

CROWD = [
    """INSERT INTO customers (email, first_name, last_name)
       SELECT i || '@example.com', 'Ada', 'Lovelace' FROM generate_series(1, 10000) i""",
    """INSERT INTO signups (customer_id, operator_id, extraction_version, extraction_confirmed_at,
                            bet_amount, team_bet_on, odds, confidence)
       SELECT id, 'op', 1, now(), 5, 'Rovers', '+150', 0.5 FROM customers""",
    """INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase, next_retry_at, attempt_count)
       SELECT id, 'initial', now() + random() * interval '1 hour', 4 FROM signups""",
    """INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase, created_at)
       SELECT id, 'enriched', now() - random() * interval '1 hour' FROM signups""",
    "ANALYZE",
]


def plans(engine: Engine, sessions: Sessions, **options: Any) -> str:
    """Return the plan of the claim's UPDATE, as the database makes it."""
    seen: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
    with sessions.begin() as session:
        transitions.claim(session, worker="w1", limit=200, **options)
        statement, parameters = next(call for call in seen if "UPDATE" in call[0])
        rows = session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in rows)


@pytest.fixture
def crowd(engine: Engine) -> None:
    """10,000 signups whose enriched jobs are due and wait for initial jobs that are not."""
    with engine.begin() as connection:
        for statement in CROWD:
            connection.execute(text(statement))


@pytest.mark.usefixtures("crowd")
def test_the_claim_does_not_read_all_initial_jobs_to_let_the_enriched_wait(engine: Engine, sessions: Sessions) -> None:
    plan = plans(engine, sessions)

    assert "ix_sync_jobs_for_claim" in plan
    assert "hashed SubPlan" not in plan


@pytest.mark.usefixtures("crowd")
def test_a_claim_by_id_reads_that_row(engine: Engine, sessions: Sessions) -> None:
    with sessions() as session:
        job_id = session.scalar(select(SyncJob.id).limit(1))
    plan = plans(engine, sessions, job_id=job_id)

    assert "pk_signup_customerio_sync_jobs" in plan
    assert "Seq Scan on signup_customerio_sync_jobs" not in plan
