"""What tests are made of: signups in the database, in whatever state a test begins with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from cio_tasks.db import Sessions
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.models import Customer, Signup, SyncAttempt, SyncJob
from cio_tasks.states import Phase

BET_SLIP = {"bet_amount": Decimal("25.50"), "team_bet_on": "Rovers", "odds": "+150", "confidence": 0.9}


@dataclass
class Factory:
    """Makes and reads rows, each call in a transaction of its own."""

    sessions: Sessions
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def signup(self, email: str | None = None, *, enqueue: bool = True, **columns: Any) -> Signup:
        """Return a new signup with its initial job."""
        customer_columns = {name: columns.pop(name) for name in ("first_name", "last_name", "phone") if name in columns}
        with self.sessions.begin() as session:
            person = {"first_name": "Ada", "last_name": "Lovelace", **customer_columns}
            customer = Customer(email=email or f"ada{next(self.numbers)}@example.com", **person)
            signup = Signup(customer=customer, operator_id="op-1", **columns)
            session.add(signup)
            if enqueue:
                enqueue_sync(session, signup, Phase.INITIAL)
        return signup

    def confirm(self, signup: Signup, **bet_slip: Any) -> SyncJob:
        """Confirm the extraction, as the API does, and return the enriched job."""
        with self.sessions.begin() as session:
            row = session.get_one(Signup, signup.id, with_for_update=True)
            now = session.scalar(select(func.now()))
            for name, value in {**BET_SLIP, **bet_slip, "extraction_confirmed_at": now}.items():
                setattr(row, name, value)
            row.extraction_version += 1
            return enqueue_sync(session, row, Phase.ENRICHED)

    def job(self, signup: Signup, phase: Phase = Phase.INITIAL) -> SyncJob:
        """Return the job of a signup as it is now."""
        with self.sessions() as session:
            return session.scalars(
                select(SyncJob).where(SyncJob.signup_id == signup.id, SyncJob.sync_phase == phase)
            ).one()

    def set(self, job_id: UUID, **columns: Any) -> None:
        """Overwrite columns of a job, as time or another process would have."""
        with self.sessions.begin() as session:
            session.execute(update(SyncJob).where(SyncJob.id == job_id).values(**columns))

    def make_due(self, job_id: UUID) -> None:
        """Let the time of a waiting job come."""
        self.set(job_id, next_retry_at=func.now() - timedelta(seconds=1))

    def all(self, model: Any, **equal: Any) -> list[Any]:
        """Return all rows of a table, in the order of their ids."""
        with self.sessions() as session:
            return list(session.scalars(select(model).filter_by(**equal).order_by(model.id)))

    def attempts(self, job: SyncJob) -> list[SyncAttempt]:
        """Return the attempts of a job, oldest first."""
        return self.all(SyncAttempt, job_id=job.id)
