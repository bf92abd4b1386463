"""The sweeps that beat repeats: each runs once and returns a count."""

from cio_tasks import failpoints, stats, transitions, wake
from cio_tasks.delivery import Result, Verdict, tell
from cio_tasks.events import emit
from cio_tasks.journal import SYSTEM
from cio_tasks.runtime import Runtime


def reset_stuck(runtime: Runtime, *, actor: str = SYSTEM) -> int:
    """Take back the jobs whose worker has not reported within `stuck_after`; return how many (rows D3 to D5)."""
    total = 0
    while True:
        with runtime.sessions.begin() as session:
            failpoints.hit("reaper.before_update")
            taken = transitions.reset_stuck(session, older_than=runtime.settings.stuck_after, actor=actor)
            failpoints.hit("reaper.before_commit")
        if not taken:
            return total
        total += len(taken)
        for claim in taken:
            emit("sync.worker_lost", job_id=str(claim.job_id), phase=claim.phase, worker=claim.worker)
            lost = Result(claim, transitions.LOST)
            if lost.verdict is Verdict.FAILED:
                tell(lost)
        wake.ring([claim.job_id for claim in taken])


def roll_up_counts(runtime: Runtime) -> int:
    """Keep the counts of jobs short; return how many of their rows were added up."""
    with runtime.sessions.begin() as session:
        return stats.roll_up_counts(session)
