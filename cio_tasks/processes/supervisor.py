"""Starts processes, keeps them running, and leaves none behind."""

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cio_tasks.events import emit
from cio_tasks.processes.group import GRACE
from cio_tasks.processes.managed import ManagedProcess, RestartPolicy
from cio_tasks.processes.record import (
    LeftRunning,
    ProcessRecord,
    end_recorded,
    load_records,
    require_extra,
    save_records,
)
from cio_tasks.processes.state_lock import hold
from cio_tasks.processes.watch import SourceWatch

CHECK_INTERVAL: Final = timedelta(milliseconds=50)


class Supervisor:
    """The processes of one run, as a context manager: entering ends what a crashed run left, leaving what it started.

    `state_dir` holds the lock, the record of what runs, and `logs/`. `leftovers` are the processes ended on entry.
    Facts told through `cio_tasks.events`: `process.exited`, `process.restarted`, `process.gave_up`, `process.reloaded`.

    Raises:
        StateInUse: another supervisor is at work in `state_dir`.
        EmbeddedError: the extra `local` is not installed.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        grace: timedelta = GRACE,
        policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self.state_dir = state_dir.resolve()
        self.leftovers: tuple[ProcessRecord, ...] = ()
        self._grace = grace
        self._policy = policy
        self._processes: list[ManagedProcess] = []
        self._records = self.state_dir / "processes.json"
        self._saving = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._held = ExitStack()

    def __enter__(self) -> Self:
        require_extra()
        with ExitStack() as stack:
            stack.enter_context(hold(self.state_dir / "processes.lock"))
            self.leftovers = self._end_leftovers()
            self._repeat(CHECK_INTERVAL, self._check)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self.stop()

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """All that were started, in that order."""
        return tuple(self._processes)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log_path: Path | None = None,
        restart: bool = True,
        ready: Callable[[], bool] | None = None,
        ready_timeout: timedelta = timedelta(seconds=30),
    ) -> ManagedProcess:
        """Start a command, in this process's environment unless `env` is given, and wait until `ready()`.

        From then on, if `restart`, it is started again when it exits. Before that an exit is an error, told at once.

        Raises:
            ProcessFailed: it exited before it was ready, or was not ready within `ready_timeout`.
            OSError: the command cannot be started.
            ValueError: there is a process of that name already.
        """
        if any(process.name == name for process in self._processes):
            raise ValueError(f"two processes named {name}")
        process = ManagedProcess(
            name,
            argv,
            env=env,
            cwd=cwd,
            log_path=log_path or self.state_dir / "logs" / f"{name}.log",
            policy=self._policy if restart else None,
            on_change=self._save,
        )
        self._processes.append(process)
        self._save()
        if ready is not None:
            self._wait_ready(process, ready, ready_timeout)
        process.supervise()
        return process

    def watch(
        self,
        folders: Sequence[Path],
        processes: Sequence[ManagedProcess],
        *,
        interval: timedelta = timedelta(seconds=1),
    ) -> None:
        """From now on restart `processes`, in the order given, whenever a *.py file below `folders` changes."""
        sources = SourceWatch(folders)

        def reload() -> None:
            if changed := sources.changed():
                emit("process.reloaded", processes=[process.name for process in processes], files=len(changed))
                for process in processes:
                    process.restart(self._grace)

        self._repeat(interval, reload)

    def stop(self) -> None:
        """End everything in the reverse order of its start: SIGTERM to each group, the grace, SIGKILL.

        Interrupted, by a second Ctrl-C, it kills what is left at once.

        Raises:
            LeftRunning: something it started outlived SIGKILL.
        """
        try:
            self._stopping.set()
            for thread in self._threads:
                thread.join()
            for process in reversed(self._processes):
                process.terminate(self._grace)
        finally:
            for process in reversed(self._processes):
                process.kill()
        self._assert_nothing_left()

    def _wait_ready(self, process: ManagedProcess, ready: Callable[[], bool], timeout: timedelta) -> None:
        try:
            process.wait_ready(ready, timeout)
        except BaseException:
            process.kill()
            raise

    def _check(self) -> None:
        for process in self.processes:
            process.check()

    def _repeat(self, interval: timedelta, function: Callable[[], None]) -> None:
        def loop() -> None:
            while not self._stopping.wait(interval.total_seconds()):
                function()

        thread = threading.Thread(target=loop, name=f"supervisor-{self.state_dir.name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _save(self) -> None:
        with self._saving:
            save_records(self._records, [process.record for process in self.processes if process.is_alive()])

    def _end_leftovers(self) -> tuple[ProcessRecord, ...]:
        records = reversed(load_records(self._records))
        ended = tuple(r for r in records if end_recorded(r, first=signal.SIGTERM, grace=self._grace))
        save_records(self._records, [])
        return ended

    def _assert_nothing_left(self) -> None:
        pids = [pid for process in self._processes for pid in process.left_running()]
        if pids:
            raise LeftRunning(f"still running: {pids}", pids=pids)
