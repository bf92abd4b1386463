"""Reading a signup with all that belongs to it, as answers."""

from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from api.schemas import Attempt, Job, JobWithAttempts, Person, SignupDetails
from cio_tasks.errors import NotFound
from cio_tasks.models import Signup, SyncAttempt, SyncJob
from cio_tasks.redaction import redact
from cio_tasks.states import Phase

SHOWN_ATTEMPTS: Final = 100
"""The newest attempts of a signup; manual retries and released claims may make many more."""


def get_signup(session: Session, signup_id: UUID) -> Signup:
    """Return a signup with its customer.

    Raises:
        NotFound: when there is none.
    """
    signup = session.get(Signup, signup_id, options=[joinedload(Signup.customer)])
    if signup is None:
        raise NotFound
    return signup


def list_jobs(session: Session, signup_id: UUID, *phases: Phase) -> tuple[Job, ...]:
    """Return the jobs of a signup, the initial one first; with `phases`, only theirs."""
    wanted = phases or tuple(Phase)
    found = session.scalars(
        select(SyncJob)
        .where(SyncJob.signup_id == signup_id, SyncJob.sync_phase.in_(wanted))
        .order_by(SyncJob.sync_phase.desc())
    )
    return tuple(Job.model_validate(job) for job in found)


def list_jobs_with_attempts(session: Session, signup_id: UUID) -> tuple[JobWithAttempts, ...]:
    """Return the jobs of a signup, the initial one first, each with those of the signup's newest attempts that are its."""
    newest = session.scalars(
        select(SyncAttempt)
        .join(SyncJob, SyncJob.id == SyncAttempt.job_id)
        .where(SyncJob.signup_id == signup_id)
        .order_by(SyncAttempt.id.desc())
        .limit(SHOWN_ATTEMPTS)
    ).all()
    attempts = [(attempt.job_id, Attempt.model_validate(attempt)) for attempt in reversed(newest)]
    return tuple(
        JobWithAttempts(**dict(job), attempts=tuple(attempt for job_id, attempt in attempts if job_id == job.id))
        for job in list_jobs(session, signup_id)
    )


def describe_signup(
    signup: Signup, jobs: tuple[JobWithAttempts, ...], person: Person, *, reveal: bool
) -> SignupDetails:
    """Return the answer that shows `signup`. A sender's own id may be an address, so it is masked like one."""
    columns = {
        name: getattr(signup, name) for name in SignupDetails.model_fields if name not in {"customer", "sync_jobs"}
    }
    if signup.external_id is not None and not reveal:
        columns["external_id"] = redact(signup.external_id)
    return SignupDetails(**columns, customer=person, sync_jobs=jobs)
