"""What a process needs to deliver: settings, sessions, the client, its name, and whether it was told to stop."""

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from cio_tasks import wake
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made once in each process, after any fork."""

    settings: Settings
    sessions: Sessions
    client: CustomerIO
    worker: str
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the runtime that the settings describe; no connection is made yet.

        Raises:
            ConfigurationError: when `DATABASE_URL` is not set.
        """
        wake.configure(settings)
        engine = make_engine(settings.required_database_url(), application="ciosync worker")
        return cls(settings, make_sessions(engine), CustomerIO.from_settings(settings), name_worker())


def name_worker() -> str:
    """Return a name that no other process has or had, a restarted one on the same host included."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
