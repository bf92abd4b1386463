"""Signups one at a time, and what became of the job of each, for proofs that follow single jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import requests
from sqlalchemy import Engine, text

from tests.chaos.system import System
from tests.eventually import eventually

TIMEOUT: Final = (2.0, 10.0)
READY_SECONDS: Final = 240.0
JOB: Final = text("""
    SELECT job.id, status, claim_token, claimed_by FROM signup_customerio_sync_jobs job WHERE signup_id = :signup_id
""")
WORKERS: Final = text("SELECT count(*) FROM customerio_heartbeats WHERE kind = 'worker'")

_numbers: Final = count(1)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job of a signup as it is now; `pid` is the process that claims it, if one does."""

    id: str
    status: str
    token: int
    pid: int | None

    @property
    def is_done(self) -> bool:
        return self.status == "completed"


def wait_for_workers(system: System, *, restarts: int = 0) -> None:
    """Return when every worker has said that it is alive, and as often as there were `restarts` after a kill."""
    wanted = len(system.workers) + sum(process.name.endswith("worker") for process in system.steady) + restarts
    eventually(lambda: count_workers(system.engine), lambda found: found >= wanted, seconds=READY_SECONDS, every=0.25)


def count_workers(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(WORKERS) or 0)


def submit(system: System) -> str:
    """Submit the next signup and return its id."""
    number = next(_numbers)
    customer = {"email": f"one{number}@example.com", "firstName": "Ada", "lastName": "Lovelace"}
    answer = requests.post(
        f"{system.api_urls[-1]}/signups",
        json={"customer": customer, "operatorId": "op"},
        headers={"Authorization": f"Bearer {system.token}"},
        timeout=TIMEOUT,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def read_job(engine: Engine, signup_id: str) -> Job:
    """Return the job of a signup."""
    with engine.connect() as connection:
        row = connection.execute(JOB, {"signup_id": signup_id}).one()
    return Job(id=str(row.id), status=row.status, token=row.claim_token, pid=pid_of(row.claimed_by))


def all_done(engine: Engine, signup_ids: Sequence[str]) -> bool:
    """Tell whether the jobs of these signups are completed."""
    return all(read_job(engine, signup_id).is_done for signup_id in signup_ids)


def pid_of(worker: str | None) -> int | None:
    """Return the process id in the name of a worker, `host:pid:random`."""
    return int(worker.split(":")[-2]) if worker else None
