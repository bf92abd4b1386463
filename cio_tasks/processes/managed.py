"""One supervised process."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cio_tasks.errors import CioTasksError
from cio_tasks.events import emit
from cio_tasks.processes.group import GRACE, ProcessGroup
from cio_tasks.processes.logs import begin_log, tail
from cio_tasks.processes.record import ProcessRecord
from cio_tasks.processes.waiting import WaitTimeout, wait_until


class ProcessFailed(CioTasksError):
    """A process did not come up."""


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """A child that exits unasked is started again `limit` times in `window`, after `backoff`, doubled each time."""

    limit: int = 5
    window: timedelta = timedelta(minutes=1)
    backoff: timedelta = timedelta(milliseconds=200)
    longest_backoff: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        if self.limit < 0 or min(self.window, self.backoff, self.longest_backoff) < timedelta(0):
            raise ValueError("a restart policy has no negative numbers")

    def delay(self, recent: int) -> timedelta:
        """Return the wait before the next start when `recent` restarts fell into the window."""
        return min(self.backoff * (1 << min(recent, 20)), self.longest_backoff)


class ManagedProcess:
    """A named process that a `Supervisor` keeps running. Its methods may be called from any thread.

    `restarts` counts the starts after an exit nobody asked for; `gave_up` says that there were too many of them.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        policy: RestartPolicy | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log_path = log_path
        self.restarts = 0
        self.gave_up = False
        self._env = env
        self._cwd = cwd
        self._policy = policy
        self._on_change = on_change
        self._lock = threading.RLock()
        self._expected = False
        self._restarted_at: list[float] = []
        self._next_start: float | None = None
        begin_log(log_path)
        self._group = self._spawn()

    @property
    def pid(self) -> int:
        """Of the latest start; also the id of its process group."""
        return self._group.pid

    @property
    def returncode(self) -> int | None:
        """As `subprocess` counts it (-9: SIGKILL); None while the process runs."""
        return self._group.returncode

    @property
    def record(self) -> ProcessRecord:
        """What identifies the latest start."""
        return self._group.record

    def is_alive(self) -> bool:
        """Whether the process runs at this moment."""
        return self._group.is_alive()

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return tail(self.log_path, lines)

    def wait_ready(self, ready: Callable[[], bool], timeout: timedelta = timedelta(seconds=30)) -> None:
        """Wait until `ready()`.

        Raises:
            ProcessFailed: the process exited first, or was not ready in time; the message ends with its last log lines.
        """
        try:
            wait_until(lambda: not self.is_alive() or ready(), timeout, what=f"{self.name} to be ready")
        except WaitTimeout as error:
            raise ProcessFailed(f"{error}\n{self.tail()}", process=self.name) from error
        if not self.is_alive():
            raise ProcessFailed(f"{self.name} exited with {self.returncode}\n{self.tail()}", process=self.name)

    def supervise(self) -> None:
        """From now on an exit is unexpected."""
        with self._lock:
            self._expected = True

    def terminate(self, grace: timedelta = GRACE) -> None:
        """End it: SIGTERM to the group, SIGKILL after `grace`. It stays down until `restart`."""
        self._stand_down().end(grace=grace)
        self._on_change()

    def kill(self) -> None:
        """End its whole group with SIGKILL. It stays down; for a crash that is mended, signal its `pid` instead."""
        self._stand_down().kill()
        self._on_change()

    def restart(self, grace: timedelta = GRACE) -> None:
        """End it if it runs, and start it afresh, its past crashes forgiven; `wait_ready` is the caller's."""
        self._stand_down().end(grace=grace)
        with self._lock:
            self._restarted_at.clear()
            self.gave_up = False
            self._group = self._spawn()
            self._expected = True

    def check(self) -> None:
        """Notice an exit nobody asked for; start again when its time has come. Called over and over, never waits."""
        with self._lock:
            if self._next_start is not None:
                self._start_again(self._next_start)
            elif self._expected and not self._group.is_alive():
                self._exited()

    def left_running(self) -> list[int]:
        """Return the pids of its group that still run."""
        return self._group.left_running()

    def _spawn(self) -> ProcessGroup:
        self._group = ProcessGroup(self.argv, log_path=self.log_path, env=self._env, cwd=self._cwd)
        self._on_change()
        return self._group

    def _stand_down(self) -> ProcessGroup:
        with self._lock:
            self._expected = False
            self._next_start = None
            return self._group

    def _exited(self) -> None:
        code = self._group.returncode
        self._next_start = self._plan()
        self._expected = False
        emit(
            "process.exited", process=self.name, pid=self.pid, returncode=code, restarting=self._next_start is not None
        )
        if self.gave_up:
            emit("process.gave_up", process=self.name, restarts=self.restarts, log=str(self.log_path))
        self._on_change()

    def _plan(self) -> float | None:
        if self._policy is None:
            return None
        now = time.monotonic()
        self._restarted_at = [at for at in self._restarted_at if now - at < self._policy.window.total_seconds()]
        self.gave_up = len(self._restarted_at) >= self._policy.limit
        return None if self.gave_up else now + self._policy.delay(len(self._restarted_at)).total_seconds()

    def _start_again(self, due: float) -> None:
        now = time.monotonic()
        if now < due:
            return
        self._next_start = None
        self._restarted_at.append(now)
        try:
            self._spawn()
        except OSError as error:  # the command itself went away; raised here it would end the watch over all the others
            self.gave_up = True
            emit("process.gave_up", process=self.name, restarts=self.restarts, error=type(error).__name__)
            return
        self.restarts += 1
        self._expected = True
        emit("process.restarted", process=self.name, pid=self.pid, restarts=self.restarts)
