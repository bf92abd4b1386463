"""What the interleavings have found in the product: the shortest ways there, on a real Postgres."""

from datetime import timedelta

from sqlalchemy import func

from cio_tasks import maintenance, transitions
from cio_tasks.claims import Claim
from cio_tasks.delivery import Result, record
from cio_tasks.operations import retry_signup
from cio_tasks.outcomes import INITIAL_FAILED, Delivered, Rejected
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

REFUSED = Rejected("http_400", "refused", 400)


def take(runtime: Runtime) -> Claim:
    with runtime.sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="w", limit=1)
    return claim


def test_an_enriched_job_is_not_given_up_because_of_an_initial_one_that_has_completed_meanwhile(
    runtime: Runtime, make: Factory
) -> None:
    signup = make.signup()
    record(runtime, [Result(take(runtime), REFUSED)])
    make.confirm(signup)
    enriched = take(runtime)
    assert enriched.initial_failed

    retry_signup(runtime.sessions, signup.id, actor="ann")
    record(runtime, [Result(take(runtime), Delivered(200))])
    record(runtime, [Result(enriched, Rejected(INITIAL_FAILED, "not sent"))])

    assert make.job(signup).status == JobStatus.COMPLETED
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_a_correction_is_tried_although_the_worker_of_the_last_retry_was_lost(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    record(runtime, [Result(take(runtime), Delivered(200))])
    job = make.confirm(signup)
    make.set(job.id, attempt_count=job.max_attempts)
    take(runtime)

    make.confirm(signup, bet_amount=99)
    make.set(job.id, updated_at=func.now() - timedelta(hours=1))
    maintenance.reset_stuck(runtime)

    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING
