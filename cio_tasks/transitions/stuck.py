"""Claims whose worker is gone are taken back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from cio_tasks import journal
from cio_tasks.claims import Claim, load_claims
from cio_tasks.journal import SYSTEM
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import WORKER_LOST, ErrorType, RetryLater
from cio_tasks.states import JobStatus
from cio_tasks.transitions.recording import bury
from cio_tasks.transitions.update import FRESH, ended_as, error_columns, held_of, is_mine, is_overtaken, update_jobs

LOST: Final = RetryLater(ErrorType.OTHER, WORKER_LOST, "the worker died or hung while delivering")


def reset_stuck(session: Session, *, older_than: timedelta, limit: int = 500, actor: str = SYSTEM) -> list[Claim]:
    """Take back claims older than `older_than` (rows D3, D4); return them.

    A crash costs a retry, and the last one ends the job, so that a job which kills its worker ends in the dead letters. But
    a newer version that was confirmed during that last one has not been tried yet: it begins with all its retries.
    """
    is_stuck = and_(SyncJob.status == JobStatus.PROCESSING, SyncJob.updated_at < func.now() - older_than)
    claims = load_claims(
        session, session.scalars(select(SyncJob).where(is_stuck).order_by(SyncJob.id).limit(limit)).all()
    )
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    left = [claim for claim in claims if claim.attempt_count < claim.max_attempts]
    spent = [claim for claim in claims if claim.attempt_count >= claim.max_attempts]
    retried = {"status": JobStatus.PENDING, "attempt_count": SyncJob.attempt_count + 1}
    taken = _take_back(session, left, is_stuck, retried, actor)
    anew = _take_back(session, spent, and_(is_stuck, is_overtaken()), {"status": JobStatus.PENDING, **FRESH}, actor)
    ended = _take_back(session, spent, is_stuck, {"status": JobStatus.FAILED}, actor)
    bury(session, ended, error_columns(LOST), exhausted=True)
    return [*taken, *(replace(claim, attempt_count=0, superseded=True) for claim in anew), *ended]


def _take_back(
    session: Session, claims: Sequence[Claim], guard: ColumnElement[bool], change: dict[str, Any], actor: str
) -> list[Claim]:
    if not claims:
        return []
    error = error_columns(LOST)
    values = {"claimed_by": None, "next_retry_at": None, **error, **change}
    taken = held_of(claims, update_jobs(session, and_(is_mine(claims), guard), **values))
    journal.add_attempts(session, taken, None, outcome="worker_lost", **error)
    entries = [journal.audit_of(claim, worker=claim.worker, **ended_as(change["status"])) for claim in taken]
    journal.add_audit(session, "reset_stuck", entries, actor=actor)
    return taken
