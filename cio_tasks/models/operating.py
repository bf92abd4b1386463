"""What the people who run the system need: the audit, the gate, alerts, heartbeats and counters."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cio_tasks.db import Base
from cio_tasks.models.columns import Timestamp


class AuditEntry(Base):
    """Who did what to which signup and job, and when. Only ever inserted: a trigger refuses the rest."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index("ix_audit_logs_of_signup", "signup_id", "id"),
        Index("ix_audit_logs_of_job", "job_id", "id"),
        Index("ix_audit_logs_by_time", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    action: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    signup_id: Mapped[UUID | None] = mapped_column(ForeignKey("signups.id"))
    job_id: Mapped[UUID | None]
    """No foreign key: the entry stays as it was written when retention deletes the job."""
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


class Alert(Base):
    """One thing that is watched, and since when it is over its limit. Told once per breach and once on recovery."""

    __tablename__ = "customerio_alerts"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    breached_at: Mapped[datetime | None] = mapped_column(Timestamp)
    value: Mapped[float | None]
    """What was measured when it was last looked at."""
    told_at: Mapped[datetime | None] = mapped_column(Timestamp)
    """When a change was last told in full."""
    untold: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    """The changes that `CIO_ALERT_URL` has not taken yet, oldest first."""
    telling_until: Mapped[datetime | None] = mapped_column(Timestamp)
    """Until when one process has the right to tell; it lapses when that process dies."""
    failed_tellings: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often in a row telling has failed."""
    checked_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Heartbeat(Base):
    """That a process lived at a time: a worker by itself, beat by the ticks of its that were worked on."""

    __tablename__ = "customerio_heartbeats"
    __table_args__ = (
        CheckConstraint("kind IN ('worker', 'beat')", name="kind_known"),
        Index("ix_heartbeats_for_prune", "seen_at"),
    )

    process: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    release: Mapped[str | None] = mapped_column(Text)
    """What `CIO_RELEASE` says: the deployment that the process belongs to."""
    started_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Counter(Base):
    """How often something happened that leaves no row of its own, added up over all processes."""

    __tablename__ = "customerio_counters"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True, default="", server_default=text("''"))
    """A word from a fixed list, never anything that a sender made up."""
    value: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    updated_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
