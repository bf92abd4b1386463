from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update

from cio_tasks import heartbeats, retention
from cio_tasks.db import Base, Sessions
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import (
    AuditEntry,
    DeadLetter,
    Heartbeat,
    IdempotencyKey,
    Signup,
    SyncAttempt,
    SyncJob,
    WebhookEvent,
)
from cio_tasks.processor import process_due
from cio_tasks.retention import prune
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import read_stats
from tests.eventually import eventually
from tests.factories import Factory

DAY = timedelta(days=1)
OLD = 91 * DAY
YOUNG = 89 * DAY
NOTHING = dict.fromkeys(retention.TABLES, 0)
TIMES = {
    "customerio_sync_attempts": ("finished_at",),
    "signup_customerio_sync_jobs": ("completed_at", "created_at", "updated_at"),
    "customerio_dead_letters": ("created_at", "resolved_at"),
    "customerio_webhook_events": ("received_at",),
    "idempotency_keys": ("created_at",),
    "customerio_heartbeats": ("seen_at",),
}
MANY = [
    """INSERT INTO customers (email, first_name, last_name)
       SELECT i || '@example.com', 'Ada', 'Lovelace' FROM generate_series(1, 2500) i""",
    "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-1' FROM customers",
    """INSERT INTO signup_customerio_sync_jobs (signup_id, sync_phase, status, completed_at)
       SELECT id, 'initial', 'completed', now() - interval '91 days' FROM signups""",
    """INSERT INTO customerio_sync_attempts (job_id, claim_token, retry, outcome, started_at, finished_at)
       SELECT id, 1, 0, 'delivered', completed_at, completed_at FROM signup_customerio_sync_jobs""",
]


@pytest.fixture
def age(sessions: Sessions) -> Callable[..., None]:
    """Lets time pass for every row of every table, as far as it is set."""

    def age(by: timedelta) -> None:
        with sessions.begin() as session:
            for table in Base.metadata.sorted_tables:
                columns = {name: table.c[name] - by for name in TIMES.get(table.name, ())}
                if columns:
                    session.execute(update(table).values(columns))

    return age


@pytest.fixture
def crowd(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for statement in MANY:
            session.execute(text(statement))


def add(sessions: Sessions, *rows: Any) -> None:
    with sessions.begin() as session:
        session.add_all(rows)


def count(sessions: Sessions, model: Any) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


def waits_for_a_lock(sessions: Sessions) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with sessions() as session:
        return bool(session.scalar(text(waiting)))


def bury(runtime: Runtime, make: Factory, *, resolved: bool = False) -> SyncJob:
    """Return the job of a signup that Customer.io refused."""
    job = make.job(make.signup("ada+400@example.com"))
    process_due(runtime, limit=10)
    if resolved:
        with runtime.sessions.begin() as session:
            session.execute(update(DeadLetter).values(resolved_at=func.now(), resolution="manual_retry"))
    return job


Age = Callable[[timedelta], None]


def test_a_completed_job_and_its_attempts_go_when_they_are_old(runtime: Runtime, make: Factory, age: Age) -> None:
    make.signup()
    process_due(runtime, limit=10)
    age(YOUNG)
    assert prune(runtime) == NOTHING
    age(OLD - YOUNG)
    assert prune(runtime) == NOTHING | {"customerio_sync_attempts": 1, "signup_customerio_sync_jobs": 1}
    assert (make.all(SyncJob), make.all(SyncAttempt)) == ([], [])


def test_the_time_is_a_setting(runtime: Runtime, make: Factory, age: Age) -> None:
    make.signup()
    process_due(runtime, limit=10)
    age(3 * DAY)
    short = replace(runtime, settings=runtime.settings.model_copy(update={"retention_days": 2}))
    assert prune(short)["signup_customerio_sync_jobs"] == 1


def test_a_failed_job_and_what_nobody_resolved_stay_for_ever(runtime: Runtime, make: Factory, age: Age) -> None:
    job = bury(runtime, make)
    age(10 * OLD)
    assert prune(runtime) == NOTHING | {"customerio_sync_attempts": 1}
    assert make.all(SyncJob)[0].id == job.id
    assert len(make.all(DeadLetter)) == 1


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.PROCESSING])
def test_an_unfinished_job_and_its_attempts_stay_however_old(
    runtime: Runtime, make: Factory, age: Age, status: JobStatus
) -> None:
    job = make.job(make.signup("ada+500@example.com"))
    process_due(runtime, limit=10)
    make.set(job.id, status=status)
    age(10 * OLD)
    assert prune(runtime) == NOTHING
    assert len(make.attempts(job)) == 1


