"""An enriched job behind an initial one that has failed: it follows that into the dead letters, unless that runs again."""

from typing import Any

import pytest

from cio_tasks import events, transitions
from cio_tasks.claims import Claim
from cio_tasks.delivery import Result, Verdict, record
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry, DeadLetter, Signup
from cio_tasks.operations import retry_signup
from cio_tasks.outcomes import INITIAL_FAILED, Delivered, Rejected, RetryLater
from cio_tasks.outcomes import ErrorType as Kind
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

REFUSED = Rejected("http_400", "refused", 400)
NOT_SENT = Rejected(INITIAL_FAILED, "not sent")
DOWN = RetryLater(Kind.SERVER_ERROR, "http_503", "down", 503)


def take(runtime: Runtime, *, limit: int) -> list[Claim]:
    with runtime.sessions.begin() as session:
        return transitions.claim(session, worker="w", limit=limit)


def take_one(runtime: Runtime) -> Claim:
    (claim,) = take(runtime, limit=1)
    return claim


@pytest.fixture
def signup(runtime: Runtime, make: Factory) -> Signup:
    """A signup whose initial job has failed, and whose bet slip is confirmed."""
    signup = make.signup()
    record(runtime, [Result(take_one(runtime), REFUSED)])
    make.confirm(signup)
    return signup


@pytest.fixture
def claim(runtime: Runtime, signup: Signup) -> Claim:
    """The claim of the enriched job, made while the initial one was given up."""
    claim = take_one(runtime)
    assert (claim.phase, claim.initial_failed) == (Phase.ENRICHED, True)
    return claim


@pytest.fixture
def retried(runtime: Runtime, signup: Signup, claim: Claim) -> Claim:
    """The same claim, once the initial job was retried."""
    retry_signup(runtime.sessions, signup.id, phase=Phase.INITIAL, actor="ann")
    return claim


@pytest.mark.row("B10")
def test_what_followed_a_failed_initial_job_is_given_up(
    runtime: Runtime, make: Factory, signup: Signup, claim: Claim
) -> None:
    (result,) = record(runtime, [Result(claim, NOT_SENT)])

    assert (result.verdict, make.job(signup, Phase.ENRICHED).status) == (Verdict.FAILED, JobStatus.FAILED)
    assert len(make.all(DeadLetter, sync_phase="enriched", resolved_at=None)) == 1


def test_what_waited_for_a_failed_initial_job_waits_again_once_that_is_retried(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim
) -> None:
    (result,) = record(runtime, [Result(retried, NOT_SENT)])
    job = make.job(signup, Phase.ENRICHED)

    assert (result.verdict, job.status, job.next_retry_at) == (Verdict.DEFERRED, JobStatus.PENDING, None)
    assert (job.attempt_count, job.claim_token, job.claimed_by, job.error_code) == (0, 1, None, None)
    assert [claim.phase for claim in take(runtime, limit=10)] == [Phase.INITIAL]


def test_it_is_sent_after_the_initial_job_and_nothing_is_left_to_resolve(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup, retried: Claim
) -> None:
    record(runtime, [Result(retried, NOT_SENT)])
    summary = process_due(runtime, limit=10)
    sent = [operation["name"] for entry in fake.ledger.entries() for operation in entry["operations"]]

    assert (summary.succeeded, sent) == (2, [None, "signup_submitted", None, "signup_extraction_confirmed"])
    assert make.all(DeadLetter, resolved_at=None) == []
    assert not make.all(Signup)[0].customerio_sync_failed


@pytest.mark.parametrize("outcome", [Delivered(200), DOWN], ids=["completed", "between two tries"])
def test_it_waits_again_whatever_has_become_of_the_retry(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim, outcome: Delivered | RetryLater
) -> None:
    record(runtime, [Result(take_one(runtime), outcome)])
    record(runtime, [Result(retried, NOT_SENT)])

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_it_waits_again_while_the_retry_is_being_delivered(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim
) -> None:
    assert take_one(runtime).phase == Phase.INITIAL
    record(runtime, [Result(retried, NOT_SENT)])

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_it_is_given_up_when_the_retry_has_failed_as_well(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim
) -> None:
    record(runtime, [Result(take_one(runtime), REFUSED)])
    record(runtime, [Result(retried, NOT_SENT)])

    assert make.job(signup, Phase.ENRICHED).error_code == INITIAL_FAILED


def test_it_leaves_no_more_than_any_release_of_what_was_not_sent(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim
) -> None:
    record(runtime, [Result(retried, NOT_SENT)])

    assert make.attempts(make.job(signup, Phase.ENRICHED)) == []
    assert [entry.action for entry in make.all(AuditEntry, job_id=retried.job_id)] == ["enqueued"]


def test_nobody_is_told_that_it_failed(runtime: Runtime, retried: Claim) -> None:
    heard: list[str] = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        if facts.get("job_id") == str(retried.job_id):
            heard.append(name)

    events.listen(listener)
    record(runtime, [Result(retried, NOT_SENT)])
    events.unlisten(listener)

    assert heard == ["sync.deferred"]


def test_of_many_only_those_whose_initial_job_is_still_given_up_follow_it(runtime: Runtime, make: Factory) -> None:
    signups = [make.signup() for _ in range(4)]
    record(runtime, [Result(claim, REFUSED) for claim in take(runtime, limit=4)])
    for signup in signups:
        make.confirm(signup)
    claims = take(runtime, limit=4)
    for signup in signups[:2]:
        retry_signup(runtime.sessions, signup.id, actor="ann")
    held = record(runtime, [Result(claim, NOT_SENT) for claim in claims])

    assert {result.claim for result in held} == set(claims)
    assert [make.job(signup, Phase.ENRICHED).status for signup in signups] == ["pending"] * 2 + ["failed"] * 2
    assert [signup.customerio_sync_failed for signup in make.all(Signup)] == [False] * 2 + [True] * 2


def test_a_refusal_of_its_own_does_not_ask_about_the_initial_job(
    runtime: Runtime, make: Factory, signup: Signup, retried: Claim
) -> None:
    record(runtime, [Result(retried, REFUSED)])

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED


def test_a_late_refusal_changes_nothing(runtime: Runtime, make: Factory, signup: Signup, retried: Claim) -> None:
    record(runtime, [Result(retried, NOT_SENT)])
    process_due(runtime, limit=10)

    assert record(runtime, [Result(retried, NOT_SENT)]) == []
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.COMPLETED
