"""What came of a delivery, recorded under the claim that it was made with."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import and_, func
from sqlalchemy.orm import Session

from cio_tasks import journal
from cio_tasks.backoff import retry_delay
from cio_tasks.claims import Claim, initial_has_failed
from cio_tasks.journal import Exchange
from cio_tasks.outcomes import INITIAL_FAILED, Deferred, Delivered, Rejected, RetryLater
from cio_tasks.states import JobStatus, Phase
from cio_tasks.transitions.following import hold_followers_back, let_followers_go
from cio_tasks.transitions.requeueing import revive_followers
from cio_tasks.transitions.update import FRESH, NO_ERROR, ended_as, error_columns, held_of, is_mine, update_jobs


def complete(session: Session, claims: Sequence[Claim], delivered: Delivered, exchange: Exchange | None) -> list[Claim]:
    """Record that Customer.io took the payload of these claims; return those that still held.

    A job of which a newer version was confirmed meanwhile goes back to pending instead (`supersede`).
    """
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    done = held_of(
        claims,
        update_jobs(
            session,
            is_mine(claims, with_version=True),
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
    change = ended_as(JobStatus.COMPLETED)
    journal.add_audit(
        session,
        "customerio_synced",
        [journal.audit_of(claim, **change, contactId=claim.contact_id, mock=delivered.mock) for claim in done],
    )
    let_followers_go(session, done)
    revive_followers(session, [claim.signup_id for claim in done if claim.phase == Phase.INITIAL])
    return [*done, *superseded]


def _supersede(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    if not claims:
        return []
    jobs = update_jobs(session, is_mine(claims), status=JobStatus.PENDING, **FRESH)
    return [replace(claim, superseded=True) for claim in held_of(claims, jobs)]


def retry_later(
    session: Session, claims: Sequence[Claim], failure: RetryLater, exchange: Exchange | None, *, scale: float
) -> list[Claim]:
    """Record a failure that may pass: each job waits its own next delay (rows B6 to B8); return the claims that held.

    The caller passes only claims that have a retry left.
    """
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    held: list[Claim] = []
    by_count = sorted(claims, key=lambda claim: claim.attempt_count)
    for count, group in groupby(by_count, key=lambda claim: claim.attempt_count):
        members = list(group)
        jobs = update_jobs(
            session,
            is_mine(members),
            status=JobStatus.PENDING,
            attempt_count=count + 1,
            next_retry_at=func.now() + retry_delay(count + 1, scale=scale),
            claimed_by=None,
            **error_columns(failure),
        )
        kept = held_of(members, jobs)
        due = jobs[0].next_retry_at if jobs else None
        if due is not None:
            hold_followers_back(session, kept, due)
        journal.add_attempts(
            session, kept, exchange, outcome="retry_later", next_retry_at=due, **error_columns(failure)
        )
        held += kept
    return held


def fail(
    session: Session, claims: Sequence[Claim], failure: RetryLater | Rejected, exchange: Exchange | None
) -> list[Claim]:
    """Give these jobs up, with a dead letter each (rows B9 to B11); return the claims that held.

    A failure that might have passed comes here when the retries are exhausted. A job of which a newer version was
    confirmed meanwhile goes back to pending instead (`supersede`), and so does one that was to follow its initial job into
    the dead letters when that is not there any more (`release`).
    """
    exhausted = isinstance(failure, RetryLater)
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    freed = _free(session, claims) if failure.code == INITIAL_FAILED else []
    error = error_columns(failure)
    ended = {"status": JobStatus.FAILED, "claimed_by": None, "next_retry_at": None, **error}
    buried = held_of(claims, update_jobs(session, is_mine(claims, with_version=True), **ended))
    superseded = _supersede(session, [claim for claim in claims if claim not in buried])
    outcome = "retry_later" if exhausted else "rejected"
    journal.add_attempts(session, [*buried, *superseded], exchange, outcome=outcome, **error)
    bury(session, buried, error, exhausted=exhausted)
    return [*buried, *superseded, *freed]


def _free(session: Session, claims: Sequence[Claim]) -> list[Claim]:
    """Give back, unspent, the claims whose initial job has been retried, or has even completed, since they were made."""
    guard = and_(is_mine(claims), ~initial_has_failed())
    jobs = update_jobs(session, guard, status=JobStatus.PENDING, claimed_by=None, next_retry_at=None)
    return [replace(claim, superseded=True) for claim in held_of(claims, jobs)]


def bury(session: Session, held: Sequence[Claim], error: dict[str, Any], *, exhausted: bool) -> None:
    """Write what every job that failed for good leaves behind: dead letter, signup flags, audit row."""
    if not held:
        return
    journal.add_dead_letters(session, held, exhausted_retries=exhausted, **error)
    journal.refresh_failure_flags(session, [claim.signup_id for claim in held])
    let_followers_go(session, held)
    why = {"exhaustedRetries": exhausted, "errorType": error["error_type"], "errorCode": error["error_code"]}
    entries = [journal.audit_of(claim, **ended_as(JobStatus.FAILED), **why) for claim in held]
    journal.add_audit(session, "customerio_sync_failed", entries)


def release(session: Session, claims: Sequence[Claim], deferred: Deferred, exchange: Exchange | None) -> list[Claim]:
    """Give claims back unspent; return those that held. If a request was spent on them, an attempt says so."""
    journal.lock_signups(session, [claim.signup_id for claim in claims])
    due = None if deferred.wait is None else func.now() + deferred.wait
    held = held_of(
        claims, update_jobs(session, is_mine(claims), status=JobStatus.PENDING, claimed_by=None, next_retry_at=due)
    )
    if exchange is not None:
        journal.add_attempts(
            session, held, exchange, outcome="released", error_code=deferred.code, error_message=deferred.detail
        )
    return held
