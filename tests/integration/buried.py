"""Jobs that were given up, made at once instead of by hours of retries."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func

from cio_tasks.models import DeadLetter, Signup, SyncJob
from cio_tasks.states import Phase
from tests.factories import Factory

ERROR = {"error_type": "server_error", "error_code": "http_503", "error_message": "Unavailable", "http_status": 503}


def bury(
    make: Factory, signup: Signup, phase: Phase = Phase.INITIAL, *, ago: timedelta = timedelta(0), **columns: Any
) -> SyncJob:
    """Give a job up as its last delivery `ago` would have, and return it."""
    job = make.job(signup, phase)
    error = {name: columns.pop(name, value) for name, value in ERROR.items()}
    make.set(job.id, status="failed", claimed_by=None, last_attempt_at=func.now() - ago, **error, **columns)
    letter = DeadLetter(
        job_id=job.id,
        signup_id=signup.id,
        sync_phase=phase,
        attempt_count=columns.get("attempt_count", 0),
        exhausted_retries=columns.get("attempt_count", 0) == 5,
        created_at=func.now() - ago,
        **error,
    )
    with make.sessions.begin() as session:
        session.get_one(Signup, signup.id).customerio_sync_failed = True
        session.add(letter)
    return make.job(signup, phase)
