"""The API under gunicorn, as the contract starts it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket

from cio_tasks.cli.stack import answers, inherited
from cio_tasks.processes import Supervisor, free_port
from cio_tasks.processes.managed import ManagedProcess
from cio_tasks.settings import Role

HOST = "127.0.0.1"
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
TOKENS = ",".join(f"{role}:{role}:{role}-token" for role in Role)
POLLING = {"EIO": "4", "transport": "polling"}


@dataclass(frozen=True)
class Served:
    """A gunicorn that serves the API."""

    port: int
    process: ManagedProcess

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        return self.process.log_path.read_text(encoding="utf-8")

    @property
    def memory(self) -> int:
        """The resident memory of its worker, in bytes."""
        return sum(child.memory_info().rss for child in psutil.Process(self.process.pid).children())

    def answers(self) -> bool:
        """Whether it answers at all, as it does some time after a start."""
        return answers(f"{self.url}/healthz")

    def is_alive_within(self, seconds: float) -> bool:
        """Whether it answers so soon."""
        return requests.get(f"{self.url}/healthz", timeout=seconds).status_code == 200

    def say(self, *parts: bytes, seconds: float = 12) -> bytes:
        """Send bytes as they are, and return all that comes back until the connection is closed or silent for so long."""
        with socket.create_connection((HOST, self.port), timeout=seconds) as connection:
            for part in parts:
                connection.sendall(part)
            return read_all(connection)

    def knock(self, sid: str | None = None, **headers: str) -> requests.Response:
        """Ask for a session of Engine.IO, or for what there is to read in one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = POLLING if sid is None else {**POLLING, "sid": sid}
        return requests.get(f"{self.url}/socket.io/", params=asked, headers=sent, timeout=20)

    def open_websocket(self, sid: str | None = None, **options: Any) -> websocket.WebSocket:
        """Open a websocket to Engine.IO, in a session that there is or in a new one, and read nothing yet."""
        address = f"ws://{HOST}:{self.port}/socket.io/?EIO=4&transport=websocket{f'&sid={sid}' if sid else ''}"
        return websocket.create_connection(address, timeout=10, suppress_origin="origin" not in options, **options)

    def refused_frames(self, introduction: str) -> list[str]:
        """Open a websocket, say who one is, and return what comes back up to the refusal."""
        guest = self.open_websocket()
        guest.recv()
        guest.send(introduction)
        frames = [str(guest.recv())]
        while not frames[-1].startswith("44"):
            frames.append(str(guest.recv()))
        guest.close()
        return frames


def read_all(connection: socket.socket) -> bytes:
    """Return what the other side sends until it closes, breaks off or says nothing for the time of the socket."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except OSError:
        pass
    return received


@contextmanager
def serve(folder: Path, redis_url: str, **settings: str) -> Iterator[Served]:
    """Serve the API for as long as the body runs, by default without a database."""
    port = free_port()
    own = {"DATABASE_URL": NO_DATABASE, "REDIS_URL": redis_url, "CIO_API_TOKENS": TOKENS, **settings}
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "1", "--threads", "32", "--no-control-socket"]
    with Supervisor(folder) as supervisor:
        process = supervisor.start(
            "api",
            [*command, "-b", f"{HOST}:{port}", "api.wsgi:app"],
            env={**inherited(), **own},
            cwd=supervisor.state_dir,
            ready=lambda: answers(f"http://{HOST}:{port}/healthz"),
        )
        yield Served(port, process)
