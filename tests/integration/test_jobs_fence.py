from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks import events, transitions
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions
from cio_tasks.delivery import deliver
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncJob
from cio_tasks.outcomes import Deferred, Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.factories import Factory

Record = Callable[[Session, Claim], list[Claim]]

RECORDS: dict[str, Record] = {
    "complete": lambda session, claim: transitions.complete(session, [claim], Delivered(200), None),
    "retry_later": lambda session, claim: transitions.retry_later(
        session, [claim], RetryLater(ErrorType.NETWORK, "timeout", "too late"), None, scale=1
    ),
    "fail": lambda session, claim: transitions.fail(session, [claim], Rejected("http_400", "too late", 400), None),
    "release": lambda session, claim: transitions.release(session, [claim], Deferred("stopping", "too late"), None),
}
VERBS = pytest.mark.parametrize("verb", list(RECORDS))


@pytest.fixture
def take(sessions: Sessions) -> Callable[[], Claim]:
    def take() -> Claim:
        with sessions.begin() as session:
            (claim,) = transitions.claim(session, worker="w", limit=1)
        return claim

    return take


@pytest.fixture
def take_back(sessions: Sessions, make: Factory) -> Callable[[Claim], None]:
    def take_back(claim: Claim) -> None:
        make.set(claim.job_id, updated_at=func.now() - timedelta(hours=1))
        with sessions.begin() as session:
            transitions.reset_stuck(session, older_than=timedelta(minutes=5))

    return take_back


def everything(sessions: Sessions) -> list[dict[str, Any]]:
    """Return all rows that recording an outcome may write."""
    with sessions() as session:
        return [
            {column.key: getattr(row, column.key) for column in model.__table__.columns}
            for model in (SyncJob, Signup, DeadLetter, AuditEntry)
            for row in session.scalars(select(model).order_by(model.id))
        ]


def record(sessions: Sessions, verb: str, claim: Claim) -> list[Claim]:
    with sessions.begin() as session:
        return RECORDS[verb](session, claim)


@VERBS
def test_a_late_worker_cannot_overwrite_a_newer_claim(
    sessions: Sessions, make: Factory, take: Callable[[], Claim], take_back: Callable[[Claim], None], verb: str
) -> None:
    job = make.job(make.signup())
    late = take()
    take_back(late)
    newer = take()
    before, attempts = everything(sessions), len(make.attempts(job))

    assert record(sessions, verb, late) == []
    assert (everything(sessions), len(make.attempts(job))) == (before, attempts)
    assert record(sessions, "complete", newer) == [newer]


@VERBS
def test_a_late_worker_changes_nothing_while_the_job_waits_again(
    sessions: Sessions, make: Factory, take: Callable[[], Claim], take_back: Callable[[Claim], None], verb: str
) -> None:
    job = make.job(make.signup())
    late = take()
    take_back(late)
    before = everything(sessions)

    assert record(sessions, verb, late) == []
    assert everything(sessions) == before
    assert [attempt.outcome for attempt in make.attempts(job)] == ["worker_lost"]


@VERBS
def test_an_outcome_is_recorded_once(sessions: Sessions, make: Factory, take: Callable[[], Claim], verb: str) -> None:
    make.signup()
    claim = take()
    record(sessions, "complete", claim)
    before = everything(sessions)

    assert record(sessions, verb, claim) == []
    assert everything(sessions) == before


def test_the_token_only_grows(
    sessions: Sessions, make: Factory, take: Callable[[], Claim], take_back: Callable[[Claim], None]
) -> None:
    signup = make.signup()
    tokens = []
    for verb in ("fail", "release", "fail"):
        claim = take()
        tokens.append(claim.token)
        record(sessions, verb, claim)
        with sessions.begin() as session:
            transitions.retry_manually(session, signup.id, phase=None, actor="ops")
    take_back(take())
    tokens.append(take().token)

    assert tokens == [1, 2, 3, 5]


@VERBS
def test_a_manual_retry_does_not_let_the_first_worker_back_in(
    sessions: Sessions, make: Factory, take: Callable[[], Claim], verb: str
) -> None:
    signup = make.signup()
    first = take()
    record(sessions, "fail", first)
    with sessions.begin() as session:
        transitions.retry_manually(session, signup.id, phase=None, actor="ops")
    second = take()
    before = everything(sessions)

    assert (first.attempt_count, second.attempt_count) == (0, 0)
    assert record(sessions, verb, first) == []
    assert everything(sessions) == before


def test_a_slow_worker_and_its_successor_send_the_same_event(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, take: Callable[[], Claim], take_back: Callable[[Claim], None]
) -> None:
    signup = make.signup()
    slow = take()
    take_back(slow)
    assert process_due(runtime, limit=10).succeeded == 1

    assert deliver(runtime, [slow]) == []
    assert (fake.people.count_events(), fake.people.count_duplicates_dropped()) == (1, 1)
    assert [attempt.outcome for attempt in make.attempts(make.job(signup))] == ["worker_lost", "delivered"]


def test_a_lost_claim_is_counted_and_announces_no_success(
    runtime: Runtime, make: Factory, take: Callable[[], Claim], take_back: Callable[[Claim], None]
) -> None:
    make.signup()
    slow = take()
    take_back(slow)
    heard: list[tuple[str, dict[str, Any]]] = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        heard.append((name, facts))

    events.listen(listener)
    deliver(runtime, [slow])
    events.unlisten(listener)

    assert heard == [("sync.claim_lost", {"count": 1})]


def test_a_batch_records_what_it_still_holds(
    sessions: Sessions, make: Factory, take: Callable[[], Claim], take_back: Callable[[Claim], None]
) -> None:
    signups = [make.signup() for _ in range(3)]
    claims = [take() for _ in signups]
    take_back(claims[1])
    with sessions.begin() as session:
        held = transitions.complete(session, claims, Delivered(200), None)

    assert held == [claims[0], claims[2]]
    assert [make.job(signup).status for signup in signups] == [
        JobStatus.COMPLETED,
        JobStatus.PENDING,
        JobStatus.COMPLETED,
    ]
