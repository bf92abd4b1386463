from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from sqlalchemy import func, update

from cio_tasks import transitions, wake
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions
from cio_tasks.delivery import deliver
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.intake import ConfirmationIn, confirm_extraction
from cio_tasks.models import AuditEntry, DeadLetter, Signup
from cio_tasks.outcomes import ErrorType, Rejected, RetryLater
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

CONFIRMED = "signup_extraction_confirmed"


@pytest.fixture
def signup(runtime: Runtime, make: Factory) -> Signup:
    """A signup whose initial phase is through and whose bet slip is confirmed."""
    signup = make.signup()
    process_due(runtime, limit=10)
    make.confirm(signup, team_bet_on="Rovers")
    return signup


@pytest.fixture
def take(sessions: Sessions) -> Callable[[], Claim]:
    def take() -> Claim:
        with sessions.begin() as session:
            (claim,) = transitions.claim(session, worker="w", limit=1)
        return claim

    return take


def teams(fake: FakeCustomerIO) -> list[str]:
    return [event["attributes"]["team_bet_on"] for event in fake.people.list_events(CONFIRMED)]


def test_a_correction_after_completion_is_sent_as_a_new_event(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup
) -> None:
    process_due(runtime, limit=10)
    first = make.job(signup, Phase.ENRICHED)
    make.confirm(signup, team_bet_on="United")
    process_due(runtime, limit=10)
    job = make.job(signup, Phase.ENRICHED)

    assert (job.id, job.status, job.payload_version, job.claim_token) == (first.id, JobStatus.COMPLETED, 2, 2)
    assert teams(fake) == ["Rovers", "United"]
    assert len({event["id"] for event in fake.people.list_events(CONFIRMED)}) == 2


def test_a_correction_before_the_delivery_is_what_is_delivered(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup
) -> None:
    make.confirm(signup, team_bet_on="United")
    process_due(runtime, limit=10)

    assert teams(fake) == ["United"]
    assert make.job(signup, Phase.ENRICHED).claim_token == 1


def test_a_correction_during_the_delivery_runs_the_job_again(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup, take: Callable[[], Claim]
) -> None:
    claim = take()
    make.confirm(signup, team_bet_on="United")
    deliver(runtime, [claim])
    between = make.job(signup, Phase.ENRICHED)
    process_due(runtime, limit=10)
    job = make.job(signup, Phase.ENRICHED)

    assert (between.status, between.attempt_count, between.next_retry_at) == (JobStatus.PENDING, 0, None)
    assert (job.status, job.payload_version) == (JobStatus.COMPLETED, 2)
    assert teams(fake) == ["Rovers", "United"]
    assert [attempt.outcome for attempt in make.attempts(job)] == ["delivered", "delivered"]
    assert len(make.all(AuditEntry, job_id=job.id, action="customerio_synced")) == 1


def test_a_correction_during_the_delivery_leaves_the_claim_alone(
    make: Factory, signup: Signup, take: Callable[[], Claim]
) -> None:
    claim = take()
    returned = make.confirm(signup, team_bet_on="United")

    assert (returned.status, returned.claim_token, returned.claimed_by) == (JobStatus.PROCESSING, claim.token, "w")
    assert returned.payload_version == 2


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Rejected("over_limit", "attribute 'team_bet_on' has 2000 bytes"), id="refused"),
        pytest.param(RetryLater(ErrorType.SERVER_ERROR, "http_500", "out of order", 500), id="exhausted"),
    ],
)
def test_a_correction_is_sent_although_the_older_version_failed_for_good_meanwhile(
    runtime: Runtime,
    make: Factory,
    fake: FakeCustomerIO,
    signup: Signup,
    take: Callable[[], Claim],
    *,
    failure: Rejected | RetryLater,
) -> None:
    claim = take()
    make.confirm(signup, team_bet_on="United")
    with runtime.sessions.begin() as session:
        transitions.fail(session, [claim], failure, None)
    process_due(runtime, limit=10)

    assert (make.job(signup, Phase.ENRICHED).status, teams(fake)) == (JobStatus.COMPLETED, ["United"])
    assert make.all(DeadLetter, resolved_at=None) == []


def test_a_correction_of_a_job_that_waits_for_its_retry_is_due_at_once(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup, take: Callable[[], Claim]
) -> None:
    claim = take()
    failure = RetryLater(ErrorType.SERVER_ERROR, "http_500", "out of order", 500)
    with runtime.sessions.begin() as session:
        transitions.retry_later(session, [claim], failure, None, scale=1)
    make.confirm(signup, team_bet_on="United")
    process_due(runtime, limit=10)

    assert teams(fake) == ["United"]


def test_an_older_version_never_overwrites_a_newer_one(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup, take: Callable[[], Claim]
) -> None:
    """The first worker sleeps while the correction goes all the way, then sends what it had."""
    with runtime.sessions.begin() as session:
        session.execute(update(Signup).values(extraction_confirmed_at=func.now() - timedelta(hours=2)))
    late = take()
    make.set(late.job_id, updated_at=func.now() - timedelta(hours=1))
    with runtime.sessions.begin() as session:
        transitions.reset_stuck(session, older_than=timedelta(minutes=5))
    make.confirm(signup, team_bet_on="United")
    process_due(runtime, limit=10)
    deliver(runtime, [late])
    person = fake.people.find(str(signup.customer_id))

    assert person is not None
    assert (teams(fake), person["attributes"]["team_bet_on"]) == (["United", "Rovers"], "United")


def test_the_initial_phase_has_one_version(runtime: Runtime, make: Factory, signup: Signup) -> None:
    process_due(runtime, limit=10)
    make.confirm(signup, team_bet_on="United")

    assert (make.job(signup).payload_version, make.job(signup).status) == (1, JobStatus.COMPLETED)


def test_the_newer_version_is_rung_for_when_the_older_one_is_through(
    runtime: Runtime, make: Factory, signup: Signup, take: Callable[[], Claim], redis_url: str
) -> None:
    claim = take()
    make.confirm(signup, team_bet_on="United")
    with redis.Redis.from_url(redis_url) as client:
        assert wake.flush(5)
        client.flushall()
        deliver(runtime, [claim])
        assert wake.flush(5)
        assert client.llen("cio") == 1


def test_two_corrections_in_one_second_have_an_order(sessions: Sessions, signup: Signup) -> None:
    times = []
    for team in ("United", "City", "Albion"):
        slip = {"betAmount": Decimal(5), "teamBetOn": team, "odds": "2.5", "confidence": Decimal(1)}
        with sessions.begin() as session:
            confirmed = confirm_extraction(session, signup.id, ConfirmationIn.model_validate(slip))
        assert confirmed.extraction_confirmed_at is not None
        times.append(int(confirmed.extraction_confirmed_at.timestamp()))
    assert times == sorted(set(times))
