"""Who signed up, and what they submitted."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cio_tasks.db import Base
from cio_tasks.models.columns import Timestamp


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
