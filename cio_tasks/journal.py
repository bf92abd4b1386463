"""The evidence written together with a change of status: attempts, dead letters, audit rows, signup flags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, case, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cio_tasks.claims import Claim
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.states import JobStatus

SYSTEM = "system"
"""The actor of what no person asked for."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request that carried a delivery: our id for it, how many jobs were in it, how long it took."""

    request_id: str | None
    batch_size: int
    elapsed: timedelta


def add_attempts(session: Session, claims: Sequence[Claim], exchange: Exchange | None, **facts: Any) -> None:
    """Write one attempt for each claim; `facts` are columns that all of them share."""
    shared = dict(facts)
    if exchange is not None:
        shared |= {
            "request_id": exchange.request_id,
            "batch_size": exchange.batch_size,
            "duration_ms": round(exchange.elapsed.total_seconds() * 1000),
        }
    rows = [
        {
            "job_id": claim.job_id,
            "claim_token": claim.token,
            "retry": claim.attempt_count,
            "worker": claim.worker,
            "started_at": claim.claimed_at,
            **shared,
        }
        for claim in claims
    ]
    if rows:
        session.execute(insert(SyncAttempt).on_conflict_do_nothing(), rows)


def add_dead_letters(session: Session, claims: Sequence[Claim], **facts: Any) -> None:
    """Write the dead letter of each failed claim (row B10); one that is still unresolved stands."""
    rows = [
        {
            "job_id": claim.job_id,
            "signup_id": claim.signup_id,
            "sync_phase": claim.phase,
            "attempt_count": claim.attempt_count,
            **facts,
        }
        for claim in claims
    ]
    if rows:
        session.execute(insert(DeadLetter).on_conflict_do_nothing(), rows)


def resolve_dead_letters(session: Session, job_ids: Iterable[UUID], *, resolution: str, actor: str) -> None:
    """Note on the open dead letters of these jobs what became of them."""
    session.execute(
        update(DeadLetter)
        .where(DeadLetter.job_id.in_(list(job_ids)), DeadLetter.resolved_at.is_(None))
        .values(resolved_at=func.now(), resolution=resolution, resolved_by=actor)
        .execution_options(synchronize_session=False)
    )


def add_audit(session: Session, action: str, jobs: Iterable[Mapping[str, Any]], *, actor: str = SYSTEM) -> None:
    """Write one audit row for each mapping of `signup_id`, `job_id` and `details`. Details hold ids and words only."""
    rows = [{"action": action, "actor": actor, **job} for job in jobs]
    if rows:
        session.execute(insert(AuditEntry), rows)


def audit_of(claim: Claim, **details: Any) -> dict[str, Any]:
    """Return the audit row of a claim, with the details that every outcome has (rows C11 to C13)."""
    return {
        "signup_id": claim.signup_id,
        "job_id": claim.job_id,
        "details": {
            "jobId": str(claim.job_id),
            "syncPhase": claim.phase,
            "manualRetry": claim.manual_retry,
            "attemptCount": claim.attempt_count,
            **details,
        },
    }


def lock_signups(session: Session, signup_ids: Iterable[UUID]) -> None:
    """Lock these signups until the transaction ends. Whoever changes a signup and its jobs locks the signup first.

    One order for all (signups by id, then jobs) leaves no two transactions waiting for each other.
    """
    ids = sorted(set(signup_ids))
    session.execute(select(Signup.id).where(Signup.id.in_(ids)).order_by(Signup.id).with_for_update(key_share=True))


def mark_synced(session: Session, signup_ids: Iterable[UUID]) -> None:
    """Note on the signups that Customer.io knows them, and since when (rows H13 to H15)."""
    session.execute(
        update(Signup)
        .where(Signup.id.in_(list(signup_ids)))
        .values(
            customerio_synced=True,
            customerio_synced_at=func.now(),
            customerio_contact_id=cast(Signup.customer_id, Text),
            updated_at=func.now(),
        )
        .execution_options(synchronize_session=False)
    )


def refresh_failure_flags(session: Session, signup_ids: Iterable[UUID]) -> None:
    """Make the signups' failure flags say what their jobs say (rows B11, C9): failed, with the newest error."""
    error = _newest_error()
    session.execute(
        update(Signup)
        .where(Signup.id.in_(list(signup_ids)))
        .values(
            customerio_sync_failed=_has_failed_job(),
            customerio_sync_error=case((_has_failed_job(), func.coalesce(error, "unknown")), else_=None),
            updated_at=func.now(),
        )
        .execution_options(synchronize_session=False)
    )


def _has_failed_job() -> ColumnElement[bool]:
    return (
        select(SyncJob.id)
        .where(SyncJob.signup_id == Signup.id, SyncJob.status == JobStatus.FAILED)
        .correlate(Signup)
        .exists()
    )


def _newest_error() -> Any:
    return (
        select(SyncJob.error_message)
        .where(SyncJob.signup_id == Signup.id, SyncJob.status == JobStatus.FAILED)
        .order_by(SyncJob.last_attempt_at.desc().nulls_last())
        .limit(1)
        .correlate(Signup)
        .scalar_subquery()
    )
