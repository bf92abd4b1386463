"""One child of ours in a session of its own: the terminal's Ctrl-C does not reach it before we end it in order."""

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cio_tasks.processes.record import KILL_TIMEOUT, Family, ProcessRecord, require_extra, runs

GRACE: Final = timedelta(seconds=10)


class Account(NamedTuple):
    """The system user a child runs as."""

    uid: int
    gid: int


class ProcessGroup:
    """A started command and all it forks. Output goes to the end of `log_path`, input is empty.

    The kernel could end a child with its parent (PR_SET_PDEATHSIG), but it means the parent's *thread*, and it is set
    between fork and exec, where Python with threads may hang. So a crashed run leaves children; the record finds them.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
    ) -> None:
        require_extra()
        with log_path.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - no shell, and the argv is the caller's own
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._family = Family(self.pid)
        self._ending = threading.RLock()
        self.record = ProcessRecord.find_started(self.pid) or ProcessRecord(self.pid, 0, tuple(argv))

    @property
    def pid(self) -> int:
        """Of the leader; also the id of its group and session."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Of the leader, as `subprocess` counts it (-9: SIGKILL); None while it runs."""
        self.settle()
        return self._child.returncode

    def is_alive(self) -> bool:
        """Whether the leader runs."""
        return self._child.returncode is None and runs(self.pid)

    def settle(self) -> None:
        """After the leader's own exit: end what it left in its group, then reap it.

        In that order, because while the leader is a zombie nobody else can be given its pid, and so its group.
        """
        if self._child.returncode is None and not self.is_alive():
            self.kill()

    def end(self, *, first: signal.Signals = signal.SIGTERM, grace: timedelta = GRACE) -> None:
        """Send `first` to the group, wait `grace`, kill the rest, reap. Does nothing when all is over.

        Raises:
            LeftRunning: a member outlived SIGKILL.
        """
        with self._ending:
            if self._child.returncode is None:
                self._family.end(first=first, grace=grace)
                self._child.wait(KILL_TIMEOUT.total_seconds())

    def kill(self) -> None:
        """End the group with SIGKILL and reap the leader.

        Raises:
            LeftRunning: a member outlived SIGKILL.
        """
        with self._ending:
            if self._child.returncode is None:
                self._family.kill()
                self._child.wait(KILL_TIMEOUT.total_seconds())

    def left_running(self) -> list[int]:
        """Return the pids of members that still run."""
        return [process.pid for process in self._family.living()]
