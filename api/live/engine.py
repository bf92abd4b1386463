"""Engine.IO within bounds that it has no option for. Its parts are replaced where it keeps them; tests hold each bound."""

import queue
from contextlib import suppress
from typing import Any, Final

from engineio.async_drivers._websocket_wsgi import SimpleWebSocketWSGI  # type: ignore[import-untyped]
from simple_websocket import ConnectionClosed  # type: ignore[import-untyped]

LONGEST_MESSAGE: Final = 4_096
"""Of a client, in bytes: it says nothing but who it is."""
TURN_SECONDS: Final = 1.0


def bound(engine: Any) -> None:
    """Give an Engine.IO server websockets and queues that hold no thread for ever."""
    engine._async = {**engine._async, "websocket": Websocket, "queue": Outbox}  # noqa: SLF001


class Websocket(SimpleWebSocketWSGI):  # type: ignore[misc]
    """A websocket whose messages are bounded while they arrive, and whose end is noticed."""

    def __init__(self, handler: Any, engine: Any) -> None:
        super().__init__(handler, engine, max_message_size=LONGEST_MESSAGE)

    def wait(self) -> str | bytes | None:
        """Return the next message, or None at the end. In turns: the library may end without waking the one who waits."""
        while True:
            try:
                message: str | bytes | None = self.ws.receive(timeout=TURN_SECONDS)
            except ConnectionClosed:
                return None
            if message is not None:
                return message

    def close(self) -> None:
        """Close it, which is done already when the other side has gone."""
        with suppress(ConnectionClosed, OSError):
            self.ws.close()


class Outbox(queue.Queue[Any]):
    """What is to be sent to a client."""

    def join(self) -> None:
        """Wait for nothing: a client that has gone reads no more, and whoever ends its session would wait for ever."""
