"""The demo's summary: what was submitted, what our tables say became of it, and whether the other side's ledger agrees."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import requests
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cio_tasks.event_ids import event_id
from cio_tasks.models import DeadLetter, SyncAttempt, SyncJob
from cio_tasks.phases import EXTRACTION_CONFIRMED, SIGNUP_SUBMITTED
from cio_tasks.states import JobStatus, Phase

EVENT_OF: Final = {Phase.INITIAL: SIGNUP_SUBMITTED, Phase.ENRICHED: EXTRACTION_CONFIRMED}
PAGE: Final = 1_000


@dataclass
class PhaseCount:
    """The jobs of one phase."""

    jobs: int = 0
    completed: int = 0
    dead_lettered: int = 0
    unfinished: int = 0
    confirmed_by_ledger: int = 0


@dataclass
class Reconciliation:
    """The whole account. `faults` says in words what does not add up; it is empty when all does."""

    signups: int = 0
    phases: dict[Phase, PhaseCount] = field(default_factory=lambda: {phase: PhaseCount() for phase in Phase})
    attempts: int = 0
    retries: int = 0
    requests: int | None = None
    repeats: int | None = None
    dead_letters: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def unfinished(self) -> int:
        """How many jobs are neither completed nor in the dead letters."""
        return sum(count.unfinished for count in self.phases.values())


def reconcile(session: Session, signup_ids: Iterable[UUID], *, confirmed: int, fake_url: str | None) -> Reconciliation:
    """Account for these signups: each has its initial job, `confirmed` of them an enriched one, and each job an end.

    With `fake_url`, every completed job must have been acknowledged in the stand-in's ledger under its event id, and the
    ledger must hold no event that is not ours.
    """
    wanted = set(signup_ids)
    account = Reconciliation(signups=len(wanted))
    jobs = session.scalars(select(SyncJob).where(SyncJob.signup_id.in_(wanted))).all()
    letters = set(session.scalars(select(DeadLetter.job_id).where(DeadLetter.resolved_at.is_(None))))
    acknowledged = _read_ledger(fake_url, account) if fake_url else None
    for job in jobs:
        _count(account.phases[Phase(job.sync_phase)], job, letters, acknowledged)
    _count_attempts(session, account, [job.id for job in jobs])
    account.faults += _find_faults(account, jobs, confirmed, acknowledged)
    return account


def _count(count: PhaseCount, job: SyncJob, letters: set[UUID], acknowledged: Counter[str] | None) -> None:
    count.jobs += 1
    if job.status == JobStatus.COMPLETED:
        count.completed += 1
        count.confirmed_by_ledger += acknowledged is not None and expected_event(job) in acknowledged
    elif job.status == JobStatus.FAILED and job.id in letters:
        count.dead_lettered += 1
    else:
        count.unfinished += 1


def expected_event(job: SyncJob) -> str:
    """Return the id of the event that this job delivers."""
    phase = Phase(job.sync_phase)
    return event_id(signup_id=job.signup_id, phase=phase, event=EVENT_OF[phase], version=job.payload_version)


def _count_attempts(session: Session, account: Reconciliation, job_ids: list[UUID]) -> None:
    mine = SyncAttempt.job_id.in_(job_ids)
    retried = func.count().filter(SyncAttempt.retry > 0)
    account.attempts, account.retries = session.execute(select(func.count(), retried).where(mine)).one()
    codes = select(DeadLetter.error_code, func.count()).where(
        DeadLetter.job_id.in_(job_ids), DeadLetter.resolved_at.is_(None)
    )
    account.dead_letters = {row[0]: row[1] for row in session.execute(codes.group_by(DeadLetter.error_code))}


def _find_faults(
    account: Reconciliation, jobs: Iterable[SyncJob], confirmed: int, acknowledged: Counter[str] | None
) -> Iterator[str]:
    initial, enriched = account.phases[Phase.INITIAL], account.phases[Phase.ENRICHED]
    if initial.jobs != account.signups:
        yield f"{account.signups} signups have {initial.jobs} initial jobs"
    if enriched.jobs != confirmed:
        yield f"{confirmed} confirmed signups have {enriched.jobs} enriched jobs"
    for phase, count in account.phases.items():
        if count.unfinished:
            yield f"{count.unfinished} {phase} jobs are neither completed nor in the dead letters"
        if acknowledged is not None and count.confirmed_by_ledger != count.completed:
            yield f"{count.completed - count.confirmed_by_ledger} completed {phase} jobs are not in the ledger"
    if acknowledged is not None:
        foreign = set(acknowledged) - {expected_event(job) for job in jobs}
        if foreign:
            yield f"the ledger holds {len(foreign)} events of nobody"


def _read_ledger(fake_url: str, account: Reconciliation) -> Counter[str]:
    """Return how often each event was acknowledged, noting on `account` the requests and the repeats."""
    acknowledged: Counter[str] = Counter()
    account.requests = account.repeats = 0
    for entry in _entries(fake_url):
        account.requests += 1
        refused = {error.get("batch_index") for error in entry["answer"]["errors"]}
        for index, operation in enumerate(entry["operations"]):
            if operation["action"] == "event" and entry["answer"]["status"] in {200, 207} and index not in refused:
                acknowledged[operation["event_id"]] += 1
                account.repeats += not operation["applied"]
    return acknowledged


def _entries(fake_url: str) -> Iterator[dict[str, Any]]:
    since = 0
    while True:
        page = requests.get(f"{fake_url}/_fake/ledger", params={"since": since, "limit": PAGE}, timeout=30).json()
        if not page["entries"]:
            return
        yield from page["entries"]
        since = page["next"]
