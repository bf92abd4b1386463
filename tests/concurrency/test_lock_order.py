"""Whoever changes signups and their jobs locks the signups first, by id, and the gate last."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cio_tasks import Phase, enqueue_sync, gate, journal, transitions
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions
from cio_tasks.delivery import Result, record
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.gate import Reason
from cio_tasks.models import DeadLetter, Gate, Signup, SyncAttempt, SyncJob
from cio_tasks.outcomes import UNAUTHORIZED, Deferred, Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.processor import probe
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.concurrency.together import blocked, deadlocks, together
from tests.eventually import eventually
from tests.factories import Factory

SECOND = timedelta(seconds=1)
REFUSED = Rejected(UNAUTHORIZED, "who are you", 401)
BROKEN = RetryLater(ErrorType.SERVER_ERROR, "http_500", "it broke", 500)
FAILED_401 = {"status": "failed", "error_type": "other", "error_code": UNAUTHORIZED, "error_message": "who are you"}


def take(sessions: Sessions, **options: Any) -> list[Claim]:
    with sessions.begin() as session:
        return transitions.claim(session, worker="w", **{"limit": 1, **options})


Change = Callable[[Session, Claim], Any]

CHANGES: dict[str, Change] = {
    "complete": lambda session, claim: transitions.complete(session, [claim], Delivered(200), None),
    "fail": lambda session, claim: transitions.fail(session, [claim], REFUSED, None),
    "release": lambda session, claim: transitions.release(session, [claim], Deferred("stopping", "the end"), None),
    "retry_later": lambda session, claim: transitions.retry_later(session, [claim], BROKEN, None, scale=1),
    "reset_stuck": lambda session, _: transitions.reset_stuck(session, older_than=-SECOND),
}
CHANGES_OF_FAILED: dict[str, Change] = {
    "enqueue": lambda session, claim: transitions.enqueue(session, claim.signup_id, Phase.INITIAL, version=1),
    "retry_manually": lambda session, claim: transitions.retry_manually(
        session, claim.signup_id, phase=None, actor="ops"
    ),
    "revive": lambda session, _: transitions.revive_unauthorized(session),
}


@pytest.mark.parametrize("verb", [*CHANGES, *CHANGES_OF_FAILED])
def test_a_change_locks_the_signup_before_the_job(sessions: Sessions, make: Factory, verb: str) -> None:
    make.signup()
    (claim,) = take(sessions)
    if verb in CHANGES_OF_FAILED:
        make.set(claim.job_id, claimed_by=None, **FAILED_401)

    def change() -> None:
        with sessions.begin() as session:
            (CHANGES | CHANGES_OF_FAILED)[verb](session, claim)

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as holder:
            journal.lock_signups(holder, [claim.signup_id])
            changing = pool.submit(change)
            eventually(lambda: blocked(sessions) == 1)
            holder.execute(select(SyncJob.id).where(SyncJob.id == claim.job_id).with_for_update(nowait=True))
        changing.result()

    assert make.all(SyncJob)[0].status != (JobStatus.FAILED if verb in CHANGES_OF_FAILED else JobStatus.PROCESSING)


def test_a_signup_enqueued_while_its_job_is_being_revived_waits_its_turn(
    engine: Engine, sessions: Sessions, make: Factory
) -> None:
    """Reviving has chosen the first signup when the second one's job fails too; an application holds that signup."""
    first, second = make.signup(), make.signup()
    make.set(make.job(first).id, **FAILED_401)

    def revive() -> int:
        with sessions.begin() as session:
            return len(transitions.revive_unauthorized(session))

    with ThreadPoolExecutor(1) as pool, sessions.begin() as holder, sessions.begin() as application:
        journal.lock_signups(holder, [first.id])
        reviving = pool.submit(revive)
        eventually(lambda: blocked(sessions) == 1)
        make.set(make.job(second).id, **FAILED_401)
        journal.lock_signups(application, [second.id])
        holder.rollback()
        eventually(lambda: reviving.done() or blocked(sessions) == 1)
        job = enqueue_sync(application, application.get_one(Signup, second.id), Phase.INITIAL)
        application.commit()

    assert (reviving.result() >= 1, job.status, deadlocks(engine)) == (True, JobStatus.PENDING, 0)


