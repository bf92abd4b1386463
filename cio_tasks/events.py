"""Facts, told once and formatted elsewhere: code says what happened, listeners log it or send it to the socket.

A fact holds ids and words, never names, addresses or payloads.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

Listener = Callable[[str, dict[str, Any]], None]

_listeners: Final[list[Listener]] = []


def listen(listener: Listener) -> None:
    """Call `listener(name, facts)` for each fact from now on. Registering it again changes nothing."""
    if listener not in _listeners:
        _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """Stop calling `listener`."""
    if listener in _listeners:
        _listeners.remove(listener)


def listeners() -> tuple[Listener, ...]:
    """Return who is told now."""
    return tuple(_listeners)


def emit(name: str, **facts: Any) -> None:
    """Tell every listener that `name` happened. What a listener raises is logged and never reaches the caller."""
    for listener in listeners():
        try:
            listener(name, facts)
        except Exception as error:  # noqa: BLE001 - a broken listener must not fail a delivery
            logging.getLogger(__name__).warning("listener failed on %s: %s", name, type(error).__name__)
