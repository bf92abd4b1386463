"""What incidents leave in the database: attempts, webhooks, dead letters, heartbeats and changes of the gate."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select

from cio_tasks import counters, webhook_events
from cio_tasks.customerio.webhooks import Event
from cio_tasks.models import AuditEntry, DeadLetter, Heartbeat, SyncAttempt, WebhookEvent
from tests.factories import Factory

NOW = timedelta(seconds=5)
LIMITED: dict[str, Any] = {"error_type": "rate_limit", "error_code": "http_429", "http_status": 429}
BROKEN: dict[str, Any] = {"error_type": "server_error", "error_code": "http_503", "http_status": 503}


@dataclass
class Past:
    """Writes what happened, some time ago."""

    make: Factory
    _job_id: UUID | None = None
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def job_id(self) -> UUID:
        """A job for all attempts."""
        if self._job_id is None:
            self._job_id = self.make.job(self.make.signup()).id
            self.make.set(self._job_id, status="completed", completed_at=func.now())
        return self._job_id

    def delivered(self, number: int, *, ago: timedelta = NOW, **columns: Any) -> None:
        """Let so many attempts have got through."""
        self._attempts(number, ago, {"outcome": "delivered", "http_status": 200, **columns})

    def failed(self, number: int, *, ago: timedelta = NOW, **columns: Any) -> None:
        """Let so many attempts have failed, by default with a 503."""
        self._attempts(number, ago, {"outcome": "retry_later", **BROKEN, **columns})

    def _attempts(self, number: int, ago: timedelta, columns: dict[str, Any]) -> None:
        at = func.now() - ago
        shared = {"job_id": self.job_id, "retry": 0, "started_at": at, "finished_at": at, **columns}
        rows = [{**shared, "claim_token": 1_000 + next(self._numbers)} for _ in range(number)]
        with self.make.sessions.begin() as session:
            for row in rows:
                session.execute(insert(SyncAttempt).values(**row))

    def reported(self, number: int, metric: str, *, ago: timedelta = NOW, **read: Any) -> None:
        """Let so many reports of e-mails have come in."""
        with self.make.sessions.begin() as session:
            now = session.execute(select(func.now())).scalar_one()
            for _ in range(number):
                event = Event(f"e{next(self._numbers)}", **{"object_type": "email", "metric": metric, **read})
                webhook_events.store(session, event, body=b"{}", signed_at=now)
                row = select(WebhookEvent).where(WebhookEvent.event_id == event.event_id)
                session.scalars(row).one().received_at = now - ago

    def counted(self, **results: int) -> None:
        """Let the receiver have counted these results."""
        with self.make.sessions.begin() as session:
            for label, number in results.items():
                counters.add("webhooks", label, number)
            counters.flush(session)

    def worker(self, name: str, *, release: str | None, ago: timedelta = timedelta(days=1)) -> None:
        """Let a worker live that began so long ago."""
        with self.make.sessions.begin() as session:
            row = Heartbeat(process=name, kind="worker", version="0.1.0", release=release)
            row.started_at = session.execute(select(func.now() - ago)).scalar_one()
            session.add(row)

    def buried(self, number: int, *, ago: timedelta = NOW, **columns: Any) -> None:
        """Let so many jobs have failed for good."""
        for _ in range(number):
            job = self.make.job(self.make.signup())
            self.make.set(job.id, status="failed", **BROKEN, error_message="server error")
            facts = {"job_id": job.id, "signup_id": job.signup_id, "sync_phase": "initial", "attempt_count": 5}
            facts |= {**BROKEN, "error_message": "server error", "exhausted_retries": True, **columns}
            with self.make.sessions.begin() as session:
                session.execute(insert(DeadLetter).values(created_at=func.now() - ago, **facts))

    def audited(self, action: str, *, ago: timedelta, actor: str = "system", **details: Any) -> None:
        """Let an audit row have been written."""
        with self.make.sessions.begin() as session:
            row = {"action": action, "actor": actor, "details": details}
            session.execute(insert(AuditEntry).values(created_at=func.now() - ago, **row))