def test_a_resolved_dead_letter_goes_and_then_its_completed_job(runtime: Runtime, make: Factory, age: Age) -> None:
    job = bury(runtime, make, resolved=True)
    make.set(job.id, status="completed", completed_at=func.now(), error_type=None)
    with runtime.sessions.begin() as session:
        session.execute(update(DeadLetter).values(resolved_at=func.now() + 2 * DAY))
    age(OLD)
    assert prune(runtime)["signup_customerio_sync_jobs"] == 0
    age(2 * DAY)
    assert prune(runtime) == NOTHING | {"customerio_dead_letters": 1, "signup_customerio_sync_jobs": 1}


def test_the_audit_stays_as_it_was_written(runtime: Runtime, make: Factory, age: Age) -> None:
    make.signup()
    process_due(runtime, limit=10)
    before = [(entry.action, entry.job_id, entry.details) for entry in make.all(AuditEntry)]
    age(OLD)
    prune(runtime)
    assert make.all(SyncJob) == []
    assert [(entry.action, entry.job_id, entry.details) for entry in make.all(AuditEntry)] == before


@pytest.mark.parametrize(("days", "kept", "left"), [(90, 89, 1), (90, 91, 0), (1, 7, 1), (1, 9, 0)])
def test_webhooks_stay_for_as_long_as_they_may_come_again(
    runtime: Runtime, age: Age, days: int, kept: int, left: int
) -> None:
    add(runtime.sessions, WebhookEvent(event_id="e-1", body=b"{}", signed_at=func.now()))
    age(kept * DAY)
    prune(replace(runtime, settings=runtime.settings.model_copy(update={"retention_days": days})))
    assert count(runtime.sessions, WebhookEvent) == left


@pytest.mark.parametrize(("hours", "left"), [(23, 1), (25, 0)])
def test_an_idempotency_key_is_free_again_after_a_day(
    runtime: Runtime, sessions: Sessions, age: Age, hours: int, left: int
) -> None:
    add(sessions, IdempotencyKey(actor="shop", key="k", request_hash="h", status=201, answer={}))
    age(timedelta(hours=hours))
    prune(runtime)
    assert count(sessions, IdempotencyKey) == left


def test_dead_workers_are_forgotten_after_a_day_and_beat_is_not(runtime: Runtime, sessions: Sessions, age: Age) -> None:
    heartbeats.report(runtime)
    heartbeats.note_tick(runtime)
    age(timedelta(hours=25))
    heartbeats.report(replace(runtime, worker="another"))
    assert prune(runtime)["customerio_heartbeats"] == 1
    with sessions() as session:
        assert set(session.scalars(select(Heartbeat.process))) == {"another", "beat"}


@pytest.mark.usefixtures("crowd")
def test_one_run_deletes_everything_in_transactions_of_a_thousand(runtime: Runtime, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("CREATE TABLE deletions (rows bigint)"))
        session.execute(
            text("""
                CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO deletions SELECT count(*) FROM gone; RETURN NULL; END $$
            """)
        )
        for table in ("signup_customerio_sync_jobs", "customerio_sync_attempts"):
            trigger = (
                "CREATE TRIGGER noted AFTER DELETE ON {} REFERENCING OLD TABLE AS gone EXECUTE FUNCTION note_deletion()"
            )
            session.connection().exec_driver_sql(trigger.format(table))
    assert prune(runtime)["signup_customerio_sync_jobs"] == 2500
    with sessions() as session:
        assert sorted(session.scalars(text("SELECT rows FROM deletions WHERE rows > 0"))) == [500, 500, *[1000] * 4]


