"""What the Socket.IO libraries log: little, and nothing that a client sent."""

import logging
import threading
import time
from typing import Final

AGAIN_SECONDS: Final = 300.0


class OncePerPlace(logging.Filter):
    """Lets a line of one place through every five minutes, without its values: a client may have chosen them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._told: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is logged."""
        place, now = (record.module, record.lineno), time.monotonic()
        with self._lock:
            if now - self._told.get(place, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return False
            self._told[place] = now
        record.msg, record.args = f"{record.module}:{record.lineno} complains{_class_of(record)}", ()
        record.exc_info = None
        return True


def _class_of(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return f" of {type(error).__name__}" if error is not None else ""


def quiet_logger() -> logging.Logger:
    """Return a logger for the libraries. Below errors they log every message with its content, tokens included."""
    logger = logging.getLogger("api.socketio")
    logger.setLevel(logging.ERROR)
    if not any(isinstance(known, OncePerPlace) for known in logger.filters):
        logger.addFilter(OncePerPlace())
    return logger
