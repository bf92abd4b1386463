"""How many rows there are of each kind, kept by the database itself."""

from sqlalchemy import BigInteger, CheckConstraint, Identity, Text
from sqlalchemy.orm import Mapped, mapped_column

from cio_tasks.db import Base


class RowCount(Base):
    """A change in how many rows there are of one kind; their sum is how many there are.

    Triggers of the job and dead letter tables write these, one for each kind that a statement changed, whoever sent it.
    Rows are only added, so that no two writers ever wait for each other; `stats.roll_up_counts` adds them up.
    """

    __tablename__ = "customerio_row_counts"
    __table_args__ = (
        CheckConstraint("counted IN ('job', 'dead_letter')", name="counted_known"),
        CheckConstraint("(counted = 'job') = (status IS NOT NULL)", name="only_job_has_status"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    counted: Mapped[str] = mapped_column(Text)
    """`job`, or `dead_letter` for those that are unresolved."""
    status: Mapped[str | None] = mapped_column(Text)
    sync_phase: Mapped[str] = mapped_column(Text)
    error_type: Mapped[str | None] = mapped_column(Text)
    change: Mapped[int] = mapped_column(BigInteger)
