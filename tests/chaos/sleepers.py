"""Workers that are stopped with SIGSTOP while they hold a claim, each at a place between claiming and recording."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

import psutil

from cio_tasks.failpoints import Action, Failpoint
from tests.chaos.submitting import Job, read_job, submit
from tests.chaos.system import System, send
from tests.eventually import eventually

CALL_SECONDS: Final = 6.0
"""How long Customer.io takes to answer while somebody is to be met in the middle of a call."""
TRIES: Final = 50
ONE_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Sleeper:
    """A stopped worker: its process, where it stood, and since when by the wall clock."""

    pid: int
    place: str
    since: float


def stop_workers(system: System) -> list[Sleeper]:
    """Stop every worker of the system, one after the other, at each place in its turn. The steady one goes on."""
    return [
        Sleeper(pid=PLACES[place](system), place=place, since=time.time())
        for place in islice(cycle(PLACES), len(system.workers))
    ]


def stopped(system: System) -> set[int]:
    """Return the workers that are stopped now."""
    alive = [process.pid for process in system.workers if process.is_alive()]
    return {pid for pid in alive if psutil.Process(pid).status() == psutil.STATUS_STOPPED}


def _at(point: Failpoint) -> Callable[[System], int]:
    """Return what stops a worker when it passes a failpoint."""

    def stop(system: System) -> int:
        before = stopped(system)
        system.permit(point, Action.STOP)
        for _ in range(TRIES):
            signup = submit(system)
            eventually(
                lambda: stopped(system) != before or read_job(system.engine, signup).is_done,  # noqa: B023 - used at once
                seconds=ONE_SECONDS,
            )
            if found := stopped(system) - before:
                return found.pop()
        raise AssertionError(f"nobody came by {point}")

    return stop


def _in_the_call(system: System) -> int:
    """Stop a worker whose request has arrived at Customer.io, which takes its time to answer."""
    before = stopped(system)
    awake = {process.pid for process in system.workers} - before
    system.change_customerio(latency_seconds=CALL_SECONDS)
    try:
        for _ in range(TRIES):
            job = _until_asked(system, submit(system))
            if job.pid in awake and send(job.pid, signal.SIGSTOP):
                eventually(lambda: stopped(system) != before)
                return job.pid
    finally:
        system.change_customerio()
    raise AssertionError("nobody was met in a call")


def _until_asked(system: System, signup_id: str) -> Job:
    """Return the job of a signup when the ledger, which is written before the answer, has the request with it."""
    eventually(lambda: signup_id in system.ledger.read_text(encoding="utf-8"), seconds=ONE_SECONDS, every=0.02)
    return read_job(system.engine, signup_id)


PLACES: Final[dict[str, Callable[[System], int]]] = {
    "before the call": _at(Failpoint.WORKER_AFTER_CLAIM),
    "in the call": _in_the_call,
    "before the record": _at(Failpoint.WORKER_BEFORE_RECORD),
}
