"""A correction that is confirmed while a worker has the last retry, and that worker never reports."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func

from cio_tasks import events, maintenance, transitions
from cio_tasks.claims import Claim
from cio_tasks.delivery import Result, record
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry, DeadLetter, Signup
from cio_tasks.outcomes import ErrorType, RetryLater
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

LAST = 5
DOWN = RetryLater(ErrorType.SERVER_ERROR, "http_503", "down", 503)
Lose = Callable[[], int]


@pytest.fixture
def signup(runtime: Runtime, make: Factory) -> Signup:
    """A signup whose initial phase is through, and whose enriched job has one retry left."""
    signup = make.signup()
    process_due(runtime, limit=10)
    job = make.confirm(signup, team_bet_on="Rovers")
    make.set(job.id, attempt_count=LAST)
    return signup


@pytest.fixture
def take(runtime: Runtime) -> Callable[[], Claim]:
    def take() -> Claim:
        with runtime.sessions.begin() as session:
            (claim,) = transitions.claim(session, worker="the dead one", limit=1)
        return claim

    return take


@pytest.fixture
def lose(runtime: Runtime, make: Factory, signup: Signup) -> Lose:
    """Lets time pass until the worker counts as lost; returns how many jobs were taken back."""

    def lose() -> int:
        make.set(make.job(signup, Phase.ENRICHED).id, updated_at=func.now() - timedelta(hours=1))
        return maintenance.reset_stuck(runtime)

    return lose


@pytest.fixture
def lost(make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose) -> Claim:
    """The claim of a worker that was lost, and during which a correction came."""
    claim = take()
    make.confirm(signup, team_bet_on="United")
    assert lose() == 1
    return claim


def test_a_correction_begins_anew_when_the_worker_of_the_last_retry_is_lost(
    make: Factory, signup: Signup, lost: Claim
) -> None:
    job = make.job(signup, Phase.ENRICHED)

    assert (job.status, job.attempt_count, job.next_retry_at) == (JobStatus.PENDING, 0, None)
    assert (job.payload_version, job.claimed_by, job.error_code) == (2, None, None)
    assert not make.all(Signup)[0].customerio_sync_failed


def test_the_correction_is_sent(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup, lost: Claim
) -> None:
    process_due(runtime, limit=10)
    (event,) = fake.people.list_events("signup_extraction_confirmed")

    assert event["attributes"]["team_bet_on"] == "United"
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.COMPLETED


def test_the_evidence_names_the_lost_worker_and_no_failure(make: Factory, signup: Signup, lost: Claim) -> None:
    (attempt,) = make.attempts(make.job(signup, Phase.ENRICHED))
    (entry,) = make.all(AuditEntry, action="reset_stuck")

    assert (attempt.outcome, attempt.retry, attempt.worker) == ("worker_lost", LAST, "the dead one")
    assert (entry.details["from"], entry.details["to"], entry.details["attemptCount"]) == (
        "processing",
        "pending",
        LAST,
    )
    assert make.all(AuditEntry, action="customerio_sync_failed") == make.all(DeadLetter) == []


def test_nobody_is_told_of_a_failure(make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose) -> None:
    heard: list[str] = []

    def listener(name: str, _facts: dict[str, Any]) -> None:
        heard.append(name)

    take()
    make.confirm(signup)
    events.listen(listener)
    lose()
    events.unlisten(listener)

    assert heard == ["sync.worker_lost"]


def test_a_correction_that_was_tried_ends_like_any_version(
    make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose, lost: Claim
) -> None:
    make.set(lost.job_id, attempt_count=LAST)
    take()
    lose()
    job = make.job(signup, Phase.ENRICHED)

    assert (job.status, job.attempt_count, job.error_code) == (JobStatus.FAILED, LAST, "worker_lost")
    assert len(make.all(DeadLetter, resolved_at=None)) == 1


def test_a_correction_before_the_claim_was_tried_by_it(
    runtime: Runtime, make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose
) -> None:
    make.set(make.job(signup, Phase.ENRICHED).id, attempt_count=LAST - 1)
    earlier = take()
    make.confirm(signup)
    record(runtime, [Result(earlier, DOWN)])
    make.make_due(earlier.job_id)
    take()
    lose()

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED


def test_with_retries_left_a_lost_worker_costs_one_all_the_same(
    make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose
) -> None:
    make.set(make.job(signup, Phase.ENRICHED).id, attempt_count=1)
    take()
    make.confirm(signup)
    lose()
    job = make.job(signup, Phase.ENRICHED)

    assert (job.status, job.attempt_count, job.error_code) == (JobStatus.PENDING, 2, "worker_lost")


def test_a_version_that_an_older_release_noted_is_buried_as_it_always_was(
    make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose
) -> None:
    """It raises the version and knows no more."""
    make.set(take().job_id, payload_version=2)
    lose()

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED


def test_the_same_version_once_more_is_no_correction(
    runtime: Runtime, make: Factory, signup: Signup, take: Callable[[], Claim], lose: Lose
) -> None:
    take()
    with runtime.sessions.begin() as session:
        transitions.enqueue(session, signup.id, Phase.ENRICHED, version=1)
    lose()

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED
