"""The real world in the twin's words: its tables read as a `World`, its clock stopped between two steps.

Time passes only when it is told to. Before each step all times are moved by what really elapsed, and rounded to five
seconds, which every span of the product is a multiple of; so what the database decides is what the twin decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from cio_tasks.db import Sessions
from cio_tasks.event_ids import event_id
from cio_tasks.fake import LedgerEntry, LedgerOperation
from cio_tasks.gate import Reason
from cio_tasks.models import AuditEntry, DeadLetter, Gate, SyncAttempt, SyncJob
from cio_tasks.models import Signup as SignupRow
from cio_tasks.states import JobStatus, Phase
from tests.stateful.rows import EVENTS, Closing, Job, Key, Sent, Signup, Standing, World, id_of, play

GRID: Final = 5
TIMES: Final[Sequence[tuple[Any, Sequence[InstrumentedAttribute[Any]]]]] = (
    (SyncJob, (SyncJob.created_at, SyncJob.updated_at, SyncJob.next_retry_at, SyncJob.last_attempt_at)),
    (Gate, (Gate.closed_at, Gate.closed_until, Gate.probing_until)),
    (SyncAttempt, (SyncAttempt.started_at, SyncAttempt.finished_at)),
)
EMPTY: Final = text("""
    TRUNCATE customers, signups, signup_customerio_sync_jobs, customerio_sync_attempts, customerio_dead_letters,
             audit_logs, customerio_gate, customerio_row_counts RESTART IDENTITY
""")
WITHHELD: Final = ("fault", "unauthorized", "refused")
"""Why the ledger says that an operation was not taken. One that changed nothing was taken all the same."""
UNGUARDED: Final = text("SET LOCAL session_replication_role = replica")
"""The audit refuses to be emptied, and the counts would count it."""
COUNTED: Final = text("""
    SELECT counted, status, sync_phase, error_type, sum(change) FROM customerio_row_counts
     GROUP BY counted, status, sync_phase, error_type HAVING sum(change) <> 0
""")
THERE: Final = text("""
    SELECT 'job', status, sync_phase, error_type, count(*) FROM signup_customerio_sync_jobs
     GROUP BY status, sync_phase, error_type
    UNION ALL
    SELECT 'dead_letter', NULL, sync_phase, error_type, count(*) FROM customerio_dead_letters
     WHERE resolved_at IS NULL GROUP BY sync_phase, error_type
""")


@dataclass
class Database:
    """One database over one example: which signups it has, where its time stands, what of its evidence was read."""

    sessions: Sessions
    signups: list[UUID] = field(default_factory=list)
    now: int = 0
    began: datetime = field(init=False)
    told: dict[UUID, Standing] = field(default_factory=dict)
    read: dict[Any, int] = field(default_factory=lambda: {SyncAttempt: 0, AuditEntry: 0})

    def __post_init__(self) -> None:
        """Begin with nothing."""
        with self.sessions.begin() as session:
            session.execute(UNGUARDED)
            session.execute(EMPTY)
            self.began = session.scalars(select(func.now())).one()

    def settle(self, passed: int = 0) -> None:
        """Begin a step: take back the time that really elapsed, and let `passed` seconds pass instead."""
        with self.sessions.begin() as session:
            self._read_evidence(session)  # first: the times of the audit cannot be moved
            now = session.scalars(select(func.now())).one()
            for model, columns in TIMES:
                moved = {column.key: now + self._on_grid(column, passed) for column in columns}
                session.execute(update(model).values(moved).execution_options(synchronize_session=False))
        self.began = now
        self.now += passed

    def _on_grid(self, column: Any, passed: int) -> ColumnElement[Any]:
        steps = func.floor(func.extract("epoch", column - self.began) / GRID)
        return func.make_interval(0, 0, 0, 0, 0, 0, steps * GRID - passed)

    # --- reading ---

    def world(self) -> World:
        """Return what the tables say. What only memory knows (hands, ledger) is left out."""
        with self.sessions() as session:
            self._read_evidence(session)
            letters = set(session.scalars(select(DeadLetter.job_id).where(DeadLetter.resolved_at.is_(None))))
            jobs = session.scalars(select(SyncJob).order_by(SyncJob.id)).all()
            rows = {row.id: row for row in session.scalars(select(SignupRow))}
            gate = session.scalars(select(Gate).order_by(Gate.reason)).all()
        return World(
            now=self.now,
            signups=tuple(_signup(rows[signup]) for signup in self.signups),
            jobs=tuple(self._job(job, letter=job.id in letters) for job in jobs),
            gate=tuple(self._closing(row) for row in gate),
        )

    def _job(self, job: SyncJob, *, letter: bool) -> Job:
        return Job(
            key=Key(self.signups.index(job.signup_id), Phase(job.sync_phase)),
            status=JobStatus(job.status),
            created_at=self._second(job.created_at) or 0,
            updated_at=self._second(job.updated_at) or 0,
            due_at=self._second(job.next_retry_at),
            retries=job.attempt_count,
            token=job.claim_token,
            version=job.payload_version,
            overtaken=job.overtaken_token == job.claim_token,
            error=job.error_code,
            manual=job.manual_retry,
            letter=letter,
            told=self.told[job.id],
        )

    def _closing(self, row: Gate) -> Closing:
        closed_at, until, probing_until = map(self._second, (row.closed_at, row.closed_until, row.probing_until))
        return Closing(Reason(row.reason), closed_at, until, row.failed_probes, probing_until)

    def _second(self, moment: datetime | None) -> int | None:
        if moment is None:
            return None
        return self.now + int((moment - self.began).total_seconds() // GRID) * GRID

    def _read_evidence(self, session: Session) -> None:
        """Play what was written since this was last called: per job in the order of time, the attempt before its audit."""
        entries = [
            (row.finished_at, 0, row.id, row.job_id, row.outcome, row.retry) for row in self._new(session, SyncAttempt)
        ]
        entries += [
            (row.created_at, 1, row.id, row.job_id, row.action, row.details.get("attemptCount", 0))
            for row in self._new(session, AuditEntry)
            if row.job_id is not None
        ]
        for *_, job_id, action, retries in sorted(entries, key=lambda entry: entry[:3]):
            self.told[job_id] = play(self.told.get(job_id), action, retries)

    def _new(self, session: Session, model: Any) -> Sequence[Any]:
        found = session.scalars(select(model).where(model.id > self.read[model]).order_by(model.id)).all()
        self.read[model] = max((row.id for row in found), default=self.read[model])
        return found

    def job_id(self, key: Key) -> UUID:
        """Return the id of a job."""
        with self.sessions() as session:
            wanted = (SyncJob.signup_id == self.signups[key.signup], SyncJob.sync_phase == key.phase)
            return session.scalars(select(SyncJob.id).where(*wanted)).one()

    def counts(self) -> tuple[set[Any], set[Any]]:
        """Return how many rows of each kind the statistics know, and how many there are."""
        with self.sessions() as session:
            counted, there = ({tuple(row) for row in session.execute(query)} for query in (COUNTED, THERE))
        return counted, there

    # --- the other side ---

    def sent(self, entries: Iterable[LedgerEntry], versions: Sequence[Signup]) -> frozenset[Sent]:
        """Return what the ledger has, in the twin's words."""
        return frozenset(
            self._sent(operation, versions)
            for entry in entries
            for operation in entry["operations"]
            if operation["action"] == "event"
        )

    def _sent(self, operation: LedgerOperation, versions: Sequence[Signup]) -> Sent:
        signup = self.signups.index(UUID(operation["attributes"]["signup_id"]))
        phase = next(phase for phase, event in EVENTS.items() if event == operation["name"])
        key, taken = Key(signup, phase), operation["why"] not in WITHHELD
        for version in range(1, versions[signup].version + 2):
            own = event_id(signup_id=self.signups[signup], phase=phase, event=EVENTS[phase], version=version)
            if own == operation["event_id"]:
                return Sent(key, version, id_of(key, version), taken)
        raise AssertionError(f"I10: {key} was sent with the id {operation['event_id']}")


def _signup(row: SignupRow) -> Signup:
    return Signup(row.extraction_version, row.customerio_sync_failed, row.customerio_synced)
