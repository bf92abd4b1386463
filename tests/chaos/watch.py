"""Somebody who looks at a running system every few seconds, from outside, whatever is being done to it."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, Final, Self

import psutil
import redis
import requests
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.chaos.evidence import Observed
from tests.chaos.growth import Growth, Reading, find_grown
from tests.chaos.leaks import Canaries
from tests.chaos.system import System
from tests.chaos.waiting import Held, Waiting

EVERY: Final = 5.0
EXCUSING: Final = frozenset({"postgres", "redis", "customerio", "worker"})
"""What is needed to deliver: while one of these is under attack a job may wait."""
TIMEOUT: Final = (1.0, 3.0)

DUE: Final = text("""
    SELECT job.id, job.claim_token
      FROM signup_customerio_sync_jobs job
     WHERE (job.status = 'pending' AND coalesce(job.next_retry_at, job.created_at) < now()
            AND (job.sync_phase = 'initial'
                 OR NOT EXISTS (SELECT FROM signup_customerio_sync_jobs initial
                                 WHERE initial.signup_id = job.signup_id AND initial.sync_phase = 'initial'
                                   AND initial.status IN ('pending', 'processing'))))
        OR (job.status = 'processing' AND job.updated_at < now() - make_interval(secs => :stuck_after))
""")
CLOSED: Final = text("SELECT EXISTS (SELECT FROM customerio_gate WHERE closed_at IS NOT NULL AND closed_until > now())")
"""Whether deliveries are held back. When the time is over it is the system's duty to find out whether it may go on."""
DEADLOCKS: Final = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


class Watch:
    """Looks from when it is entered until it is left. `busy` returns what is under attack now."""

    def __init__(self, system: System, busy: Callable[[], Collection[str]], *, stuck_after: float) -> None:
        self.waiting = Waiting()
        self.growth = Growth()
        self.canaries = Canaries(system.secrets)
        self.looks = 0
        self.well = 0
        """Looks at which nothing excused a job that waits."""
        self.deadlocks = 0
        self._system = system
        self._busy = busy
        self._stuck_after = stuck_after
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look_back(self) -> None:
        """Look for canaries in what is left when all processes have ended."""
        self.canaries.look_at_logs(self._system.supervisor.state_dir / "logs")
        self.canaries.look_at_tables(self._system.engine)

    def observed(self) -> Observed:
        """Return what was wrong, for the checker."""
        return Observed(
            stuck=[(one.job_id, one.seconds) for one in self.waiting.stuck.values()],
            leaks=sorted(self.canaries.found),
            grown=list(find_grown(self.growth)),
            deadlocks=self.deadlocks,
        )

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.looks += 1
            self._look_at_jobs()
            self.growth.see(read_processes(self._system))
            self._look_at_metrics()
            with suppress(redis.RedisError), redis.Redis.from_url(self._system.valkey.url, socket_timeout=2) as client:
                self.canaries.look_at_redis(client)

    def _look_at_jobs(self) -> None:
        excused = not EXCUSING.isdisjoint(self._busy())
        try:
            waiting, closed = self._read_jobs()
        except DBAPIError:
            waiting, closed = [], True
        excused = excused or closed or not EXCUSING.isdisjoint(self._busy())
        self.well += not excused
        self.waiting.see(time.monotonic(), waiting, well=not excused)

    def _read_jobs(self) -> tuple[list[Held], bool]:
        with self._system.engine.connect() as connection:
            due = connection.execute(DUE, {"stuck_after": self._stuck_after}).all()
            self.deadlocks = max(self.deadlocks, int(connection.scalar(DEADLOCKS) or 0))
            return [(str(job_id), token) for job_id, token in due], bool(connection.scalar(CLOSED))

    def _look_at_metrics(self) -> None:
        url = self._system.api_url.removesuffix("/api/v1") + "/metrics"
        headers = {"Authorization": f"Bearer {self._system.operator_token}"}
        with suppress(requests.RequestException):
            self.canaries.look("metrics", requests.get(url, headers=headers, timeout=TIMEOUT).text)


def read_processes(system: System) -> Iterator[Reading]:
    """Yield what every process of ours takes now; the stand-in Customer.io is not one of them."""
    now = time.monotonic()
    for process in system.supervisor.processes:
        kind = process.name.rstrip("0123456789")
        if kind != "customerio" and process.is_alive():
            with suppress(psutil.Error):
                leader = psutil.Process(process.pid)
                yield _read(now, kind, leader)
                yield from (_read(now, f"{kind} child", child) for child in leader.children(recursive=True))


def _read(now: float, kind: str, process: Any) -> Reading:
    with process.oneshot():
        return Reading(at=now, kind=kind, pid=process.pid, bytes=process.memory_info().rss, files=process.num_fds())
