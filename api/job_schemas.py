"""What the operating routes answer: failures, counts, retries, jobs with their history, and the gate."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas import Answer, Job, JobWithAttempts
from cio_tasks.gate import Reason
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import Phase


class FailedPerson(Answer):
    """The customer behind a failure; masked for those who may not see personal data."""

    id: UUID
    email: str
    first_name: str
    last_name: str


class SyncFailure(Job):
    """A job that failed for good, whose it is, and its dead letter."""

    customer: FailedPerson
    operator_id: str
    http_status: int | None
    exhausted_retries: bool | None = Field(description="False when it was refused for good before they were used up.")
    dead_letter_id: UUID | None
    failed_at: datetime | None


class SyncFailures(Answer):
    """A part of the failures, those with the most retries first."""

    failures: tuple[SyncFailure, ...]
    total: int
    limit: int
    offset: int


class CountsOfPhase(Answer):
    """The jobs of one phase by status."""

    pending: int
    processing: int
    completed: int
    failed: int


class Closing(Answer):
    """One reason that closes the gate."""

    reason: Reason
    closed_at: datetime
    closed_until: datetime | None
    note: str | None
    actor: str | None


class GateState(Answer):
    """Whether deliveries may run, and what stops them."""

    open: bool
    reasons: tuple[Closing, ...]


class SyncStats(Answer):
    """All jobs, counted at one instant."""

    pending: int
    processing: int
    completed: int
    failed: int
    stuck: int
    dead_letters: int = Field(description="Those that are not resolved.")
    oldest_due_seconds: float | None = Field(
        description="How long the oldest due job has waited; null when none is due."
    )
    by_phase: dict[Phase, CountsOfPhase]
    gate: GateState


class Retried(Answer):
    """The failed jobs of a signup that run again."""

    signup_id: UUID
    retried: int
    jobs: tuple[Job, ...]


class RetriedMany(Answer):
    """How many failures matched, run again, and were passed over because their state had changed meanwhile."""

    matched: int
    retried: int
    skipped: int
    left: int = Field(description="Those whose turn did not come in time: send the same again.")


class Processed(Answer):
    """How many jobs were taken, and what became of them."""

    processed: int
    succeeded: int
    failed: int
    retrying: int
    deferred: int


class Cleaned(Answer):
    """How many stuck jobs were taken back."""

    reset_count: int


class JobPage(Answer):
    """A part of the jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


class AuditLine(Answer):
    """Who did what, and when."""

    id: int
    action: str
    actor: str
    details: dict[str, Any]
    created_at: datetime


class Letter(Answer):
    """The record that a job failed for good, and what became of that."""

    id: UUID
    error_type: ErrorType
    error_code: str
    error_message: str
    http_status: int | None
    attempt_count: int
    exhausted_retries: bool
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: str | None


class JobHistory(JobWithAttempts):
    """A job with its newest attempts, audit entries and dead letters, oldest first."""

    audit: tuple[AuditLine, ...]
    dead_letters: tuple[Letter, ...]
