"""The sweeps that beat repeats: each runs once and returns a count."""

from cio_tasks import queries, transitions, wake
from cio_tasks.claims import Claim
from cio_tasks.events import emit
from cio_tasks.outcomes import WORKER_LOST, ErrorType
from cio_tasks.runtime import Runtime


def reset_stuck(runtime: Runtime) -> int:
    """Take back the jobs whose worker has not reported within `stuck_after`; return how many (rows D3 to D5)."""
    total = 0
    while True:
        with runtime.sessions.begin() as session:
            taken = transitions.reset_stuck(session, older_than=runtime.settings.stuck_after)
            ended = queries.list_failed(session, [claim.job_id for claim in taken])
        if not taken:
            return total
        total += len(taken)
        for claim in taken:
            emit("sync.worker_lost", job_id=str(claim.job_id), phase=claim.phase, worker=claim.worker)
            if claim.job_id in ended:
                _tell_failed(claim)
        wake.ring([claim.job_id for claim in taken])


def _tell_failed(claim: Claim) -> None:
    emit(
        "sync.failed",
        signup_id=str(claim.signup_id),
        job_id=str(claim.job_id),
        phase=claim.phase,
        operator_id=claim.signup.operator_id,
        attempt_count=claim.attempt_count,
        request_id=None,
        error_type=ErrorType.OTHER,
        error_code=WORKER_LOST,
        http_status=None,
        exhausted_retries=True,
    )
