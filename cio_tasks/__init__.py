"""Keep Customer.io true: every signup reaches it, in two phases, whatever breaks.

Importing this package opens no socket and reads no environment; its names are loaded when they are first used, so that
`ciosync version` does not wait for SQLAlchemy and Celery.

    from cio_tasks import Phase, enqueue_sync

    with Session.begin() as session:                  # your transaction
        session.add(signup)
        enqueue_sync(session, signup, Phase.INITIAL)  # row now, message after commit
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cio_tasks.customerio import CustomerIO
    from cio_tasks.enqueue import enqueue_sync
    from cio_tasks.errors import CioTasksError
    from cio_tasks.settings import Settings
    from cio_tasks.states import JobStatus, Phase

__all__ = ["CioTasksError", "CustomerIO", "JobStatus", "Phase", "Settings", "enqueue_sync"]

HOMES: Final = {
    "CioTasksError": "errors",
    "CustomerIO": "customerio",
    "JobStatus": "states",
    "Phase": "states",
    "Settings": "settings",
    "enqueue_sync": "enqueue",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
