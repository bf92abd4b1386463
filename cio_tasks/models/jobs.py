"""What is owed to Customer.io, the tries to deliver it, and the record of those that failed for good."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cio_tasks.backoff import MAX_RETRIES
from cio_tasks.db import Base
from cio_tasks.models.columns import Timestamp, one_of
from cio_tasks.models.signups import Signup
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

FAILED: Final = text("status = 'failed'")
WORST_FIRST: Final = (text("attempt_count DESC"), text("last_attempt_at DESC NULLS LAST"), "id")
"""The order of the failure list (row C1)."""
FAILURE_LISTS: Final = {
    "": (),
    "_of_phase": ("sync_phase",),
    "_of_type": ("error_type",),
    "_of_phase_and_type": ("sync_phase", "error_type"),
}
"""An index for each way to filter the failure list: a page of any of them is read in order, however many there are."""


class SyncJob(Base):
    """The durable intent that one phase of one signup must reach Customer.io; `transitions/` writes its status."""

    __tablename__ = "signup_customerio_sync_jobs"
    __table_args__ = (
        Index("uq_sync_jobs_one_per_signup_and_phase", "signup_id", "sync_phase", unique=True),
        CheckConstraint(one_of("status", JobStatus), name="status_known"),
        CheckConstraint(one_of("sync_phase", Phase), name="sync_phase_known"),
        CheckConstraint(one_of("error_type", ErrorType, optional=True), name="error_type_known"),
        CheckConstraint("attempt_count BETWEEN 0 AND max_attempts", name="attempt_count_within_max"),
        CheckConstraint("claimed_by IS NULL OR status = 'processing'", name="only_processing_is_claimed"),
        CheckConstraint("completed_at IS NULL OR status = 'completed'", name="only_completed_has_completed_at"),
        CheckConstraint("status <> 'completed' OR error_type IS NULL", name="completed_has_no_error"),
        CheckConstraint("payload_version > 0", name="payload_version_positive"),
        Index(
            "ix_sync_jobs_for_claim",
            text("(coalesce(next_retry_at, created_at))"),
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_sync_jobs_for_prune", "completed_at", postgresql_where=text("status = 'completed'")),
        Index("ix_sync_jobs_for_stuck", "updated_at", postgresql_where=text("status = 'processing'")),
        *(
            Index(f"ix_sync_jobs_for_failures{name}", *columns, *WORST_FIRST, postgresql_where=FAILED)
            for name, columns in FAILURE_LISTS.items()
        ),
        Index(
            "ix_sync_jobs_for_search_of_failures",
            "signup_id",
            postgresql_include=["sync_phase", "error_type"],
            postgresql_where=FAILED,
        ),
        Index("ix_sync_jobs_for_list", "status", "sync_phase", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid7, server_default=func.gen_random_uuid())
    signup_id: Mapped[UUID] = mapped_column(ForeignKey("signups.id"))
    sync_phase: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, default=JobStatus.PENDING, server_default=JobStatus.PENDING)
    attempt_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(default=MAX_RETRIES, server_default=text(str(MAX_RETRIES)))
    next_retry_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_attempt_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error_type: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    http_status: Mapped[int | None]
    mock: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    manual_retry: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    payload_version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    claim_token: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    claimed_by: Mapped[str | None] = mapped_column(Text)
    overtaken_token: Mapped[int | None] = mapped_column(BigInteger)
    """The token of the claim during which a newer version was confirmed. A later claim has another."""
    completed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    signup: Mapped[Signup] = relationship()


class SyncAttempt(Base):
    """One try to deliver a job: what came of it, how long it took, and when the next one is due."""

    __tablename__ = "customerio_sync_attempts"
    __table_args__ = (
        Index("uq_sync_attempts_one_per_claim", "job_id", "claim_token", unique=True),
        CheckConstraint(one_of("error_type", ErrorType, optional=True), name="error_type_known"),
        CheckConstraint(
            "outcome IN ('delivered', 'retry_later', 'rejected', 'released', 'worker_lost')", name="outcome_known"
        ),
        Index("ix_sync_attempts_for_error_rate", "finished_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("signup_customerio_sync_jobs.id", ondelete="CASCADE"))
    claim_token: Mapped[int] = mapped_column(BigInteger)
    retry: Mapped[int]
    """0 for the first delivery, then the number of the retry (1 to 5)."""
    outcome: Mapped[str] = mapped_column(Text)
    error_type: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    http_status: Mapped[int | None]
    request_id: Mapped[str | None] = mapped_column(Text)
    batch_size: Mapped[int | None]
    mock: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    worker: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(Timestamp)
    finished_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    duration_ms: Mapped[int | None]
    next_retry_at: Mapped[datetime | None] = mapped_column(Timestamp)


class DeadLetter(Base):
    """The record that a job failed for good, and what became of that later."""

    __tablename__ = "customerio_dead_letters"
    __table_args__ = (
        Index(
            "uq_dead_letters_one_unresolved_per_job",
            "job_id",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolved_has_resolution"),
        CheckConstraint(one_of("error_type", ErrorType), name="error_type_known"),
        Index("ix_dead_letters_of_signup", "signup_id"),
        Index("ix_dead_letters_of_job", "job_id"),
        Index("ix_dead_letters_for_prune", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
        Index("ix_dead_letters_by_time", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid7, server_default=func.gen_random_uuid())
    job_id: Mapped[UUID] = mapped_column(ForeignKey("signup_customerio_sync_jobs.id"))
    signup_id: Mapped[UUID] = mapped_column(ForeignKey("signups.id"))
    sync_phase: Mapped[str] = mapped_column(Text)
    error_type: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str] = mapped_column(Text)
    error_message: Mapped[str] = mapped_column(Text)
    http_status: Mapped[int | None]
    attempt_count: Mapped[int]
    exhausted_retries: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    resolved_at: Mapped[datetime | None] = mapped_column(Timestamp)
    resolution: Mapped[str | None] = mapped_column(Text)
    resolved_by: Mapped[str | None] = mapped_column(Text)
