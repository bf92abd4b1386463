"""Keep Customer.io true: every signup reaches it, in two phases, whatever breaks.

Importing this package opens no socket and reads no environment.

    from cio_tasks import Phase, enqueue_sync

    with Session.begin() as session:                  # your transaction
        session.add(signup)
        enqueue_sync(session, signup, Phase.INITIAL)  # row now, message after commit
"""

from cio_tasks.customerio import CustomerIO
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.errors import CioTasksError
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus, Phase

__all__ = ["CioTasksError", "CustomerIO", "JobStatus", "Phase", "Settings", "enqueue_sync"]