@pytest.mark.usefixtures("crowd")
def test_runs_side_by_side_delete_each_row_once(runtime: Runtime, sessions: Sessions) -> None:
    with ThreadPoolExecutor(3) as runs:
        pruned = [run.result() for run in [runs.submit(prune, runtime) for _ in range(3)]]
    pruned.append(prune(runtime))
    assert sum(run["customerio_sync_attempts"] for run in pruned) == 2500
    assert sum(run["signup_customerio_sync_jobs"] for run in pruned) == 2500
    assert (count(sessions, SyncJob), count(sessions, SyncAttempt)) == (0, 0)


@pytest.mark.usefixtures("crowd")
def test_a_run_ends_when_its_time_is_over_or_the_worker_stops(runtime: Runtime) -> None:
    assert prune(runtime, at_most=timedelta(0)) == NOTHING
    runtime.stopping.set()
    assert prune(runtime) == NOTHING


@pytest.mark.usefixtures("crowd")
def test_the_counts_of_jobs_follow(runtime: Runtime, sessions: Sessions) -> None:
    prune(runtime)
    with sessions() as session:
        assert read_stats(session, stuck_after=runtime.settings.stuck_after).completed == 0


def test_a_row_that_somebody_holds_is_left_for_the_next_run(runtime: Runtime, make: Factory, age: Age) -> None:
    job = make.job(make.signup())
    process_due(runtime, limit=10)
    age(OLD)
    make.set(job.id, completed_at=func.now())
    with runtime.sessions.begin() as holder:
        holder.execute(select(SyncAttempt).with_for_update())
        assert prune(runtime) == NOTHING
    assert prune(runtime) == NOTHING | {"customerio_sync_attempts": 1}


def test_a_run_waits_for_an_enqueue_and_leaves_its_job(runtime: Runtime, make: Factory, age: Age) -> None:
    signup = make.signup()
    make.confirm(signup)
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    age(OLD)
    with ThreadPoolExecutor(1) as other:
        with runtime.sessions.begin() as session:
            row = session.get_one(Signup, signup.id, with_for_update={"key_share": True})
            pruning = other.submit(prune, runtime)
            eventually(lambda: waits_for_a_lock(runtime.sessions))
            row.extraction_version += 1
            enqueue_sync(session, row, Phase.ENRICHED)
        assert pruning.result()["signup_customerio_sync_jobs"] == 1
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_a_phase_that_is_enqueued_after_its_job_went_is_sent_again_under_the_same_event_id(
    runtime: Runtime, make: Factory, age: Age, fake: FakeCustomerIO
) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    age(OLD)
    prune(runtime)
    with runtime.sessions.begin() as session:
        enqueue_sync(session, session.get_one(Signup, signup.id), Phase.INITIAL)
    assert process_due(runtime, limit=10).succeeded == 1
    assert (fake.ledger.count(), fake.people.count_events()) == (2, 1)


def test_a_bet_slip_can_be_confirmed_after_the_initial_job_went(runtime: Runtime, make: Factory, age: Age) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    age(OLD)
    prune(runtime)
    make.confirm(signup)
    assert process_due(runtime, limit=10).succeeded == 1


def test_nothing_is_deleted_from_what_was_submitted(runtime: Runtime, make: Factory, age: Age) -> None:
    make.signup()
    process_due(runtime, limit=10)
    age(100 * OLD)
    prune(runtime)
    assert len(make.all(Signup)) == 1
    with runtime.sessions.begin() as session, pytest.raises(Exception, match="only ever added to"):
        session.execute(delete(AuditEntry))
