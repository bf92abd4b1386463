"""What changes a job and what tells of it are one transaction: both are there, or neither."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks import transitions
from cio_tasks.claims import Claim
from cio_tasks.db import Sessions
from cio_tasks.journal import Exchange
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.outcomes import Deferred, Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.states import Phase
from tests.factories import Factory
from tests.integration.buried import bury

ASKED = Exchange("r1", 1, timedelta(seconds=1))
TIMEOUT = RetryLater(ErrorType.NETWORK, "timeout", "too late")
REFUSED = Rejected("http_400", "refused", 400)
OUTCOMES: dict[str, Callable[[Session, Claim], list[Claim]]] = {
    "complete": lambda session, claim: transitions.complete(session, [claim], Delivered(200), ASKED),
    "retry_later": lambda session, claim: transitions.retry_later(session, [claim], TIMEOUT, ASKED, scale=1),
    "fail": lambda session, claim: transitions.fail(session, [claim], REFUSED, ASKED),
    "release": lambda session, claim: transitions.release(session, [claim], Deferred("stopping", "stop"), ASKED),
    "reset_stuck": lambda session, _: transitions.reset_stuck(session, older_than=timedelta(minutes=5)),
}


def everything(sessions: Sessions) -> list[dict[str, Any]]:
    """Return all rows that a change of a job may write."""
    with sessions() as session:
        return [
            {column.key: getattr(row, column.key) for column in model.__table__.columns}
            for model in (SyncJob, Signup, SyncAttempt, DeadLetter, AuditEntry)
            for row in session.scalars(select(model).order_by(model.id))
        ]


@pytest.mark.row("C11", "C12", "B10")
@pytest.mark.parametrize("name", list(OUTCOMES))
def test_an_outcome_that_is_rolled_back_leaves_no_evidence(sessions: Sessions, make: Factory, name: str) -> None:
    job = make.job(make.signup())
    with sessions.begin() as session:
        (claim,) = transitions.claim(session, worker="w", limit=1)
    make.set(job.id, updated_at=func.now() - timedelta(hours=1))
    before = everything(sessions)

    with sessions() as session:
        assert len(OUTCOMES[name](session, claim)) == 1
        session.rollback()
    assert everything(sessions) == before


def test_a_retry_by_hand_that_is_rolled_back_leaves_no_evidence(sessions: Sessions, make: Factory) -> None:
    signup = make.signup()
    bury(make, signup)
    before = everything(sessions)

    with sessions() as session:
        assert len(transitions.retry_manually(session, signup.id, phase=None, actor="ops")) == 1
        session.rollback()
    assert everything(sessions) == before


def test_a_reset_that_is_rolled_back_leaves_no_evidence(sessions: Sessions, make: Factory) -> None:
    signup = make.signup()
    bury(make, signup)
    before = everything(sessions)

    with sessions() as session:
        _, runs = transitions.enqueue(session, signup.id, Phase.INITIAL, version=1)
        session.rollback()
    assert runs
    assert everything(sessions) == before
