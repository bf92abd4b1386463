"""The tables. The database refuses what the code must never do; each constraint is named for the rule it holds.

`migrations/` makes these tables; a test holds the two to each other.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cio_tasks.backoff import MAX_RETRIES
from cio_tasks.db import Base
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

Timestamp = DateTime(timezone=True)


def _one_of(column: str, words: type[JobStatus | Phase | ErrorType], *, optional: bool = False) -> str:
    """Return the SQL condition that `column` holds one of the words of an enum."""
    listed = ", ".join(f"'{word}'" for word in words)
    return f"{column} IN ({listed})" + (f" OR {column} IS NULL" if optional else "")


class Customer(Base):
    """A person, known by e-mail whatever its case; `id` is the identifier under which Customer.io knows them."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("uq_customers_email", func.lower(text("email")), unique=True),
        Index(
            "ix_customers_search",
            func.lower(text("(((first_name || ' ') || last_name) || ' ') || email")).label("searched"),
            postgresql_using="gin",
            postgresql_ops={"searched": "gin_trgm_ops"},
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid7, server_default=func.gen_random_uuid())
    email: Mapped[str] = mapped_column(Text)
    first_name: Mapped[str] = mapped_column(Text)
    last_name: Mapped[str] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Signup(Base):
    """A customer's submission; the bet slip is added when its extraction is confirmed."""

    __tablename__ = "signups"
    __table_args__ = (
        CheckConstraint(
            "(extraction_version = 0) = (extraction_confirmed_at IS NULL)", name="confirmed_has_confirmed_at"
        ),
        CheckConstraint(
            "extraction_version = 0 OR num_nonnulls(bet_amount, team_bet_on, odds, confidence) = 4",
            name="confirmed_has_bet_slip",
        ),
        CheckConstraint("bet_amount > 0", name="bet_amount_positive"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_from_0_to_1"),
        CheckConstraint(
            "NOT customerio_synced OR (customerio_synced_at IS NOT NULL AND customerio_contact_id IS NOT NULL)",
            name="synced_has_synced_at_and_contact",
        ),
        CheckConstraint("customerio_sync_failed OR customerio_sync_error IS NULL", name="only_failed_has_sync_error"),
        Index("ix_signups_of_customer", "customer_id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid7, server_default=func.gen_random_uuid())
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    operator_id: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text, unique=True)
    submitted_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    bet_amount: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    team_bet_on: Mapped[str | None] = mapped_column(Text)
    odds: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None]
    extraction_confirmed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    extraction_version: Mapped[int] = mapped_column(default=0, server_default=text("0"))

    customerio_synced: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    customerio_synced_at: Mapped[datetime | None] = mapped_column(Timestamp)
    customerio_contact_id: Mapped[str | None] = mapped_column(Text)
    customerio_sync_failed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    customerio_sync_error: Mapped[str | None] = mapped_column(Text)

    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    customer: Mapped[Customer] = relationship()


class SyncJob(Base):
    """The durable intent that one phase of one signup must reach Customer.io; `transitions.py` writes its status."""

    __tablename__ = "signup_customerio_sync_jobs"
    __table_args__ = (
        Index("uq_sync_jobs_one_per_signup_and_phase", "signup_id", "sync_phase", unique=True),
        CheckConstraint(_one_of("status", JobStatus), name="status_known"),
        CheckConstraint(_one_of("sync_phase", Phase), name="sync_phase_known"),
        CheckConstraint(_one_of("error_type", ErrorType, optional=True), name="error_type_known"),
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
        Index("ix_sync_jobs_for_stuck", "updated_at", postgresql_where=text("status = 'processing'")),
        Index(
            "ix_sync_jobs_for_failures",
            text("attempt_count DESC"),
            text("last_attempt_at DESC"),
            "id",
            postgresql_where=text("status = 'failed'"),
        ),
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
    completed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    signup: Mapped[Signup] = relationship()


class SyncAttempt(Base):
    """One try to deliver a job: what came of it, how long it took, and when the next one is due."""

    __tablename__ = "customerio_sync_attempts"
    __table_args__ = (
        Index("uq_sync_attempts_one_per_claim", "job_id", "claim_token", unique=True),
        CheckConstraint(_one_of("error_type", ErrorType, optional=True), name="error_type_known"),
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
        CheckConstraint(_one_of("error_type", ErrorType), name="error_type_known"),
        Index("ix_dead_letters_of_signup", "signup_id"),
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


class AuditEntry(Base):
    """Who did what to which signup and job, and when. Only ever inserted."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index("ix_audit_logs_of_signup", "signup_id", "id"),
        Index("ix_audit_logs_of_job", "job_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    action: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    signup_id: Mapped[UUID | None] = mapped_column(ForeignKey("signups.id"))
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("signup_customerio_sync_jobs.id"))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Gate(Base):
    """Whether deliveries may run: one row per reason to stop them. All rows open means that they may."""

    __tablename__ = "customerio_gate"
    __table_args__ = (
        CheckConstraint("reason IN ('outage', 'rate_limit', 'auth', 'operator')", name="reason_known"),
        CheckConstraint("closed_at IS NOT NULL OR closed_until IS NULL", name="only_closed_has_end"),
        CheckConstraint("reason = 'operator' OR closed_at IS NULL OR closed_until IS NOT NULL", name="closed_has_end"),
    )

    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    closed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    closed_until: Mapped[datetime | None] = mapped_column(Timestamp)
    failed_probes: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    probing_until: Mapped[datetime | None] = mapped_column(Timestamp)
    note: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str | None] = mapped_column(Text)


class IdempotencyKey(Base):
    """The first answer to a request that carried an `Idempotency-Key`; it holds ids and words, no personal data."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_for_prune", "created_at"),)

    actor: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_hash: Mapped[str] = mapped_column(Text)
    status: Mapped[int]
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
