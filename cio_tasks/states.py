"""The states of a sync job and the arrows between them.

`docs/state_machine.md` draws this, the CHECK constraints of `models` repeat it in the database, and tests compare
all three. Only `transitions/` writes a status.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Which of the two messages about a signup a job delivers."""

    INITIAL = "initial"
    """Sent when the signup is submitted: the person and `signup_submitted`."""

    ENRICHED = "enriched"
    """Sent when the bet slip is confirmed: its values and `signup_extraction_confirmed`."""


class JobStatus(StrEnum):
    """Where a sync job stands."""

    PENDING = "pending"
    """Owed. Runs once `next_retry_at` has come (at once when it is empty). With `attempt_count` > 0 it is retrying."""

    PROCESSING = "processing"
    """Claimed by one worker, which holds the claim token and may record the outcome."""

    COMPLETED = "completed"
    """Customer.io accepted this version of the payload (or mock mode pretended to, see `mock`)."""

    FAILED = "failed"
    """Given up: refused for good or out of retries. A dead letter says why; a person may retry it."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One way a job may change: the function of `transitions/` that does it, and from where to where."""

    verb: str
    source: JobStatus | None
    target: JobStatus


TRANSITIONS: Final = (
    Arrow("enqueue", None, JobStatus.PENDING),
    Arrow("reset", JobStatus.PENDING, JobStatus.PENDING),
    Arrow("reset", JobStatus.FAILED, JobStatus.PENDING),
    Arrow("reset", JobStatus.COMPLETED, JobStatus.PENDING),
    Arrow("claim", JobStatus.PENDING, JobStatus.PROCESSING),
    Arrow("complete", JobStatus.PROCESSING, JobStatus.COMPLETED),
    Arrow("supersede", JobStatus.PROCESSING, JobStatus.PENDING),
    Arrow("retry_later", JobStatus.PROCESSING, JobStatus.PENDING),
    Arrow("fail", JobStatus.PROCESSING, JobStatus.FAILED),
    Arrow("release", JobStatus.PROCESSING, JobStatus.PENDING),
    Arrow("reset_stuck", JobStatus.PROCESSING, JobStatus.PENDING),
    Arrow("reset_stuck", JobStatus.PROCESSING, JobStatus.FAILED),
    Arrow("revive", JobStatus.FAILED, JobStatus.PENDING),
    Arrow("retry_manually", JobStatus.FAILED, JobStatus.PENDING),
)
