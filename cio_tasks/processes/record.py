"""Which process is meant: pid, creation time and command line together, for a pid alone is soon somebody else's."""

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cio_tasks.errors import CioTasksError, ExtraMissing
from cio_tasks.processes.waiting import WaitTimeout, wait_until

try:
    import psutil
except ImportError:  # a production image has no psutil and starts no process: `require_extra` says so to whoever tries
    psutil = None  # type: ignore[assignment,unused-ignore]

BOOT_SLACK: Final = 1.5
"""Seconds: the kernel tells its boot time in whole ones, and two readings of it may differ by one."""
ARGV_DELAY: Final = 1.0
"""Seconds within which the kernel shows the command line of a program it has begun to execute."""
EXTRA_MISSING: Final = 'this starts processes on this machine and needs the extra "local": pip install "ciosync[local]"'
KILL_TIMEOUT: Final = timedelta(seconds=10)


class LeftRunning(CioTasksError):
    """A process survived SIGKILL."""


def require_extra() -> None:
    """Do nothing when psutil is there.

    Raises:
        ExtraMissing: the extra `local` is not installed.
    """
    if psutil is None:
        raise ExtraMissing(EXTRA_MISSING)


@dataclass(frozen=True)
class ProcessRecord:
    """One process of this machine and no other.

    `create_time` in seconds since boot, which no correction of the clock moves; `argv` as the kernel shows it.
    """

    pid: int
    create_time: float
    argv: tuple[str, ...]

    @classmethod
    def find(cls, pid: int) -> "ProcessRecord | None":
        """Return the record of a living process, or None; a zombie does not live."""
        try:
            process = psutil.Process(pid)
            create_time = process.create_time() - psutil.boot_time()
            return cls(pid, create_time, tuple(process.cmdline())) if _lives(process) else None
        except psutil.Error:
            return None

    @classmethod
    def find_started(cls, pid: int) -> "ProcessRecord | None":
        """Return the record of a child that was started this moment, or None if it is gone already.

        `Popen` returns while the kernel is still at the start of the new program, and may show no command line yet.
        """
        deadline = time.monotonic() + ARGV_DELAY
        while (found := cls.find(pid)) and not found.argv and time.monotonic() < deadline:
            time.sleep(0.001)
        return found

    def is_alive(self) -> bool:
        """Whether this very process still runs, and not another one that was given its pid."""
        seen = ProcessRecord.find(self.pid)
        return seen is not None and seen.argv == self.argv and abs(seen.create_time - self.create_time) < BOOT_SLACK


class Family:
    """The leader of a session and what it started: its process group, and descendants that left the group.

    A descendant that left is found only while the leader lives, so a scan comes before the first signal.
    """

    def __init__(self, leader: int) -> None:
        self._leader = psutil.Process(leader)
        self._known = {leader: self._leader}

    def living(self) -> list["psutil.Process"]:
        """Return the known members that still run."""
        return [process for process in self._known.values() if _lives(process)]

    def end(self, *, first: signal.Signals, grace: timedelta) -> None:
        """Send `first` to the group, wait `grace`, then kill the rest. An interrupt (a second Ctrl-C) kills at once.

        Raises:
            LeftRunning: a member outlived SIGKILL.
        """
        self._scan()
        try:
            with suppress(WaitTimeout, ProcessLookupError, PermissionError):
                os.killpg(self._leader.pid, first)
                wait_until(lambda: not self._scan_group(), grace)
        finally:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to every member and wait until none is left.

        Raises:
            LeftRunning: a member outlived SIGKILL.
        """
        self._scan()
        try:
            wait_until(self._kill_living, KILL_TIMEOUT)
        except WaitTimeout as error:
            pids = [process.pid for process in self.living()]
            raise LeftRunning(f"still running after SIGKILL: {pids}", pids=pids) from error

    def _kill_living(self) -> bool:
        members = self._scan_group()
        for member in members:
            with suppress(psutil.NoSuchProcess):  # psutil compares the creation time before it signals
                member.kill()
        return not members

    def _scan(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self._learn(self._leader.children(recursive=True))
        self._scan_group()

    def _scan_group(self) -> list["psutil.Process"]:
        # Once the leader is reaped and no member lives, the kernel may give the group's number to a stranger.
        if self._leader.is_running() or self.living():
            self._learn(_group_members(self._leader.pid))
        return self.living()

    def _learn(self, processes: Iterable["psutil.Process"]) -> None:
        for process in processes:
            self._known.setdefault(process.pid, process)


def runs(pid: int) -> bool:
    """Whether there is a process `pid`; a zombie does not count."""
    try:
        return _lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def end_recorded(record: ProcessRecord, *, first: signal.Signals, grace: timedelta) -> bool:
    """End what a crashed run left, if the recorded process still is the one that runs; return whether it was.

    Raises:
        LeftRunning: it outlived SIGKILL.
    """
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        family = Family(record.pid)
        if record.is_alive() and os.getpgid(record.pid) == record.pid:
            family.end(first=first, grace=grace)
            return True
    return False


def save_records(path: Path, records: Iterable[ProcessRecord]) -> None:
    """Write `records` to `path`, whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([asdict(record) for record in records]))
    draft.replace(path)


def load_records(path: Path) -> list[ProcessRecord]:
    """Return the records in `path`; none when it is missing or spoilt: what is not recorded is not ours to end."""
    try:
        rows = json.loads(path.read_text())
        return [ProcessRecord(int(row["pid"]), float(row["create_time"]), tuple(row["argv"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _lives(process: "psutil.Process") -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _group_members(leader: int) -> list["psutil.Process"]:
    members = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getpgid(pid) == leader == os.getsid(pid):
                members.append(psutil.Process(pid))
    return members
