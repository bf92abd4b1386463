"""An enriched job is due no sooner than the initial one that it waits for, so that no claim has to visit it meanwhile."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from cio_tasks import maintenance, transitions
from cio_tasks.claims import Claim, is_due
from cio_tasks.db import Sessions
from cio_tasks.delivery import Result, record
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import Signup, SyncJob
from cio_tasks.outcomes import ErrorType, Outcome, Rejected, RetryLater
from cio_tasks.processor import process_due
from cio_tasks.queries import list_followers
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

DOWN = RetryLater(ErrorType.SERVER_ERROR, "http_503", "down", 503)
REFUSED = Rejected("http_400", "refused", 400)
HOUR = timedelta(hours=1)


def take(runtime: Runtime) -> Claim:
    with runtime.sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="w", limit=1)
    return claim


def deliver_one(runtime: Runtime, outcome: Outcome) -> None:
    record(runtime, [Result(take(runtime), outcome)])


def list_due(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(SyncJob.sync_phase).where(is_due())))


@pytest.fixture
def signup(runtime: Runtime, make: Factory) -> Signup:
    """A signup whose enriched job was owed before its initial one met a failure that may pass."""
    signup = make.signup()
    make.confirm(signup)
    deliver_one(runtime, DOWN)
    return signup


def test_what_waits_is_due_when_the_initial_job_is(runtime: Runtime, make: Factory, signup: Signup) -> None:
    initial, enriched = make.job(signup), make.job(signup, Phase.ENRICHED)

    assert enriched.next_retry_at == initial.next_retry_at is not None
    assert (enriched.status, enriched.attempt_count, enriched.error_code) == (JobStatus.PENDING, 0, None)
    assert list_due(runtime.sessions) == []


def test_each_retry_takes_it_along(runtime: Runtime, make: Factory, signup: Signup) -> None:
    first = make.job(signup, Phase.ENRICHED).next_retry_at
    make.make_due(make.job(signup).id)
    deliver_one(runtime, DOWN)
    later = make.job(signup, Phase.ENRICHED).next_retry_at

    assert first is not None
    assert later is not None
    assert first < later == make.job(signup).next_retry_at


def test_what_is_confirmed_while_the_initial_job_waits_waits_with_it(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    deliver_one(runtime, DOWN)

    assert make.confirm(signup).next_retry_at == make.job(signup).next_retry_at is not None


def test_what_is_corrected_while_the_initial_job_waits_waits_with_it(make: Factory, signup: Signup) -> None:
    assert make.confirm(signup).next_retry_at == make.job(signup).next_retry_at is not None


def test_what_is_confirmed_behind_a_job_that_is_due_is_due(make: Factory) -> None:
    assert make.confirm(make.signup()).next_retry_at is None


def test_it_is_due_at_once_when_the_initial_job_completes(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, signup: Signup
) -> None:
    make.make_due(make.job(signup).id)

    assert process_due(runtime, limit=10).succeeded == 2
    assert fake.people.count_events() == 2


def test_it_is_rung_for_when_the_initial_job_completes(runtime: Runtime, make: Factory, signup: Signup) -> None:
    make.make_due(make.job(signup).id)
    process_due(runtime, limit=1)
    with runtime.sessions() as session:
        assert list_followers(session, [signup.id]) == [make.job(signup, Phase.ENRICHED).id]


def test_it_follows_at_once_when_the_initial_job_is_given_up(runtime: Runtime, make: Factory, signup: Signup) -> None:
    make.make_due(make.job(signup).id)
    deliver_one(runtime, REFUSED)

    assert list_due(runtime.sessions) == ["enriched"]
    assert process_due(runtime, limit=10).failed == 1
    assert make.job(signup, Phase.ENRICHED).error_code == "initial_failed"


def test_it_follows_at_once_when_the_initial_job_has_killed_its_last_worker(
    runtime: Runtime, make: Factory, signup: Signup
) -> None:
    job = make.job(signup)
    make.set(job.id, attempt_count=job.max_attempts, next_retry_at=None)
    take(runtime)
    make.set(job.id, updated_at=func.now() - HOUR)
    maintenance.reset_stuck(runtime)

    assert list_due(runtime.sessions) == ["enriched"]


def test_what_was_held_back_for_nothing_is_due_by_itself(runtime: Runtime, make: Factory, signup: Signup) -> None:
    """An older release completes the initial job and knows of nobody who waits."""
    enriched = make.job(signup, Phase.ENRICHED)
    make.set(make.job(signup).id, status="completed", completed_at=func.now(), error_type=None, next_retry_at=None)
    assert list_due(runtime.sessions) == []
    make.make_due(enriched.id)

    assert take(runtime).job_id == enriched.id


def test_a_time_of_its_own_is_left_alone(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    enriched = make.confirm(signup)
    make.set(enriched.id, attempt_count=1, next_retry_at=func.now() + 9 * HOUR)
    own = make.job(signup, Phase.ENRICHED).next_retry_at
    deliver_one(runtime, DOWN)
    make.make_due(make.job(signup).id)
    process_due(runtime, limit=1)

    assert make.job(signup, Phase.ENRICHED).next_retry_at == own


def test_nobody_else_waits(runtime: Runtime, make: Factory, signup: Signup) -> None:
    other = make.signup()
    make.confirm(other)

    assert sorted(list_due(runtime.sessions)) == ["enriched", "initial"]
    assert process_due(runtime, limit=10).succeeded == 2


def test_a_row_that_another_session_holds_delays_no_record(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    enriched = make.confirm(signup)
    claim = take(runtime)
    with runtime.sessions.begin() as other:
        other.execute(select(SyncJob.id).where(SyncJob.id == enriched.id).with_for_update())
        record(runtime, [Result(claim, DOWN)])

    assert make.job(signup).attempt_count == 1
    assert make.job(signup, Phase.ENRICHED).next_retry_at is None
    assert list_due(runtime.sessions) == ["enriched"]
