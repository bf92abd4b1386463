"""What was delivered is recorded although the database goes away in between, and the request is never repeated."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import UUID

import pytest
import redis
from sqlalchemy import event, func, make_url, select, text

from cio_tasks import events, gate, maintenance, transitions, wake
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.delivery import Result, deliver, record
from cio_tasks.embedded import EmbeddedPostgres, create_database
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.journal import Exchange
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.outcomes import Deferred, Delivered, ErrorType, Outcome, Rejected, RetryLater
from cio_tasks.runtime import Runtime
from cio_tasks.schema import upgrade
from cio_tasks.states import JobStatus
from tests.chaos.proxy import Fault, FaultProxy, Mode
from tests.eventually import eventually
from tests.factories import Factory

EXCHANGE = Exchange("request-1", 1, timedelta(seconds=0.1))
CUT_COMMIT = Fault(mode=Mode.CUT_ON_PATTERN, pattern=b"COMMIT", times=1)
BLOCKED = text("""
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")

DELIVERED = Delivered(200)
LATER = RetryLater(ErrorType.SERVER_ERROR, "http_503", "Customer.io answered 503", 503)
REFUSED = Rejected("http_400", "Customer.io answered 400", 400)
LIMITED = RetryLater(ErrorType.RATE_LIMIT, "http_429", "slow down", 429, timedelta(seconds=60))
DEFERRED = Deferred("stopping", "the worker was told to stop")


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The facts that listeners hear."""
    heard: list[str] = []

    def listener(name: str, _facts: dict[str, Any]) -> None:
        heard.append(name)

    events.listen(listener)
    yield heard
    events.unlisten(listener)


@pytest.fixture
def proxy(database_url: str) -> Iterator[FaultProxy]:
    folder = make_url(database_url).query["host"]
    with FaultProxy(Path(str(folder)) / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def worker(runtime: Runtime, database_url: str, proxy: FaultProxy) -> Iterator[Runtime]:
    """A runtime whose database is behind the proxy."""
    url = make_url(database_url).set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable"})
    engine = make_engine(url.render_as_string(hide_password=False))
    yield replace(runtime, sessions=make_sessions(engine))
    engine.dispose()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def take(runtime: Runtime) -> list[Claim]:
    with runtime.sessions.begin() as session:
        return transitions.claim(session, worker="w", limit=10)


def recorded(claims: list[Claim], outcome: Outcome, *, sent: bool = True) -> list[Result]:
    return [Result(claim, outcome, EXCHANGE if sent else None) for claim in claims]


@pytest.fixture
def hurried(database_url: str) -> Iterator[Sessions]:
    """Sessions that wait 50 ms for a lock."""
    engine = make_engine(database_url)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'"))
    yield make_sessions(engine)
    engine.dispose()


@contextmanager
def signups_locked(sessions: Sessions) -> Iterator[None]:
    """Hold what every record of an ended job waits for."""
    with sessions.begin() as session:
        session.execute(select(Signup.id).with_for_update())
        yield


def end_the_blocked(sessions: Sessions) -> None:
    """End the backend that waits for a lock, once there is one. One transaction always sees the same activity."""

    def blocked() -> int | None:
        with sessions() as session:
            return cast("int | None", session.scalar(BLOCKED))

    pid = eventually(blocked)
    with sessions() as session:
        session.execute(select(func.pg_terminate_backend(pid)))


# --- the commit's answer is lost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "status", "count", "fact"),
    [
        (DELIVERED, JobStatus.COMPLETED, 0, "sync.completed"),
        (LATER, JobStatus.PENDING, 1, "sync.retrying"),
        (REFUSED, JobStatus.FAILED, 0, "sync.failed"),
        (DEFERRED, JobStatus.PENDING, 0, "sync.deferred"),
    ],
    ids=["delivered", "later", "refused", "deferred"],
)
def test_an_outcome_that_was_committed_unheard_is_recognised(
    worker: Runtime,
    make: Factory,
    proxy: FaultProxy,
    told: list[str],
    *,
    outcome: Outcome,
    status: str,
    count: int,
    fact: str,
) -> None:
    signup = make.signup()
    results = recorded(take(worker), outcome)
    proxy.use(CUT_COMMIT)
    kept = record(worker, results)
    job = make.job(signup)

    assert (kept, proxy.struck) == (results, 1)
    assert (job.status, job.attempt_count, len(make.attempts(job))) == (status, count, 1)
    assert told == ["store.tried_again", fact]


def test_a_release_that_leaves_no_attempt_is_recognised_too(
    worker: Runtime, make: Factory, proxy: FaultProxy, told: list[str]
) -> None:
    signup = make.signup()
    results = recorded(take(worker), DEFERRED, sent=False)
    proxy.use(CUT_COMMIT)

    assert record(worker, results) == results
    assert (make.job(signup).status, make.all(SyncAttempt)) == (JobStatus.PENDING, [])
    assert told == ["store.tried_again", "sync.deferred"]


def test_what_is_written_with_a_failure_is_written_once(worker: Runtime, make: Factory, proxy: FaultProxy) -> None:
    make.signup()
    results = recorded(take(worker), REFUSED)
    proxy.use(CUT_COMMIT)
    record(worker, results)

    assert len(make.all(DeadLetter)) == 1
    assert len(make.all(AuditEntry, action="customerio_sync_failed")) == 1


def test_a_gate_that_was_opened_meanwhile_is_not_closed_again(
    worker: Runtime, make: Factory, proxy: FaultProxy, sessions: Sessions
) -> None:
    """The first try closed it. By the second, a probe may have found that all is well."""
    make.signup()
    results = recorded(take(worker), LIMITED)

    def probe(name: str, _facts: dict[str, Any]) -> None:
        with sessions.begin() as session:
            opened.extend(gate.open_up(session) if name == "store.tried_again" else [])

    opened: list[Reason] = []
    events.listen(probe)
    proxy.use(CUT_COMMIT)
    record(worker, results)
    events.unlisten(probe)

    assert opened == [Reason.RATE_LIMIT]
    with sessions() as session:
        assert gate.list_closed(session) == []


def test_followers_are_woken_when_the_record_is_recognised(
    worker: Runtime, make: Factory, proxy: FaultProxy, redis_url: str
) -> None:
    signup = make.signup()
    results = recorded(take(worker), DELIVERED)
    follower = make.confirm(signup)
    before = count_messages(redis_url, follower.id)
    proxy.use(CUT_COMMIT)
    record(worker, results)

    assert count_messages(redis_url, follower.id) == before + 1


def count_messages(redis_url: str, job_id: UUID) -> int:
    """Return how many messages in the queue are about a job."""
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        messages = cast("list[bytes]", client.lrange(QUEUE, 0, -1))
    return sum(str(job_id) in json.loads(message)["headers"]["argsrepr"] for message in messages)


# --- the connection is lost before the commit -------------------------------------------------------------------------


def test_a_record_whose_backend_was_ended_is_written_all_the_same(
    runtime: Runtime, make: Factory, sessions: Sessions, told: list[str], pool: ThreadPoolExecutor
) -> None:
    signup = make.signup()
    results = recorded(take(runtime), DELIVERED)
    with signups_locked(sessions):
        recording = pool.submit(record, runtime, results)
        end_the_blocked(sessions)
    kept, job = recording.result(), make.job(signup)

    assert kept == results
    assert (job.status, len(make.attempts(job))) == (JobStatus.COMPLETED, 1)
    assert told == ["store.tried_again", "sync.completed"]


@pytest.mark.parametrize("sent", [True, False])
def test_a_claim_taken_back_between_two_tries_is_lost_and_not_taken_for_recorded(
    runtime: Runtime, make: Factory, sessions: Sessions, told: list[str], pool: ThreadPoolExecutor, *, sent: bool
) -> None:
    signup = make.signup()
    results = recorded(take(runtime), DELIVERED if sent else DEFERRED, sent=sent)
    with sessions.begin() as session:
        session.execute(select(Signup.id, SyncJob.id).join(SyncJob).with_for_update())
        recording = pool.submit(record, runtime, results)
        end_the_blocked(sessions)
        transitions.reset_stuck(session, older_than=timedelta(0))
    kept, job = recording.result(), make.job(signup)

    assert (kept, job.status, job.attempt_count) == ([], JobStatus.PENDING, 1)
    assert told == ["store.tried_again", "sync.claim_lost"]


def test_a_lock_that_times_out_is_waited_for_again(
    runtime: Runtime, make: Factory, sessions: Sessions, told: list[str], pool: ThreadPoolExecutor, *, hurried: Sessions
) -> None:
    make.signup()
    results = recorded(take(runtime), DELIVERED)
    with signups_locked(sessions):
        recording = pool.submit(record, replace(runtime, sessions=hurried), results)
        eventually(lambda: "store.tried_again" in told)

    assert recording.result() == results
    assert told[-1] == "sync.completed"


# --- what was sent without an outcome ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["403", "500x99"])
def test_a_job_whose_batch_was_split_and_that_got_no_other_turn_has_an_attempt(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, pool: ThreadPoolExecutor, fault: str
) -> None:
    """It was in a request, so the record must say so: whoever counts requests finds a claim for each."""
    signups = [make.signup() for _ in range(3)] + [make.signup(f"bad+{fault}@example.com")]
    fake.scenario = Scenario(latency_seconds=0.2)
    delivering = pool.submit(deliver, runtime, take(runtime))
    eventually(fake.ledger.count, every=0.01)
    runtime.stopping.set()
    results = delivering.result()
    released = [result for result in results if isinstance(result.outcome, Deferred)]

    assert {result.claim.signup_id for result in released} >= {signups[-1].id}
    assert all(result.exchange is not None for result in released)
    assert [len(make.attempts(make.job(signup))) for signup in signups] == [1, 1, 1, 1]


# --- the server restarts ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that a test may kill."""
    with TemporaryDirectory(prefix="ciosync-") as folder, EmbeddedPostgres(Path(folder), durable=False) as server:
        yield server


