"""What our own side adds: why there is no profile, which job failed, which one waits, and what keeps it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cio_tasks.diagnostics.own_side import OwnSide
from cio_tasks.diagnostics.person_report import PersonReport, got
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.diagnostics.trigger_history import TRIGGERS
from cio_tasks.findings import Finding, Severity
from cio_tasks.models import Signup, SyncJob
from cio_tasks.redaction import redact
from cio_tasks.states import JobStatus, Phase

ON_ITS_WAY: Final = timedelta(minutes=10)
"""So long a profile may take to show after a 200; Customer.io names no time, and its status page tells of delays."""
OVERDUE: Final = timedelta(minutes=1)
"""A job that waits longer than this, and could run, is worth a word."""
SHOWN_ERROR: Final = 120


# --- no profile -------------------------------------------------------------------------------------------------------


def judge_missing_profile(report: PersonReport) -> Iterator[Finding]:
    """Yield that there is no profile and, from what we did for this person, why (row L14)."""
    ours = report.ours
    if ours is None:
        what_next = "set DATABASE_URL, or repair the database, to see whether we have sent them"
        yield _missing("and our own database could not be asked whether we have sent them", what_next)
    elif ours.customer is None:
        yield _missing("and we have no such customer", "look at the id or the address again")
    else:
        yield _why_missing(report, ours)
    namesakes = got(report.customerio.namesakes)
    if namesakes:
        message = "Customer.io knows the address under another id: what we send may be attached there or dropped"
        yield Finding(Severity.HIGH, "address_taken", message, "look for that address in the workspace, then merge")


def _why_missing(report: PersonReport, ours: OwnSide) -> Finding:
    jobs = {status: job for status in JobStatus for job in ours.initial_jobs if job.status == status}
    taken = [job for job in ours.initial_jobs if job.status == JobStatus.COMPLETED and not job.mock]
    if taken:
        return _sent_and_gone(report.at, max(job.completed_at or job.updated_at for job in taken))
    if JobStatus.COMPLETED in jobs:
        return _missing(
            "because our job was done in mock mode: nothing was sent",
            "set CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY, then send the signup again",
        )
    if failed := jobs.get(JobStatus.FAILED):
        return _missing("because our initial job failed", f"ciosync failures retry {failed.id}")
    if waiting := jobs.get(JobStatus.PENDING) or jobs.get(JobStatus.PROCESSING):
        return _missing("because we have not sent them yet: the initial job waits", f"ciosync jobs show {waiting.id}")
    return _missing("because we never sent them: no signup of theirs has a job", "enqueue the signup's initial phase")


def _sent_and_gone(now: datetime, sent_at: datetime) -> Finding:
    when = f"although Customer.io took them from us {age(now - sent_at)} ago"
    if now - sent_at < ON_ITS_WAY:
        return _missing(f"{when}: they may be on their way", "ask again in some minutes; else look at the status page")
    guess = "suppressed in Customer.io or deleted there, which no API tells, or still being processed"
    return _missing(
        f"{when}: {guess}",
        "search the id in the workspace, among people and in the activity log; unsuppress if need be",
    )


def _missing(why: str, what_next: str) -> Finding:
    return Finding(Severity.HIGH, "profile_not_found", f"Customer.io has no profile, {why}", what_next)


# --- jobs and gate ----------------------------------------------------------------------------------------------------


def judge_sync(report: PersonReport) -> Iterator[Finding]:
    """Yield what keeps our data about a person from Customer.io."""
    ours = report.ours
    if ours is None or ours.customer is None:
        return
    signups = {signup.id: signup for signup in ours.signups}
    for job in ours.jobs:
        yield from _judge_job(job, signups.get(job.signup_id), report.at)
    waiting = [job for job in ours.jobs if job.status == JobStatus.PENDING]
    if waiting and not ours.gate.open:
        reasons = ", ".join(reason.reason.value for reason in ours.gate.reasons)
        message = f"the gate is closed ({reasons}): {counted(len(waiting), 'job')} of this person cannot run"
        yield Finding(Severity.MEDIUM, "gate_closed", message, "ciosync gate show")
    if any(job.mock for job in ours.jobs):
        message = "a job was done in mock mode: nothing of it reached Customer.io"
        yield Finding(Severity.MEDIUM, "mock", message, "set the Track credentials, then send the signup again")


def _judge_job(job: SyncJob, signup: Signup | None, now: datetime) -> Iterator[Finding]:
    match job.status:
        case JobStatus.FAILED:
            message = f"{job.sync_phase} sync failed after {job.attempt_count}/{job.max_attempts} retries{_error(job)}"
            yield Finding(Severity.HIGH, "sync_failed", message, f"ciosync failures retry {job.id}")
        case JobStatus.PENDING if job.attempt_count > 0:
            message = f"{job.sync_phase} sync waits for retry {job.attempt_count}/{job.max_attempts}{_error(job)}"
            yield Finding(Severity.MEDIUM, "sync_failed", message, f"ciosync jobs show {job.id}")
        case JobStatus.PENDING if now - job.created_at > OVERDUE:
            message = f"{job.sync_phase} sync waits since {age(now - job.created_at)}, not tried yet"
            yield Finding(Severity.MEDIUM, "sync_waiting", message, "do workers run, is the gate open? ciosync stats")
        case JobStatus.COMPLETED:
            return
    happened = _happened_at(job, signup)
    if happened is not None and now - happened > TRIGGERS:
        message = f"the {job.sync_phase} event is older than 72 h: sent now, it triggers no campaign"
        yield Finding(
            Severity.MEDIUM, "event_too_old", message, "the profile is still worth it; send the message by hand"
        )


def _happened_at(job: SyncJob, signup: Signup | None) -> datetime | None:
    if signup is None:
        return None
    return signup.submitted_at if job.sync_phase == Phase.INITIAL else signup.extraction_confirmed_at


def _error(job: SyncJob) -> str:
    said = redact(job.error_message or "", limit=SHOWN_ERROR)
    kind = job.error_type or "unknown error"
    return f": {kind}, {said}" if said else f": {kind}"
