"""What came in over HTTP: webhooks as they were sent, and the first answers to requests that may come twice."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from cio_tasks.db import Base
from cio_tasks.models.columns import Timestamp


class WebhookEvent(Base):
    """A reporting webhook that carried a good signature, as raw bytes, once for each `event_id`.

    What could be read of the body stands in the columns; a body that could not be read has none of them.
    """

    __tablename__ = "customerio_webhook_events"
    __table_args__ = (
        Index("ix_webhook_events_by_time", "received_at"),
        Index("ix_webhook_events_of_person", "person_id", "received_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid7, server_default=func.gen_random_uuid())
    event_id: Mapped[str] = mapped_column(Text, unique=True)
    """The sender's; `sha256:` and the digest of the body when it has none that can be read."""
    body: Mapped[bytes] = mapped_column(LargeBinary)
    object_type: Mapped[str | None] = mapped_column(Text)
    metric: Mapped[str | None] = mapped_column(Text)
    person_id: Mapped[str | None] = mapped_column(Text)
    """`data.customer_id` or `data.identifiers.id`: our customer's id, when the event is about one of ours."""
    delivery_id: Mapped[str | None] = mapped_column(Text)
    campaign_id: Mapped[str | None] = mapped_column(Text)
    flags: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    """What was odd about it: `unreadable`, `unknown_type`, `unknown_metric`, `duplicate_key`, `stale`, `no_event_id`."""
    signed_at: Mapped[datetime] = mapped_column(Timestamp)
    happened_at: Mapped[datetime | None] = mapped_column(Timestamp)
    received_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


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
