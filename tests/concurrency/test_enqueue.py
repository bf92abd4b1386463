from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from cio_tasks import Phase, enqueue_sync, transitions
from cio_tasks.db import Sessions
from cio_tasks.models import AuditEntry, Signup, SyncJob
from cio_tasks.outcomes import Delivered
from cio_tasks.states import JobStatus
from tests.concurrency.together import deadlocks, together
from tests.factories import Factory

ROUNDS = 200


def test_one_signup_that_is_enqueued_twenty_times_at_once_has_one_job(sessions: Sessions, make: Factory) -> None:
    signup = make.signup(enqueue=False)

    def work(_: int) -> SyncJob:
        with sessions.begin() as session:
            return enqueue_sync(session, session.get_one(Signup, signup.id), Phase.INITIAL)

    returned = {job.id for job in together(20, work)}

    assert returned == {make.job(signup).id}
    assert len(make.all(AuditEntry, action="enqueued")) == 1
    assert make.job(signup).status == JobStatus.PENDING


def test_twenty_corrections_at_once_owe_the_last_version(make: Factory) -> None:
    signup = make.signup()
    together(20, lambda number: make.confirm(signup, team_bet_on=f"Team {number}"))
    (row,) = make.all(Signup)

    assert row.extraction_version == make.job(signup, Phase.ENRICHED).payload_version == 20
    assert len(make.all(SyncJob, sync_phase="enriched")) == 1


def test_corrections_and_deliveries_of_one_job_never_deadlock_and_lose_nothing(
    engine: Engine, sessions: Sessions, make: Factory
) -> None:
    signup = make.signup()
    make.set(make.job(signup).id, status="completed")
    delivered: list[int] = []

    def correct() -> None:
        for number in range(ROUNDS):
            make.confirm(signup, team_bet_on=f"Team {number}")

    def deliver_once() -> None:
        with sessions.begin() as session:
            claims = transitions.claim(session, worker="w", limit=1)
        with sessions.begin() as session:
            transitions.complete(session, claims, Delivered(200), None)
        delivered.extend(claim.payload_version for claim in claims)

    with ThreadPoolExecutor(1) as pool:
        correcting = pool.submit(correct)
        while not correcting.done():
            deliver_once()
        correcting.result()
    deliver_once()

    assert delivered == sorted(set(delivered))
    assert delivered[-1] == ROUNDS
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.COMPLETED
    assert deadlocks(engine) == 0
