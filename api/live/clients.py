"""The clients: how many there may be, and how long one may stay without saying who it is.

A websocket or a waiting poll holds one of the server's 32 threads, so all of them together get fewer than that.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from werkzeug.exceptions import BadRequest, ServiceUnavailable

from api.auth import Caller

MOST_CLIENTS: Final = 12
"""Clients that are let in. More of them ask another process, or the API now and then."""
MOST_SESSIONS: Final = MOST_CLIENTS + 4
"""Clients and those who are about to say who they are."""
MOST_REQUESTS: Final = MOST_SESSIONS + 4
"""Requests to `/socket.io/` at one time: a poll waits while its client sends or changes to a websocket."""
RETRY_AFTER_SECONDS: Final = 5

SAY_WHO_SECONDS: Final = 5.0
"""How long a session may take to say who it is."""
LEAVE_SECONDS: Final = 2.0
"""How long one that is refused has to read why."""
SWEEP_SECONDS: Final = 1.0
STALLED_MS: Final = 20_000
"""How long a client may leave unread what was sent to it."""

SESSION: Final = "ciosync.live_session"
"""Where the WSGI environment of a session's first request holds its `Session`."""


@dataclass(eq=False, slots=True)
class Session:
    """A session of Engine.IO, from before its client said who it is."""

    caller: Caller | None = None
    has_asked: bool = False
    ends_at: float | None = field(default_factory=lambda: time.monotonic() + SAY_WHO_SECONDS)
    is_polling: bool = False
    websocket: socket.socket | None = None

    def end_soon(self) -> None:
        """Let the client read why, and then end the session."""
        self.ends_at = time.monotonic() + LEAVE_SECONDS

    def is_overdue(self) -> bool:
        """Return whether its time is up."""
        return self.ends_at is not None and time.monotonic() > self.ends_at

    def hang_up(self) -> None:
        """End the connection. A thread waits for a word from the other side, who may never say one."""
        if self.websocket is not None:
            try:
                self.websocket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


class Clients:
    """The sessions of one Socket.IO server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._requests = threading.BoundedSemaphore(MOST_REQUESTS)
        self._websockets: set[Session] = set()
        self._sweeper: threading.Thread | None = None
        self.stopping = threading.Event()
        """Set when the server is told to stop; every session then ends."""

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one of the requests that there may be.

        Raises:
            ServiceUnavailable: when there are as many.
        """
        if not self._requests.acquire(blocking=False):
            raise ServiceUnavailable(retry_after=RETRY_AFTER_SECONDS)
        try:
            yield
        finally:
            self._requests.release()

    def open(self) -> Session:
        """Return a session for a new client.

        Raises:
            ServiceUnavailable: when there are as many as there may be.
        """
        if len(self._server.environ) >= MOST_SESSIONS or self.stopping.is_set():
            raise ServiceUnavailable(retry_after=RETRY_AFTER_SECONDS)
        self._start_sweeping()
        return Session()

    def find(self, session_id: str) -> Session | None:
        """Return the session of that id of Engine.IO."""
        environ = self._server.environ.get(session_id)
        return None if environ is None else environ[SESSION]

    def admit(self, session: Session, caller: Caller) -> None:
        """Let a client in.

        Raises:
            ServiceUnavailable: when there are as many as there may be.
        """
        with self._lock:
            if sum(other.caller is not None for _, other in self._sessions()) >= MOST_CLIENTS:
                raise ServiceUnavailable(retry_after=RETRY_AFTER_SECONDS)
            session.caller = caller
            session.ends_at = None

    @contextmanager
    def poll(self, session: Session) -> Iterator[None]:
        """Let a session wait for what there is to read while the body runs.

        Raises:
            BadRequest: when it waits already: each wait holds a thread.
        """
        with self._lock:
            if session.is_polling:
                raise BadRequest
            session.is_polling = True
        try:
            yield
        finally:
            session.is_polling = False

    @contextmanager
    def websocket(self, session: Session, connection: socket.socket | None) -> Iterator[None]:
        """Remember the connection of a session while the body runs."""
        session.websocket = connection
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        with self._lock:
            self._websockets.add(session)
        try:
            yield
        finally:
            with self._lock:
                self._websockets.discard(session)
            session.websocket = None

    def _sessions(self) -> list[tuple[str, Session]]:
        return [(session_id, environ[SESSION]) for session_id, environ in list(self._server.environ.items())]

    def _start_sweeping(self) -> None:
        with self._lock:
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep_on, name="live clients", daemon=True)
                self._sweeper.start()

    def _sweep_on(self) -> None:
        while not self.stopping.wait(SWEEP_SECONDS):
            self.sweep()
        for session_id, session in self._sessions():
            self._end(session_id, session)

    def sweep(self) -> None:
        """End the sessions whose time is up, and the connections of sessions that are over."""
        sessions = self._sessions()
        for session_id, session in sessions:
            if session.is_overdue():
                self._end(session_id, session)
        with self._lock:
            over = self._websockets - {session for _, session in sessions}
        for session in over:
            if session.caller is not None or session.is_overdue():
                session.hang_up()

    def _end(self, session_id: str, session: Session) -> None:
        connection = self._server.eio.sockets.get(session_id)
        if connection is None:
            self._server.environ.pop(session_id, None)
        else:
            connection.close(wait=False, abort=True)
        session.hang_up()
