"""Every change of a job's status, one function an arrow of `states.TRANSITIONS`. Nothing else writes a status.

Each is one UPDATE whose WHERE holds the guard, together with its evidence, in the caller's transaction. A record needs
the claim: `processing` and the same token. When that matches no row the worker was too late; its outcome is dropped.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cio_tasks import journal
from cio_tasks.backoff import retry_delay
from cio_tasks.claims import Claim, due_since, is_due, load_claims, may_follow
from cio_tasks.gate import gate_is_open
from cio_tasks.journal import SYSTEM, Exchange
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import (
    CREDENTIALS_AT_FAULT,
    INITIAL_FAILED,
    WORKER_LOST,
    Deferred,
    Delivered,
    ErrorType,
    Rejected,
    RetryLater,
)
from cio_tasks.states import JobStatus, Phase

NO_ERROR: Final = {"error_type": None, "error_code": None, "error_message": None, "http_status": None}
FRESH: Final = {"attempt_count": 0, "next_retry_at": None, "completed_at": None, "claimed_by": None, **NO_ERROR}
LOST: Final = RetryLater(ErrorType.OTHER, WORKER_LOST, "the worker died or hung while delivering")


# --- into the queue ---------------------------------------------------------------------------------------------------


def enqueue(session: Session, signup_id: UUID, phase: Phase, *, version: int) -> tuple[SyncJob, bool]:
    """Return the job of this signup and phase, owed at `version`, and whether it must run (rows B1 to B3).

    A new job is made; an unfinished one starts anew; a completed one is left alone unless the version is newer; one that
    is being delivered is left alone, and runs again afterwards when the version is newer.
    """
    journal.lock_signups(session, [signup_id])
    inserted = session.scalar(
        insert(SyncJob)
        .values(signup_id=signup_id, sync_phase=phase, status=JobStatus.PENDING, payload_version=version)
        .on_conflict_do_nothing(index_elements=["signup_id", "sync_phase"])
        .returning(SyncJob)
        .execution_options(populate_existing=True)
    )
    if inserted is not None:
        journal.add_audit(session, "enqueued", [_audit_of(inserted)])
        return inserted, True
    job = session.scalars(
        select(SyncJob)
        .where(SyncJob.signup_id == signup_id, SyncJob.sync_phase == phase)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return job, _reset(session, job, version)


def _reset(session: Session, job: SyncJob, version: int) -> bool:
    """Make a locked job run again if it has to, and return whether it does."""
    newer = version > job.payload_version
    if job.status == JobStatus.PROCESSING:
        job.payload_version = max(version, job.payload_version)
        session.flush()
        return False
    if job.status == JobStatus.COMPLETED and not newer:
        return False
    before = job.status
    _update(
        session,
        SyncJob.id == job.id,
        status=JobStatus.PENDING,
        payload_version=max(version, job.payload_version),
        manual_retry=False,
        mock=False,
        **FRESH,
    )
    session.refresh(job)
    journal.resolve_dead_letters(session, [job.id], resolution="reset", actor=SYSTEM)
    journal.refresh_failure_flags(session, [job.signup_id])
    journal.add_audit(session, "reset", [_audit_of(job, **{"from": before, "version": job.payload_version})])
    return True


# --- claim ------------------------------------------------------------------------------------------------------------


def claim(
    session: Session, *, worker: str, limit: int, job_id: UUID | None = None, probing: bool = False
) -> list[Claim]:
    """Take up to `limit` due jobs (or just `job_id`, if due), oldest first, that no other worker is taking.

    Due is decided by the database's clock. A closed gate yields nothing, except for `probing`, which the gate allowed.
    An enriched job waits while its signup's initial job is pending or processing.
    """
    conditions = [is_due(), may_follow()]
    if not probing:
        conditions.append(gate_is_open())
    if job_id is not None:
        conditions.append(SyncJob.id == job_id)
    due = (
        select(SyncJob.id)
        .where(*conditions)
        .order_by(due_since(), SyncJob.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
        .cte("due")
    )
    jobs = _update(
        session,
        SyncJob.id.in_(select(due.c.id)),
        status=JobStatus.PROCESSING,
        claim_token=SyncJob.claim_token + 1,
        claimed_by=worker,
        next_retry_at=None,
        last_attempt_at=func.now(),
    )
    return load_claims(session, jobs)


# --- record -----------------------------------------------------------------------------------------------------------


def complete(session: Session, claims: Sequence[Claim], delivered: Delivered, exchange: Exchange | None) -> list[Claim]:
    """Record that Customer.io took the payload of these claims; return those that still held.

    A job of which a newer version was confirmed meanwhile goes back to pending instead (`supersede`).
    """
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    done = _held(
        claims,
        _update(
            session,
            _mine(claims, with_version=True),
            status=JobStatus.COMPLETED,
            completed_at=func.now(),
            mock=delivered.mock,
            claimed_by=None,
            **NO_ERROR,
        ),
    )
    superseded = _supersede(session, [claim for claim in claims if claim not in done])
    journal.add_attempts(
        session,
        [*done, *superseded],
        exchange,
        outcome="delivered",
        mock=delivered.mock,
        http_status=delivered.http_status,
    )
    signups = [claim.signup_id for claim in done]
    journal.mark_synced(session, signups)
    journal.refresh_failure_flags(session, signups)
    journal.add_audit(
        session,
        "customerio_synced",
        [journal.audit_of(claim, contactId=claim.contact_id, mock=delivered.mock) for claim in done],
    )
    _revive_followers(session, [claim.signup_id for claim in done if claim.phase == Phase.INITIAL])
    return [*done, *superseded]


def _supersede(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    if not claims:
        return []
    jobs = _update(session, _mine(claims), status=JobStatus.PENDING, **FRESH)
    return _held(claims, jobs)


def retry_later(
    session: Session, claims: Sequence[Claim], failure: RetryLater, exchange: Exchange | None, *, scale: float
) -> list[Claim]:
    """Record a failure that may pass: each job waits its own next delay (rows B6 to B8); return the claims that held.

    The caller passes only claims that have a retry left.
    """
    held: list[Claim] = []
    by_count = sorted(claims, key=lambda claim: claim.attempt_count)
    for count, group in groupby(by_count, key=lambda claim: claim.attempt_count):
        members = list(group)
        jobs = _update(
            session,
            _mine(members),
            status=JobStatus.PENDING,
            attempt_count=count + 1,
            next_retry_at=func.now() + retry_delay(count + 1, scale=scale),
            claimed_by=None,
            **_error_columns(failure),
        )
        kept = _held(members, jobs)
        due = jobs[0].next_retry_at if jobs else None
        journal.add_attempts(
            session, kept, exchange, outcome="retry_later", next_retry_at=due, **_error_columns(failure)
        )
        held += kept
    return held


def fail(
    session: Session, claims: Sequence[Claim], failure: RetryLater | Rejected, exchange: Exchange | None
) -> list[Claim]:
    """Give these jobs up, with a dead letter each (rows B9 to B11); return the claims that held.

    A failure that might have passed comes here when the retries are exhausted. A job of which a newer version was
    confirmed meanwhile goes back to pending instead (`supersede`).
    """
    exhausted = isinstance(failure, RetryLater)
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    error = _error_columns(failure)
    ended = {"status": JobStatus.FAILED, "claimed_by": None, "next_retry_at": None, **error}
    buried = _held(claims, _update(session, _mine(claims, with_version=True), **ended))
    superseded = _supersede(session, [claim for claim in claims if claim not in buried])
    outcome = "retry_later" if exhausted else "rejected"
    journal.add_attempts(session, [*buried, *superseded], exchange, outcome=outcome, **error)
    _bury(session, buried, error, exhausted=exhausted)
    return [*buried, *superseded]


def _bury(session: Session, held: Sequence[Claim], error: dict[str, Any], *, exhausted: bool) -> None:
    """Write what every job that failed for good leaves behind: dead letter, signup flags, audit row."""
    if not held:
        return
    journal.add_dead_letters(session, held, exhausted_retries=exhausted, **error)
    journal.refresh_failure_flags(session, [claim.signup_id for claim in held])
    journal.add_audit(
        session,
        "customerio_sync_failed",
        [
            journal.audit_of(
                claim, exhaustedRetries=exhausted, errorType=error["error_type"], errorCode=error["error_code"]
            )
            for claim in held
        ],
    )


def release(session: Session, claims: Sequence[Claim], deferred: Deferred, exchange: Exchange | None) -> list[Claim]:
    """Give claims back unspent; return those that held. If a request was spent on them, an attempt says so."""
    due = None if deferred.wait is None else func.now() + deferred.wait
    held = _held(claims, _update(session, _mine(claims), status=JobStatus.PENDING, claimed_by=None, next_retry_at=due))
    if exchange is not None:
        journal.add_attempts(
            session, held, exchange, outcome="released", error_code=deferred.code, error_message=deferred.detail
        )
    return held


# --- without a claim --------------------------------------------------------------------------------------------------


def reset_stuck(session: Session, *, older_than: timedelta, limit: int = 500) -> list[Claim]:
    """Take back claims older than `older_than` (rows D3, D4); return them.

    A crash costs a retry, and the last one ends the job, so that a job which kills its worker ends in the dead letters.
    """
    is_stuck = and_(SyncJob.status == JobStatus.PROCESSING, SyncJob.updated_at < func.now() - older_than)
    claims = load_claims(
        session, session.scalars(select(SyncJob).where(is_stuck).order_by(SyncJob.id).limit(limit)).all()
    )
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    left = [claim for claim in claims if claim.attempt_count < claim.max_attempts]
    spent = [claim for claim in claims if claim.attempt_count >= claim.max_attempts]
    retried = {"status": JobStatus.PENDING, "attempt_count": SyncJob.attempt_count + 1}
    taken = _take_back(session, left, is_stuck, retried)
    ended = _take_back(session, spent, is_stuck, {"status": JobStatus.FAILED})
    _bury(session, ended, _error_columns(LOST), exhausted=True)
    return [*taken, *ended]


def _take_back(
    session: Session, claims: Sequence[Claim], is_stuck: ColumnElement[bool], change: dict[str, Any]
) -> list[Claim]:
    if not claims:
        return []
    error = _error_columns(LOST)
    jobs = _update(session, and_(_mine(claims), is_stuck), claimed_by=None, next_retry_at=None, **change, **error)
    taken = _held(claims, jobs)
    journal.add_attempts(session, taken, None, outcome="worker_lost", **error)
    journal.add_audit(session, "reset_stuck", [journal.audit_of(claim, worker=claim.worker) for claim in taken])
    return taken


def retry_manually(session: Session, signup_id: UUID, *, phase: Phase | None, actor: str) -> list[SyncJob]:
    """Make the failed jobs of a signup run again at once, as `actor` asked (rows C6 to C9); return them."""
    condition = and_(SyncJob.signup_id == signup_id, SyncJob.status == JobStatus.FAILED)
    if phase is not None:
        condition = and_(condition, SyncJob.sync_phase == phase)
    return _requeue(
        session, condition, action="manual_retry", resolution="manual_retry", actor=actor, manual_retry=True
    )


def revive_unauthorized(session: Session) -> list[SyncJob]:
    """Make the jobs that failed only because the credentials did run again (the decision at row A5); return them."""
    condition = and_(SyncJob.status == JobStatus.FAILED, SyncJob.error_code.in_(CREDENTIALS_AT_FAULT))
    return _requeue(session, condition, action="revived", resolution="credentials_restored", actor=SYSTEM)


def _revive_followers(session: Session, signup_ids: Iterable[UUID]) -> None:
    """Make enriched jobs run again that were given up because the initial job of their signup had failed."""
    condition = and_(
        SyncJob.signup_id.in_(list(signup_ids)),
        SyncJob.status == JobStatus.FAILED,
        SyncJob.error_code == INITIAL_FAILED,
    )
    _requeue(session, condition, action="revived", resolution="initial_completed", actor=SYSTEM)


def _requeue(
    session: Session, condition: ColumnElement[bool], *, action: str, resolution: str, actor: str, **values: Any
) -> list[SyncJob]:
    found = session.scalars(select(SyncJob.signup_id).where(condition)).all()
    if not found:
        return []
    journal.lock_signups(session, found)
    locked = and_(condition, SyncJob.signup_id.in_(found))
    jobs = _update(session, locked, status=JobStatus.PENDING, **FRESH, **values)
    if jobs:
        journal.resolve_dead_letters(session, [job.id for job in jobs], resolution=resolution, actor=actor)
        journal.refresh_failure_flags(session, [job.signup_id for job in jobs])
        journal.add_audit(session, action, [_audit_of(job) for job in jobs], actor=actor)
    return jobs


# --- the one UPDATE ---------------------------------------------------------------------------------------------------


def _update(session: Session, guard: ColumnElement[bool], **values: Any) -> list[SyncJob]:
    statement = (
        update(SyncJob)
        .where(guard)
        .values(updated_at=func.now(), **values)
        .returning(SyncJob)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return list(session.scalars(statement))


def _mine(claims: Sequence[Claim], *, with_version: bool = False) -> ColumnElement[bool]:
    """Return the fence: still processing, and under the very claim that delivered."""
    if with_version:
        held = tuple_(SyncJob.id, SyncJob.claim_token, SyncJob.payload_version).in_(
            [(claim.job_id, claim.token, claim.payload_version) for claim in claims]
        )
    else:
        held = tuple_(SyncJob.id, SyncJob.claim_token).in_([(claim.job_id, claim.token) for claim in claims])
    ids = SyncJob.id.in_([claim.job_id for claim in claims])  # said once more for the primary key's index
    return and_(SyncJob.status == JobStatus.PROCESSING, ids, held)


def _held(claims: Sequence[Claim], jobs: Iterable[SyncJob]) -> list[Claim]:
    changed = {job.id for job in jobs}
    return [claim for claim in claims if claim.job_id in changed]


def _error_columns(failure: RetryLater | Rejected) -> dict[str, Any]:
    return {
        "error_type": failure.error_type,
        "error_code": failure.code,
        "error_message": failure.detail,
        "http_status": failure.http_status,
    }


def _audit_of(job: SyncJob, **details: Any) -> dict[str, Any]:
    return {
        "signup_id": job.signup_id,
        "job_id": job.id,
        "details": {"jobId": str(job.id), "syncPhase": job.sync_phase, **details},
    }
