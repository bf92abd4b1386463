"""The way in for application code: the job row now, in the caller's transaction; the message after its commit."""

from typing import Final
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from cio_tasks import failpoints, transitions, wake
from cio_tasks.journal import SYSTEM
from cio_tasks.models import Signup, SyncJob
from cio_tasks.phases import payload_version
from cio_tasks.states import Phase

TO_RING: Final = "ciosync.to_ring"


def enqueue_sync(session: Session, signup: Signup, phase: Phase, *, actor: str = SYSTEM) -> SyncJob:
    """Owe Customer.io one phase of a signup, and return the job (rows B1 to B4).

    The row is committed or rolled back with the caller's transaction. After the commit a worker is woken, at best effort:
    if that fails nothing is lost, since the sweep finds the row within seconds. `actor` is who the audit names.
    """
    session.add(signup)
    session.flush()
    version = payload_version(signup, Phase(phase))
    job, runs = transitions.enqueue(session, signup.id, Phase(phase), version=version, actor=actor)
    if runs:
        ring_after_commit(session, job.id)
    failpoints.hit("web.before_commit")
    return job


def ring_after_commit(session: Session, job_id: UUID) -> None:
    """Wake a worker for this job once the session's outermost transaction has committed."""
    if TO_RING not in session.info:
        session.info[TO_RING] = []
        event.listen(session, "after_transaction_end", _after_transaction)
        event.listen(session, "after_commit", _after_commit)
        event.listen(session, "after_soft_rollback", _after_rollback)
    session.info[TO_RING].append((job_id, session.get_nested_transaction()))


def _after_commit(session: Session) -> None:
    """Mark the rings as committed. A released savepoint comes here too, and is not a commit yet."""
    if not session.in_nested_transaction():
        session.info[TO_RING, "committed"] = True


def _after_rollback(session: Session, rolled_back: SessionTransaction) -> None:
    """Forget what was enqueued inside a savepoint that is gone."""
    session.info[TO_RING] = [entry for entry in session.info[TO_RING] if not _is_within(entry[1], rolled_back)]


def _is_within(transaction: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while transaction is not None and transaction is not outer:
        transaction = transaction.parent
    return transaction is outer


def _after_transaction(session: Session, transaction: SessionTransaction) -> None:
    """Ring when the outermost transaction has ended well, and forget what was rolled back."""
    if transaction.parent is not None:
        return
    job_ids, session.info[TO_RING] = [job_id for job_id, _ in session.info[TO_RING]], []
    if session.info.pop((TO_RING, "committed"), False) and job_ids:
        failpoints.hit("web.after_commit")
        wake.ring(job_ids)
