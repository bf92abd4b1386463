"""Every change of a job's status, one function an arrow of `states.TRANSITIONS`. Nothing else writes a status.

Each is one UPDATE whose WHERE holds the guard, together with its evidence, in the caller's transaction:

- `queueing`: a phase is owed (`enqueue`, `reset`)
- `claiming`: a worker takes what is due (`claim`)
- `recording`: what came of a delivery (`complete`, `supersede`, `retry_later`, `fail`, `release`)
- `following`: no arrow; enriched jobs are due when the initial ones are
- `stuck`: a claim whose worker is gone is taken back (`reset_stuck`)
- `requeueing`: what failed for good runs anew (`retry_manually`, `revive`)

A record needs the claim: `processing` and the same token. When that matches no row the worker was too late; its outcome is
dropped.
"""

from cio_tasks.transitions.claiming import claim
from cio_tasks.transitions.queueing import enqueue
from cio_tasks.transitions.recording import complete, fail, release, retry_later
from cio_tasks.transitions.requeueing import retry_jobs_manually, retry_manually, revive_unauthorized
from cio_tasks.transitions.stuck import LOST, reset_stuck

__all__ = [
    "LOST",
    "claim",
    "complete",
    "enqueue",
    "fail",
    "release",
    "reset_stuck",
    "retry_jobs_manually",
    "retry_later",
    "retry_manually",
    "revive_unauthorized",
]