@pytest.fixture
def on_own_postgres(runtime: Runtime, own_postgres: EmbeddedPostgres) -> Iterator[Runtime]:
    own_postgres.start()
    url = create_database(own_postgres.facts.url, "ciosync")
    upgrade(url)
    engine = make_engine(url)
    yield replace(runtime, sessions=make_sessions(engine))
    engine.dispose()


def test_a_restart_between_delivery_and_record_costs_neither_a_retry_nor_a_repeat(
    on_own_postgres: Runtime,
    own_postgres: EmbeddedPostgres,
    fake: FakeCustomerIO,
    told: list[str],
    pool: ThreadPoolExecutor,
) -> None:
    make = Factory(on_own_postgres.sessions)
    signup = make.signup()
    fake.scenario = Scenario(latency_seconds=0.3)
    delivering = pool.submit(deliver, on_own_postgres, take(on_own_postgres))
    eventually(fake.ledger.count)
    own_postgres.kill()
    eventually(lambda: told.count("store.tried_again") >= 2)
    own_postgres.start()

    assert [result.outcome for result in delivering.result()] == [Delivered(200)]
    job = make.job(signup)
    assert (job.status, job.attempt_count, fake.ledger.count()) == (JobStatus.COMPLETED, 0, 1)
    assert maintenance.reset_stuck(on_own_postgres) == 0
