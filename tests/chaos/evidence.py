"""What a run leaves behind for the checker: the client's log, the tables, and the ledger of the other side.

Nothing here asks the product what happened: the tables are read as SQL, the ledger as the file that it is.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, text

EVENT_PHASES: Final = {"signup_submitted": "initial", "signup_extraction_confirmed": "enriched"}
SUCCESS: Final = (200, 207)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One thing that the client asked for, over all its tries. `outcome` is accepted, refused or unknown.

    `doomed` says that Customer.io is going to refuse it for good, so that a dead letter is what it must become.
    """

    key: str
    kind: str
    external_id: str
    outcome: str
    began_at: float
    ended_at: float
    tries: int = 1
    signup_id: str | None = None
    bet_amount: float | None = None
    doomed: bool = False


@dataclass(frozen=True, kw_only=True)
class Signup:
    """A signup as the database has it."""

    id: str
    external_id: str
    extraction_version: int = 0
    bet_amount: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the database has it."""

    id: str
    signup_id: str
    phase: str
    status: str
    attempt_count: int = 0
    claim_token: int = 1
    has_open_letter: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt; times are unix seconds of the database's clock. `sent` tells whether it had a request."""

    job_id: str
    token: int
    retry: int
    outcome: str
    started_at: float
    finished_at: float
    error_type: str | None = None
    error_code: str | None = None
    sent: bool = True


@dataclass(frozen=True, kw_only=True)
class Audit:
    """An audit entry."""

    id: int
    at: float
    action: str
    job_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A dead letter, resolved or not."""

    job_id: str
    error_type: str
    error_code: str
    exhausted_retries: bool


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An event of ours in one request of the ledger. `taken`: Customer.io has it, now or from before.

    `status` is the answer that was planned, None for none; `size` counts the operations of the request.
    """

    seq: int
    at: float
    signup_id: str
    phase: str
    event_id: str
    timestamp: float | None
    attributes: dict[str, Any]
    status: int | None = 200
    taken: bool = True
    fault: str | None = None
    size: int = 2


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A fault that the nemesis meant to cause; `struck` tells whether it did."""

    name: str
    began_at: float
    ended_at: float
    struck: bool = True
    kills: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run set out to do at least."""

    signups: int = 0
    kills: int = 0
    strikes: dict[str, int] = field(default_factory=dict)
    """How many faults whose names begin so."""
    faults: int = 0
    """How many of whatever kind."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What somebody saw who looked at the system all the while. Each text says what was wrong, for a person to read."""

    stuck: Sequence[tuple[str, float]] = ()
    """Jobs that nobody took while everything was well, and for how many seconds."""
    leaks: Sequence[tuple[str, str]] = ()
    """Places, and what was seen there that must not be."""
    grown: Sequence[tuple[str, str]] = ()
    """Kinds of processes, and how they grew."""
    deadlocks: int = 0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All of it."""

    plan: Plan = field(default_factory=Plan)
    observed: Observed = field(default_factory=Observed)
    requests: Sequence[Request] = ()
    signups: Sequence[Signup] = ()
    jobs: Sequence[Job] = ()
    attempts: Sequence[Attempt] = ()
    audit: Sequence[Audit] = ()
    dead_letters: Sequence[DeadLetter] = ()
    sent: Sequence[Sent] = ()
    webhooks: Sequence[str] = ()
    """The ids of the webhooks' events that are stored."""
    strikes: Sequence[Strike] = ()


# --- the tables -------------------------------------------------------------------------------------------------------

SIGNUPS: Final = "SELECT id, external_id, extraction_version, bet_amount FROM signups"
JOBS: Final = """
    SELECT j.id, j.signup_id, j.sync_phase, j.status, j.attempt_count, j.claim_token,
           EXISTS (SELECT FROM customerio_dead_letters d WHERE d.job_id = j.id AND d.resolved_at IS NULL) AS has_letter
    FROM signup_customerio_sync_jobs j
"""
ATTEMPTS: Final = """
    SELECT job_id, claim_token, retry, outcome, started_at, finished_at, error_type, error_code,
           request_id IS NOT NULL AS sent
    FROM customerio_sync_attempts ORDER BY job_id, claim_token
"""
AUDIT: Final = "SELECT id, created_at, action, job_id, details FROM audit_logs ORDER BY id"
WEBHOOKS: Final = "SELECT event_id FROM customerio_webhook_events"
LETTERS: Final = "SELECT job_id, error_type, error_code, exhausted_retries FROM customerio_dead_letters"


def read_tables(engine: Engine) -> dict[str, Any]:
    """Return what the database says, as the keywords of `Evidence`."""
    with engine.connect() as connection:

        def rows(statement: str) -> Iterable[Any]:
            return connection.execute(text(statement))

        return {
            "signups": [
                Signup(
                    id=str(row.id),
                    external_id=row.external_id or "",
                    extraction_version=row.extraction_version,
                    bet_amount=None if row.bet_amount is None else float(row.bet_amount),
                )
                for row in rows(SIGNUPS)
            ],
            "jobs": [_job(row) for row in rows(JOBS)],
            "attempts": [_attempt(row) for row in rows(ATTEMPTS)],
            "audit": [_audit(row) for row in rows(AUDIT)],
            "webhooks": [row.event_id for row in rows(WEBHOOKS)],
            "dead_letters": [DeadLetter(**{**row._mapping, "job_id": str(row.job_id)}) for row in rows(LETTERS)],
        }


def _job(row: Any) -> Job:
    return Job(
        id=str(row.id),
        signup_id=str(row.signup_id),
        phase=row.sync_phase,
        status=row.status,
        attempt_count=row.attempt_count,
        claim_token=row.claim_token,
        has_open_letter=row.has_letter,
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        job_id=str(row.job_id),
        token=row.claim_token,
        retry=row.retry,
        outcome=row.outcome,
        started_at=_unix(row.started_at),
        finished_at=_unix(row.finished_at),
        error_type=row.error_type,
        error_code=row.error_code,
        sent=row.sent,
    )


def _audit(row: Any) -> Audit:
    job_id = str(row.job_id) if row.job_id else None
    return Audit(id=row.id, at=_unix(row.created_at), action=row.action, job_id=job_id, details=dict(row.details))


def _unix(moment: datetime) -> float:
    return moment.timestamp()


# --- the ledger -------------------------------------------------------------------------------------------------------


def read_ledger(path: Path) -> list[Sent]:
    """Return the events of ours in a ledger file, in order of arrival. A last line cut short is left out."""
    found: list[Sent] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                found += _events_of(json.loads(line))
    return found


def _events_of(entry: dict[str, Any]) -> Iterable[Sent]:
    refused = {error.get("batch_index") for error in entry["answer"]["errors"]}
    for index, operation in enumerate(entry["operations"]):
        phase = EVENT_PHASES.get(operation["name"] or "")
        if phase is None or operation["event_id"] is None:
            continue
        yield Sent(
            seq=entry["seq"],
            at=entry["at"],
            signup_id=operation["attributes"].get("signup_id", ""),
            phase=phase,
            event_id=operation["event_id"],
            timestamp=operation["timestamp"],
            attributes=operation["attributes"],
            status=entry["answer"]["status"],
            taken=index not in refused and (operation["applied"] or operation["why"] == "duplicate"),
            fault=entry["answer"]["fault"],
            size=len(entry["operations"]),
        )
