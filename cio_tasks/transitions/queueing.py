"""Into the queue: a phase is owed for the first time, or once more."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cio_tasks import journal
from cio_tasks.journal import SYSTEM
from cio_tasks.models import SyncJob
from cio_tasks.states import JobStatus, Phase
from cio_tasks.transitions.following import due_behind_initial
from cio_tasks.transitions.update import FRESH, audit_of, update_jobs


def enqueue(
    session: Session, signup_id: UUID, phase: Phase, *, version: int, actor: str = SYSTEM
) -> tuple[SyncJob, bool]:
    """Return the job of this signup and phase, owed at `version`, and whether it must run (rows B1 to B3).

    A new job is made; an unfinished one starts anew; a completed one is left alone unless the version is newer; one that
    is being delivered is left alone, and runs again afterwards when the version is newer. The audit names `actor`.
    """
    journal.lock_signups(session, [signup_id])
    inserted = session.scalar(
        insert(SyncJob)
        .values(
            signup_id=signup_id,
            sync_phase=phase,
            status=JobStatus.PENDING,
            payload_version=version,
            next_retry_at=due_behind_initial(signup_id, phase),
        )
        .on_conflict_do_nothing(index_elements=["signup_id", "sync_phase"])
        .returning(SyncJob)
        .execution_options(populate_existing=True)
    )
    if inserted is not None:
        journal.add_audit(session, "enqueued", [audit_of(inserted)], actor=actor)
        return inserted, True
    job = session.scalars(
        select(SyncJob)
        .where(SyncJob.signup_id == signup_id, SyncJob.sync_phase == phase)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return job, _reset(session, job, version, actor)


def _reset(session: Session, job: SyncJob, version: int, actor: str) -> bool:
    """Make a locked job run again if it has to, and return whether it does."""
    newer = version > job.payload_version
    if job.status == JobStatus.PROCESSING:
        if newer:
            job.payload_version, job.overtaken_token = version, job.claim_token
            session.flush()
        return False
    if job.status == JobStatus.COMPLETED and not newer:
        return False
    before = {"from": job.status, "attemptCountBefore": job.attempt_count}
    update_jobs(
        session,
        SyncJob.id == job.id,
        status=JobStatus.PENDING,
        payload_version=max(version, job.payload_version),
        manual_retry=False,
        mock=False,
        **{**FRESH, "next_retry_at": due_behind_initial(job.signup_id, Phase(job.sync_phase))},
    )
    session.refresh(job)
    journal.resolve_dead_letters(session, [job.id], resolution="reset", actor=actor)
    journal.refresh_failure_flags(session, [job.signup_id])
    journal.add_audit(session, "reset", [audit_of(job, **before, version=job.payload_version)], actor=actor)
    return True