def test_opening_the_gate_and_recording_a_401_wait_for_each_other_in_one_order(
    engine: Engine, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    """Both phases of one signup met a 401: one is being recorded while the probe opens the gate and revives the other."""
    sessions, signup = runtime.sessions, make.signup()
    make.set(make.confirm(signup).id, **FAILED_401)
    (claim,) = take(sessions)
    with sessions.begin() as session:
        gate.close(session, Reason.AUTH, wait=-SECOND, note="")
        for token in (-1, -2):
            session.add(SyncAttempt(**attempt_of(claim, token)))
    fake.scenario = Scenario(latency_seconds=0.3)

    with ThreadPoolExecutor(2) as pool, sessions.begin() as holder:
        probing = pool.submit(probe, runtime)
        eventually(fake.ledger.count, every=0.005)
        holder.execute(select(Gate).with_for_update())
        eventually(lambda: blocked(sessions) == 1)
        recording = pool.submit(record, runtime, [Result(claim, REFUSED)])
        eventually(lambda: blocked(sessions) == 2)
        holder.rollback()
        assert (probing.result(), len(recording.result())) == ([], 1)

    assert deadlocks(engine) == 0


def attempt_of(claim: Claim, token: int) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "claim_token": token,
        "retry": 0,
        "outcome": "rejected",
        "error_code": UNAUTHORIZED,
        "http_status": 401,
        "started_at": claim.claimed_at,
    }


# --- everything at once -----------------------------------------------------------------------------------------------

Step = Callable[[Sessions, Random], Any]


def deliver_some(sessions: Sessions, dice: Random) -> None:
    claims = take(sessions, limit=dice.randint(1, 4))
    later = RetryLater(ErrorType.NETWORK, "timeout", "no answer")
    outcomes: list[Callable[[Session], Any]] = [
        lambda session: transitions.complete(session, claims, Delivered(200), None),
        lambda session: transitions.retry_later(
            session, [claim for claim in claims if claim.attempt_count < 5], later, None, scale=0.000001
        ),
        lambda session: transitions.fail(session, claims, REFUSED, None),
        lambda session: transitions.release(session, claims, Deferred("stopping", ""), None),
        lambda _: None,
    ]
    with sessions.begin() as session:
        dice.choice(outcomes)(session)


def enqueue_one(sessions: Sessions, dice: Random) -> None:
    with sessions.begin() as session:
        signup = session.get_one(Signup, dice.choice(list(session.scalars(select(Signup.id)))), with_for_update=True)
        signup.team_bet_on, signup.odds, signup.confidence, signup.bet_amount = "Rovers", "+150", 0.5, 10  # type: ignore[assignment]
        signup.extraction_confirmed_at = session.scalar(select(func.now()))
        signup.extraction_version += 1
        for phase in dice.sample(list(Phase), dice.randint(1, 2)):
            enqueue_sync(session, signup, phase)


def bring_back(sessions: Sessions, dice: Random) -> None:
    with sessions.begin() as session:
        match dice.randint(0, 2):
            case 0:
                transitions.reset_stuck(session, older_than=-SECOND)
            case 1:
                transitions.revive_unauthorized(session)
            case 2:
                signup_id = dice.choice(list(session.scalars(select(Signup.id))))
                transitions.retry_manually(session, signup_id, phase=None, actor="ops")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crowd_that_does_everything_at_once_never_deadlocks(
    engine: Engine, sessions: Sessions, make: Factory, seed: int
) -> None:
    for _ in range(4):
        make.signup()
    steps: list[Step] = [deliver_some, deliver_some, deliver_some, enqueue_one, enqueue_one, bring_back]

    def work(number: int) -> None:
        dice = Random(100 * seed + number)
        for _ in range(40):
            dice.choice(steps)(sessions, dice)

    together(10, work)

    assert_nothing_contradicts(make)
    assert deadlocks(engine) == 0


def assert_nothing_contradicts(make: Factory) -> None:
    """The flags of every signup say what its jobs say, and every failed job has its one open dead letter."""
    with make.sessions() as session:
        failed = set(session.scalars(select(SyncJob.signup_id).where(SyncJob.status == JobStatus.FAILED)))
        flagged = set(session.scalars(select(Signup.id).where(Signup.customerio_sync_failed)))
        letters = session.scalars(select(DeadLetter.job_id).where(DeadLetter.resolved_at.is_(None))).all()
        jobs = session.scalars(select(SyncJob.id).where(SyncJob.status == JobStatus.FAILED)).all()
    assert flagged == failed
    assert sorted(letters) == sorted(jobs)
    for job in make.all(SyncJob):
        tokens = [attempt.claim_token for attempt in make.attempts(job)]
        assert len(tokens) == len(set(tokens))
        assert max([0, *tokens]) <= job.claim_token
