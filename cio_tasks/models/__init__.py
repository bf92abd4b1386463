"""The tables. The database refuses what the code must never do; each constraint is named for the rule it holds.

`migrations/` makes these tables; a test holds the two to each other.
"""

from cio_tasks.models.counts import RowCount
from cio_tasks.models.jobs import DeadLetter, SyncAttempt, SyncJob
from cio_tasks.models.operating import Alert, AuditEntry, Counter, Gate, Heartbeat
from cio_tasks.models.requests import IdempotencyKey, WebhookEvent
from cio_tasks.models.signups import Customer, Signup

__all__ = [
    "Alert",
    "AuditEntry",
    "Counter",
    "Customer",
    "DeadLetter",
    "Gate",
    "Heartbeat",
    "IdempotencyKey",
    "RowCount",
    "Signup",
    "SyncAttempt",
    "SyncJob",
    "WebhookEvent",
]
