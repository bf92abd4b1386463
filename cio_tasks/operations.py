"""What a person does to the jobs and the gate, over HTTP and on the command line alike.

Each function opens its own transactions, tells the listeners, and rings after the commit.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from cio_tasks import failpoints, failures, gate, journal, processor, transitions, wake
from cio_tasks.db import Sessions
from cio_tasks.errors import NotFound
from cio_tasks.events import emit
from cio_tasks.failures import FailureFilter
from cio_tasks.gate import Reason
from cio_tasks.models import SyncJob
from cio_tasks.processor import Summary
from cio_tasks.redaction import redact
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase

RETRIED_AT_ONCE: Final = 500
"""Jobs of one transaction of a bulk retry: their signups are locked until it ends."""
LONGEST_NOTE: Final = 200


@dataclass(frozen=True, slots=True)
class BulkRetry:
    """What became of the failures that a filter matched."""

    matched: int
    retried: int = 0
    skipped: int = 0
    """Those that somebody else had changed when their turn came."""

    left: int = 0
    """Those whose turn did not come in the time given; the same call again goes on with them."""


# --- failed jobs ------------------------------------------------------------------------------------------------------


def retry_signup(sessions: Sessions, signup_id: UUID, *, phase: Phase | None = None, actor: str) -> list[SyncJob]:
    """Make the failed jobs of a signup, or its job of `phase`, run again at once, and return them (rows C6 to C10).

    An enriched job that is retried alone fails again while its initial one is failed: it is never sent ahead of that.

    Raises:
        NotFound: when there is no such failed job.
    """
    with sessions.begin() as session:
        jobs = transitions.retry_manually(session, signup_id, phase=phase, actor=actor)
    if not jobs:
        raise NotFound("there is no failed job of this signup to retry")
    _tell_retried(jobs, actor)
    return jobs


def retry_failures(
    sessions: Sessions,
    wanted: FailureFilter,
    *,
    actor: str,
    limit: int | None = None,
    dry_run: bool = False,
    at_most: timedelta | None = None,
) -> BulkRetry:
    """Make the failures that `wanted` matches run again, at most the first `limit` of them in the order of the list.

    They are chosen once, at the start, so a job that fails again meanwhile is not retried twice. Each few hundred are one
    transaction; what an interrupted run has done stays done. No new ones are begun after `at_most`. `dry_run` only counts.
    """
    until = None if at_most is None else time.monotonic() + at_most.total_seconds()
    with sessions() as session:
        if dry_run:
            matched = failures.count_failures(session, wanted)
            return BulkRetry(matched if limit is None else min(matched, limit))
        chosen = failures.list_job_ids(session, wanted, limit=limit)
    result = BulkRetry(len(chosen), left=len(chosen))
    try:
        for job_ids in _in_parts(chosen):
            if until is not None and time.monotonic() > until:
                break
            retried = _retry_some(sessions, job_ids, actor)
            result = _after_part(result, len(job_ids), retried)
    finally:
        with sessions.begin() as session:
            details = {"filter": wanted.words, **asdict(result)}
            journal.add_audit(session, "bulk_retry", [{"details": details}], actor=actor)
    return result


def _after_part(so_far: BulkRetry, tried: int, retried: int) -> BulkRetry:
    return BulkRetry(so_far.matched, so_far.retried + retried, so_far.skipped + tried - retried, so_far.left - tried)


def _in_parts(chosen: Iterable[tuple[UUID, UUID]]) -> Iterator[list[UUID]]:
    """Yield the jobs in transactions' worth, both of a signup in the same one.

    Otherwise a worker might take the enriched job before its initial one is back, and give it up once more.
    """
    part: list[UUID] = []
    last_signup: UUID | None = None
    for signup_id, job_id in sorted(chosen):
        if len(part) >= RETRIED_AT_ONCE and signup_id != last_signup:
            yield part
            part = []
        part.append(job_id)
        last_signup = signup_id
    if part:
        yield part


def _retry_some(sessions: Sessions, job_ids: Sequence[UUID], actor: str) -> int:
    with sessions.begin() as session:
        jobs = transitions.retry_jobs_manually(session, job_ids, actor=actor)
    _tell_retried(jobs, actor)
    return len(jobs)


def _tell_retried(jobs: Sequence[SyncJob], actor: str) -> None:
    if jobs:
        emit("sync.retried_manually", count=len(jobs), actor=actor)
        failpoints.hit("admin.after_commit")
        wake.ring([job.id for job in jobs])


# --- due jobs ---------------------------------------------------------------------------------------------------------


def process_by_hand(runtime: Runtime, *, limit: int, actor: str, at_most: timedelta | None = None) -> Summary:
    """Deliver up to `limit` due jobs in this process, as `actor` asked, and leave a line in the audit that says so."""
    done = processor.process_due(runtime, limit=limit, at_most=at_most)
    with runtime.sessions.begin() as session:
        journal.add_audit(session, "processed_by_hand", [{"details": {"limit": limit, **asdict(done)}}], actor=actor)
    return done


# --- the gate ---------------------------------------------------------------------------------------------------------


def close_gate(sessions: Sessions, *, actor: str, note: str, wait: timedelta | None = None) -> bool:
    """Stop all deliveries during `wait` (None: until somebody opens the gate); return False if an operator had already.

    What is on its way is finished. Closing again may prolong the time, and never shortens it.
    """
    seconds = None if wait is None else wait.total_seconds()
    with sessions.begin() as session:
        shown = redact(note, limit=LONGEST_NOTE)
        before = _operators_closing(session)
        closed = gate.close(session, Reason.OPERATOR, wait=wait, note=shown, actor=actor)
        if not closed:
            details = {"reason": Reason.OPERATOR, "seconds": seconds, "note": shown, "before": before}
            journal.add_audit(session, "gate_closed_again", [{"details": details}], actor=actor)
    if closed:
        emit("gate.closed", reason=Reason.OPERATOR, seconds=seconds, actor=actor)
    if wait is not None:
        wake.sweep_after(wait)
    return closed


def _operators_closing(session: Session) -> dict[str, str | None] | None:
    """Return until when an operator keeps the gate closed, and the note; None when no operator does."""
    for row in gate.list_closed(session):
        if row.reason == Reason.OPERATOR:
            return {"until": None if row.closed_until is None else row.closed_until.isoformat(), "note": row.note}
    return None


def open_gate(sessions: Sessions, *, actor: str, reasons: Iterable[Reason] | None = None) -> list[Reason]:
    """Let deliveries run again, whatever closed the gate (or only `reasons`), and return the reasons that are gone.

    With `auth`, the jobs that failed while it closed are revived (the decision at row A5).
    """
    wanted = set(Reason if reasons is None else reasons)
    with sessions() as session:
        closed = wanted & {Reason(row.reason) for row in gate.list_closed(session)}
    if Reason.AUTH in closed:
        _revive(sessions, actor)
    with sessions.begin() as session:
        opened = _open(session, closed, actor)
    if opened:
        emit("gate.opened", reasons=[*opened], actor=actor)
        wake.sweep_after(timedelta(0))
    return opened


def _revive(sessions: Sessions, actor: str) -> None:
    """Revive all but the last few by themselves: a signup is locked until its transaction ends."""
    revived = RETRIED_AT_ONCE
    while revived >= RETRIED_AT_ONCE:
        with sessions.begin() as session:
            revived = len(transitions.revive_unauthorized(session, actor=actor, limit=RETRIED_AT_ONCE))


def _open(session: Session, closed: set[Reason], actor: str) -> list[Reason]:
    """Revive before opening: signups are locked first, the gate last. What closes only now stays closed."""
    if not closed:
        return []
    if Reason.AUTH in closed:
        transitions.revive_unauthorized(session, actor=actor)
    return sorted(gate.open_up(session, closed, actor=actor))
