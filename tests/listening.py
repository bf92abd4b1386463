"""Who listens to live events, and who tells them."""

from dataclasses import dataclass, field
from typing import Any, Self

import socketio

from cio_tasks.live import LiveEvents
from tests.eventually import eventually

FACTS = {"signup_id": "s-1", "job_id": "j-1", "phase": "initial", "operator_id": "op-1"}
COMPLETED = {**FACTS, "contact_id": "c-1", "mock": False}
FAILED = {**FACTS, "error_type": "other", "error_code": "http_403", "http_status": 403, "exhausted_retries": False}
TOLD = {"sync.completed": COMPLETED, "sync.failed": FAILED}
VIEWER = {"token": "viewer-token"}
WARM_UP = "warm-up"

Heard = list[tuple[str, dict[str, Any]]]


class Teller:
    """Tells what a worker tells."""

    def __init__(self, redis_url: str) -> None:
        self._live = LiveEvents(redis_url)

    def __call__(self, name: str = "sync.completed", **changes: Any) -> None:
        """Tell it, and wait until it has left."""
        self._live(name, {**TOLD[name], **changes})
        self._live.flush()


@dataclass
class Listener:
    """A Socket.IO client that keeps what it hears."""

    url: str
    heard: Heard = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    client: socketio.Client = field(default_factory=lambda: socketio.Client(reconnection_delay=0.2))

    def __post_init__(self) -> None:
        self.client.on("*", lambda event, payload: self.heard.append((event, payload)))
        self.client.on("connect_error", self.refusals.append)

    def connect(self, auth: Any = VIEWER, *, path: str = "", **options: Any) -> Self:
        """Connect and wait until the server let this client in; raises `ConnectionError` when it does not."""
        self.client.connect(self.url + path, auth=auth, wait_timeout=10, **options)
        return self

    def refused(self, auth: Any, **options: Any) -> dict[str, Any]:
        """Connect, and return what the server says against it."""
        try:
            self.connect(auth, **options)
        except socketio.exceptions.ConnectionError:
            return dict(self.refusals[-1]["data"])
        raise AssertionError("the server let this client in")

    def attune(self, tell: Teller, *, seconds: float = 10) -> Self:
        """Tell things until they are heard: the API begins to listen to Redis with its first client."""

        def try_out() -> int:
            tell(signup_id=WARM_UP)
            return len(self.heard)

        self.heard.clear()
        eventually(try_out, seconds=seconds, every=0.2)
        return self

    def news(self, count: int = 1) -> Heard:
        """Return what was heard beyond the trials, once there is so much of it."""

        def read() -> Heard:
            return [(event, payload) for event, payload in self.heard if payload.get("signupId") != WARM_UP]

        return eventually(read, lambda heard: len(heard) >= count, seconds=10)

    def leave(self) -> None:
        """Disconnect for good."""
        self.client.disconnect()
        self.client.shutdown()
