"""`python -m tests.chaos recovery`: how long after a kill -9 the job that the dead worker held is claimed again."""

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from sqlalchemy import Engine, text

from cio_tasks.failpoints import FIRED, Action, Failpoint
from cio_tasks.processes import exit_on
from tests.chaos.proofs import Proof, conclude, quantile
from tests.chaos.submitting import all_done, pid_of, read_job, submit, wait_for_workers
from tests.chaos.system import Shape, System, running_system
from tests.eventually import eventually

WORKERS: Final = 3
STUCK_AFTER: Final = 31.0
"""The shortest that is allowed: what is added to it does not depend on it."""
AT_MOST: Final = 15.0
"""Seconds on top of `stuck_after` within which a job has to run again."""
LONGEST_PAUSE: Final = 5.0
"""Between the return of the worker and the next kill, at random, so that kills meet beat at every moment."""
TRIES: Final = 50
ONE_SECONDS: Final = 60.0
AGE: Final = text("""
    UPDATE signup_customerio_sync_jobs SET updated_at = updated_at - make_interval(secs => :seconds)
     WHERE status = 'processing' AND claimed_by LIKE '%:' || :pid || ':%'
""")
LOST: Final = text("""
    SELECT lost.worker, lost.job_id, extract(epoch FROM lost.finished_at) AS taken_back_at,
           extract(epoch FROM next.started_at) AS claimed_at
      FROM customerio_sync_attempts lost
      LEFT JOIN customerio_sync_attempts next
        ON next.job_id = lost.job_id AND next.claim_token = lost.claim_token + 1
     WHERE lost.outcome = 'worker_lost'
""")


@dataclass(frozen=True, kw_only=True)
class Return:
    """One claim that died with its worker: seconds from the kill until the job was taken back and claimed anew."""

    pid: int
    job_id: str
    taken_back: float
    claimed: float


def prove(folder: Path, *, kills: int, seed: int, hurry: bool = False) -> Proof:
    """Kill so many workers that hold a claim, and measure from the database when each job was claimed again.

    With `hurry` the claims of the dead are aged in the database by `stuck_after`, and not waited for.
    """
    shape = Shape(workers=WORKERS, time_scale=1, stuck_after=STUCK_AFTER)
    with running_system(folder, shape) as system:
        signups = kill_workers(system, kills, random.Random(seed), hurry=hurry)
        eventually(lambda: all_done(system.engine, signups), seconds=STUCK_AFTER * 4, every=0.25)
        killed_at = read_kills(system.folder)
        returns = read_returns(system.engine, killed_at)
    return judge(killed_at, returns, kills, waited=0.0 if hurry else STUCK_AFTER)


def kill_workers(system: System, kills: int, chance: random.Random, *, hurry: bool) -> list[str]:
    """Kill one worker with a claim after the other, each when all run again; return the signups that were submitted."""
    signups: list[str] = []
    pause = threading.Event()
    for number in range(kills):
        wait_for_workers(system, restarts=number)
        pause.wait(chance.uniform(0, LONGEST_PAUSE))
        signups += kill_one(system)
        if hurry:
            age(system)
    return signups


def kill_one(system: System) -> list[str]:
    """Let the next worker that has claimed and not yet called die; return the signups that it took."""
    token = system.permit(Failpoint.WORKER_AFTER_CLAIM, Action.KILL)
    signups = []
    for _ in range(TRIES):
        signups.append(submit(system))
        eventually(
            lambda: not token.exists() or read_job(system.engine, signups[-1]).is_done, seconds=ONE_SECONDS, every=0.02
        )
        if not token.exists():
            return signups
    raise AssertionError("nobody claimed")


def age(system: System) -> None:
    """Let `stuck_after` pass for what the process held that was killed last."""
    pid = [*read_kills(system.folder)][-1]
    with system.engine.begin() as connection:
        connection.execute(AGE, {"seconds": STUCK_AFTER, "pid": str(pid)})


# --- what is measured -------------------------------------------------------------------------------------------------


def read_kills(folder: Path) -> dict[int, float]:
    """Return when each process was killed, by the wall clock, which on one machine is also the database's."""
    notes = folder / "failpoints" / FIRED
    lines = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
    return {int(pid): float(at) for point, _, pid, at in lines if point == Failpoint.WORKER_AFTER_CLAIM}


def read_returns(engine: Engine, killed_at: Mapping[int, float]) -> list[Return]:
    """Return what became of every claim of the killed. A moment that is missing is infinitely late."""
    with engine.connect() as connection:
        rows = [(pid_of(row.worker), row) for row in connection.execute(LOST)]
    return [
        Return(
            pid=pid,
            job_id=str(row.job_id),
            taken_back=float(row.taken_back_at) - killed_at[pid],
            claimed=float(row.claimed_at or inf) - killed_at[pid],
        )
        for pid, row in rows
        if pid is not None and pid in killed_at
    ]


def judge(killed_at: Mapping[int, float], returns: Sequence[Return], kills: int, *, waited: float) -> Proof:
    """Return how the times lie to the bound. `waited` is what of `stuck_after` had to pass after a kill."""
    bound = waited + AT_MOST
    claimed = [one.claimed for one in returns]
    figures = {
        "kills": len(killed_at),
        "claims that died": len(returns),
        "stuck_after that had to pass, s": waited,
        "bound, s": bound,
        **spread("claimed again after, s", claimed),
        **spread("taken back after, s", [one.taken_back for one in returns]),
    }
    faults = [
        f"job {one.job_id} was claimed again only after {one.claimed:.1f} s" for one in returns if one.claimed > bound
    ]
    if len(killed_at) < kills:
        faults.append(f"only {len(killed_at)} of {kills} kills happened")
    if idle := killed_at.keys() - {one.pid for one in returns}:
        faults.append(f"{len(idle)} of the killed held no claim")
    return Proof(claim="A job of a killed worker runs again within stuck_after + 15 s", figures=figures, faults=faults)


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return the shortest, the median and the longest."""
    shares = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}
    return {f"{name}: {word}": quantile(seconds, share) for word, share in shares.items()}


@click.command(name="recovery")
@click.option("--kills", type=click.IntRange(1), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="What decides the moments of the kills.")
@click.option("--hurry", is_flag=True, help="Age the claims in the database instead of waiting for stuck_after.")
def recovery(*, kills: int, seed: int, hurry: bool) -> None:
    """Kill workers that hold a claim. Exit code 0 when all their jobs ran again in time, 1 when one did not."""
    with exit_on(), TemporaryDirectory(prefix="ciosync-recovery-") as folder:
        conclude(prove(Path(folder) / "run", kills=kills, seed=seed, hurry=hurry))
