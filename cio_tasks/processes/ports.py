"""A port that nobody listens on, for a server that we start."""

import random
import socket
from typing import Final

from cio_tasks.errors import EmbeddedError

HOST: Final = "127.0.0.1"
PORTS: Final = range(20_000, 32_000)
"""Below the ports that the system hands out to clients: one of those, dialling a server of ours that is down, can get the
server's own port, be connected to itself, and keep it from coming back."""


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    Raises:
        EmbeddedError: when fifty of them are taken.
    """
    for port in random.sample(PORTS, 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex((HOST, port)) != 0:
                return port
    raise EmbeddedError(f"no free port between {PORTS.start} and {PORTS.stop} on {HOST}")
