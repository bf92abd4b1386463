import base64
import json
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy.orm import Session

from cio_tasks import Phase, enqueue_sync, wake
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.db import Sessions
from cio_tasks.models import AuditEntry, Customer, DeadLetter, Signup, SyncJob
from cio_tasks.processor import process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus
from tests.factories import Factory

Rung = Callable[[], list[UUID]]


@pytest.fixture
def rung(settings: Settings, redis_url: str) -> Rung:
    """Reads the ids of the jobs whose messages wait in the queue, oldest first."""
    wake.configure(settings)
    return lambda: [UUID(arguments[0]) for arguments in bodies(redis_url)]


@pytest.fixture
def ringing_at(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Lets the bell ring at another address, for this test."""
    yield lambda url: wake.configure(settings.model_copy(update={"redis_url": SecretStr(url)}))
    wake.configure(settings)


def bodies(redis_url: str) -> list[list[str]]:
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        waiting = cast("list[bytes]", client.lrange(QUEUE, 0, -1))
    return [json.loads(base64.b64decode(json.loads(message)["body"]))[0] for message in reversed(waiting)]


def new_signup(email: str = "ada@example.com") -> Signup:
    return Signup(customer=Customer(email=email, first_name="Ada", last_name="Lovelace"), operator_id="op-1")


def again(sessions: Sessions, signup: Signup, phase: Phase = Phase.INITIAL) -> SyncJob:
    with sessions.begin() as session:
        return enqueue_sync(session, session.get_one(Signup, signup.id), phase)


# --- the row ----------------------------------------------------------------------------------------------------------


@pytest.mark.row("B1")
def test_a_submitted_signup_owes_its_initial_phase(sessions: Sessions, make: Factory) -> None:
    with sessions.begin() as session:
        signup = new_signup()
        returned = enqueue_sync(session, signup, Phase.INITIAL)
    job = make.job(signup)

    assert returned.id == job.id
    assert (job.status, job.sync_phase, job.attempt_count, job.max_attempts) == ("pending", "initial", 0, 5)
    assert [entry.action for entry in make.all(AuditEntry, job_id=job.id)] == ["enqueued"]


@pytest.mark.row("B1")
def test_signup_and_job_appear_together(sessions: Sessions, make: Factory) -> None:
    with sessions.begin() as session:
        enqueue_sync(session, new_signup(), Phase.INITIAL)
        session.flush()
        assert (make.all(Signup), make.all(SyncJob)) == ([], [])
    assert (len(make.all(Signup)), len(make.all(SyncJob))) == (1, 1)


@pytest.mark.row("B1")
def test_rollback_leaves_neither_signup_nor_job(session: Session, make: Factory) -> None:
    enqueue_sync(session, new_signup(), Phase.INITIAL)
    session.rollback()

    assert (make.all(Signup), make.all(SyncJob), make.all(AuditEntry)) == ([], [], [])


@pytest.mark.row("B2")
def test_a_completed_job_is_returned_and_not_run_again(runtime: Runtime, make: Factory, rung: Rung) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    before, heard = make.job(signup), rung()
    returned = again(runtime.sessions, signup)

    assert (returned.id, returned.status) == (before.id, JobStatus.COMPLETED)
    assert make.job(signup).updated_at == before.updated_at
    assert rung() == heard


@pytest.mark.row("B3")
def test_a_job_that_waits_for_its_retry_starts_anew(runtime: Runtime, make: Factory, rung: Rung) -> None:
    signup = make.signup("ada+500@example.com")
    process_due(runtime, limit=10)
    retrying, heard = make.job(signup), len(rung())
    job = again(runtime.sessions, signup)

    assert (retrying.attempt_count, job.id, job.status, job.attempt_count) == (1, retrying.id, JobStatus.PENDING, 0)
    assert (job.next_retry_at, job.error_type, job.error_message) == (None, None, None)
    assert rung()[heard:] == [job.id]


@pytest.mark.row("B3")
def test_a_failed_job_starts_anew_and_its_dead_letter_is_resolved(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+403@example.com")
    process_due(runtime, limit=10)
    job = again(runtime.sessions, signup)
    (letter,), (row,) = make.all(DeadLetter), make.all(Signup)

    assert (job.status, job.attempt_count, job.error_code) == (JobStatus.PENDING, 0, None)
    assert (letter.resolution, letter.resolved_by) == ("reset", "system")
    assert (row.customerio_sync_failed, row.customerio_sync_error) == (False, None)


@pytest.mark.row("B3")
def test_a_job_that_is_being_delivered_is_left_alone(runtime: Runtime, make: Factory, rung: Rung) -> None:
    signup = make.signup()
    make.set(make.job(signup).id, status="processing", claim_token=7, claimed_by="w", attempt_count=2)
    before, heard = make.job(signup), rung()
    returned = again(runtime.sessions, signup)
    after = make.job(signup)

    assert (returned.id, after.status, after.attempt_count, after.claim_token) == (before.id, "processing", 2, 7)
    assert (after.updated_at, rung()) == (before.updated_at, heard)


@pytest.mark.row("B4")
def test_confirming_an_extraction_owes_the_enriched_phase(make: Factory, rung: Rung) -> None:
    signup = make.signup()
    job = make.confirm(signup)

    assert (job.sync_phase, job.status, job.signup_id) == ("enriched", "pending", signup.id)
    assert rung() == [make.job(signup).id, job.id]


# --- the message ------------------------------------------------------------------------------------------------------


def test_nothing_rings_before_the_commit(sessions: Sessions, rung: Rung) -> None:
    with sessions.begin() as session:
        job = enqueue_sync(session, new_signup(), Phase.INITIAL)
        session.flush()
        assert rung() == []
    assert rung() == [job.id]


def test_the_message_holds_the_id_of_the_job_and_nothing_else(make: Factory, rung: Rung, redis_url: str) -> None:
    job = make.job(make.signup("canary@example.com"))
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        (message,) = cast("list[bytes]", client.lrange(QUEUE, 0, -1))

    assert bodies(redis_url) == [[str(job.id)]]
    assert b"canary" not in message + base64.b64decode(json.loads(message)["body"])


def test_nothing_rings_after_a_rollback(session: Session, rung: Rung) -> None:
    enqueue_sync(session, new_signup(), Phase.INITIAL)
    session.rollback()
    session.commit()

    assert rung() == []


def test_nothing_rings_when_the_session_is_closed_without_a_commit(sessions: Sessions, rung: Rung) -> None:
    with sessions() as session:
        enqueue_sync(session, new_signup(), Phase.INITIAL)
    assert rung() == []


def test_a_session_that_is_used_again_rings_only_for_what_is_new(session: Session, rung: Rung) -> None:
    first = enqueue_sync(session, new_signup("a@example.com"), Phase.INITIAL)
    session.commit()
    enqueue_sync(session, new_signup("b@example.com"), Phase.INITIAL)
    session.rollback()
    third = enqueue_sync(session, new_signup("c@example.com"), Phase.INITIAL)
    session.commit()

    assert rung() == [first.id, third.id]


def test_a_released_savepoint_is_not_yet_a_commit(sessions: Sessions, rung: Rung) -> None:
    with sessions.begin() as session:
        with session.begin_nested():
            job = enqueue_sync(session, new_signup(), Phase.INITIAL)
        session.flush()
        assert rung() == []
    assert rung() == [job.id]


def test_a_savepoint_that_is_rolled_back_rings_for_nobody(sessions: Sessions, rung: Rung) -> None:
    with sessions.begin() as session:
        kept = enqueue_sync(session, new_signup("kept@example.com"), Phase.INITIAL)
        with session.begin_nested() as savepoint:
            enqueue_sync(session, new_signup("gone@example.com"), Phase.INITIAL)
            savepoint.rollback()
    assert rung() == [kept.id]


def test_nothing_rings_when_a_released_savepoint_is_rolled_back_with_the_rest(session: Session, rung: Rung) -> None:
    with session.begin_nested():
        enqueue_sync(session, new_signup(), Phase.INITIAL)
    session.rollback()

    assert rung() == []


def test_a_message_for_a_job_that_does_not_exist_does_nothing(runtime: Runtime) -> None:
    assert sync_one(runtime, uuid4()) is None


def test_no_more_messages_wait_than_the_window_allows(settings: Settings, make: Factory, rung: Rung) -> None:
    wake.configure(settings.model_copy(update={"wake_window": 3}))
    jobs = [make.job(make.signup()) for _ in range(5)]

    assert rung() == [job.id for job in jobs[:3]]


def test_one_commit_fills_the_window_no_further(settings: Settings, sessions: Sessions, rung: Rung) -> None:
    wake.configure(settings.model_copy(update={"wake_window": 3}))
    with sessions.begin() as session:
        for number in range(5):
            enqueue_sync(session, new_signup(f"ada{number}@example.com"), Phase.INITIAL)
    assert len(rung()) == 3


# --- Redis away -------------------------------------------------------------------------------------------------------


def refusing() -> tuple[socket.socket, int]:
    """A port on which nobody listens, kept so that nobody else takes it."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


def silent() -> tuple[socket.socket, int]:
    """A port that takes connections and never answers."""
    held, port = refusing()
    held.listen(100)
    return held, port


@pytest.mark.parametrize("make_socket", [refusing, silent])
def test_redis_away_costs_a_commit_less_than_a_third_of_a_second(
    make_socket: Any, ringing_at: Callable[[str], None], sessions: Sessions, make: Factory
) -> None:
    held, port = make_socket()
    with held:
        ringing_at(f"redis://127.0.0.1:{port}/0")
        session = sessions()
        enqueue_sync(session, new_signup(), Phase.INITIAL)
        started = time.monotonic()
        session.commit()
        took = time.monotonic() - started
        session.close()

    assert took < 10
    assert [job.status for job in make.all(SyncJob)] == [JobStatus.PENDING]


def test_after_a_silence_the_bell_stays_quiet_for_a_while(ringing_at: Callable[[str], None]) -> None:
    held, port = silent()
    with held:
        ringing_at(f"redis://127.0.0.1:{port}/0")
        wake.ring([uuid4()])
        started = time.monotonic()
        for _ in range(100):
            wake.ring([uuid4()])
            wake.sweep_after(timedelta(seconds=1))
    assert time.monotonic() - started < 10, "each of them alone would cost 0.1 s"


class SlowRedis(socketserver.BaseRequestHandler):
    """Passes everything on to the real one, and every answer back 30 ms late."""

    def handle(self) -> None:
        with socket.create_connection(self.server.upstream) as upstream:  # type: ignore[attr-defined]
            ways = {self.request: upstream, upstream: self.request}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is upstream:
                        threading.Event().wait(0.03)
                    ways[source].sendall(data)


@pytest.fixture
def slow_redis_url(redis_url: str) -> Iterator[str]:
    real = urlsplit(redis_url)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), SlowRedis) as server:
        server.daemon_threads = True
        server.upstream = (real.hostname, real.port)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def test_many_rings_at_a_slow_redis_take_hardly_longer_than_one(
    ringing_at: Callable[[str], None], slow_redis_url: str
) -> None:
    ringing_at(slow_redis_url)
    wake.ring([uuid4()])
    started = time.monotonic()
    wake.ring([uuid4() for _ in range(500)])

    assert time.monotonic() - started < 5, "one after the other, the 200 that fit would take 6 s"


def test_without_redis_a_signup_is_accepted_all_the_same(settings: Settings, make: Factory) -> None:
    wake.configure(settings.model_copy(update={"redis_url": None}))
    job = make.job(make.signup())
    wake.configure(settings)

    assert (job.status, job.created_at <= job.updated_at) == (JobStatus.PENDING, True)
