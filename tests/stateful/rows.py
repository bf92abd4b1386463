"""What the twin of the state machine is made of: values, so that a whole world can be compared, kept and gone back to."""

from datetime import timedelta
from functools import cache
from typing import Final, NamedTuple
from uuid import UUID

from cio_tasks.backoff import MAX_RETRIES
from cio_tasks.event_ids import event_id
from cio_tasks.gate import Reason
from cio_tasks.outcomes import Outcome
from cio_tasks.phases import EXTRACTION_CONFIRMED, SIGNUP_SUBMITTED
from cio_tasks.states import JobStatus, Phase

EVENTS: Final = {Phase.INITIAL: SIGNUP_SUBMITTED, Phase.ENRICHED: EXTRACTION_CONFIRMED}
TERMINAL: Final = (JobStatus.COMPLETED, JobStatus.FAILED)


def seconds(span: timedelta) -> int:
    """Return a span in whole seconds, which all of the product's are."""
    return round(span.total_seconds())


class Key(NamedTuple):
    """Which job: the number of its signup, and the phase."""

    signup: int
    phase: Phase


class Standing(NamedTuple):
    """Where a job stands as far as its attempts and its audit tell."""

    status: JobStatus
    retries: int = 0


class Job(NamedTuple):
    """A row of the job table. Times are seconds of the virtual clock."""

    key: Key
    status: JobStatus
    created_at: int
    updated_at: int
    due_at: int | None = None
    retries: int = 0
    token: int = 0
    version: int = 1
    overtaken: bool = False
    """Whether a newer version was confirmed during the last claim."""
    error: str | None = None
    manual: bool = False
    letter: bool = False
    """Whether there is an unresolved dead letter."""
    told: Standing = Standing(JobStatus.PENDING)
    """What its evidence says, played from the start."""


class Signup(NamedTuple):
    """What of a signup matters: how often its bet slip was confirmed, and its flags."""

    version: int = 0
    failed: bool = False
    synced: bool = False


class Claim(NamedTuple):
    """What a worker holds."""

    key: Key
    token: int
    retries: int
    version: int
    initial_failed: bool


class Hand(NamedTuple):
    """A worker with a claim: what it met, once it has sent. `asked`: a request was spent on it."""

    claim: Claim
    outcome: Outcome | None = None
    asked: bool = False


class Sent(NamedTuple):
    """A request as Customer.io's ledger has it."""

    key: Key
    version: int
    event_id: str
    taken: bool


class Closing(NamedTuple):
    """A row of the gate."""

    reason: Reason
    closed_at: int | None = None
    until: int | None = None
    failed_probes: int = 0
    probing_until: int | None = None


class Noticed(NamedTuple):
    """What the gate reads of the attempts: the newest answers, those of the last seconds, and the probes that failed."""

    answers: tuple[str, ...] = ()
    recent: tuple[tuple[int, bool], ...] = ()
    probes: tuple[tuple[Key, int], ...] = ()


class World(NamedTuple):
    """Everything there is."""

    now: int = 0
    signups: tuple[Signup, ...] = ()
    jobs: tuple[Job, ...] = ()
    """In the order in which they were made."""
    gate: tuple[Closing, ...] = ()
    noticed: Noticed = Noticed()
    sent: frozenset[Sent] = frozenset()
    hands: tuple[Hand | None, ...] = (None, None)
    seen: tuple[Claim, ...] | None = None
    """What the cleanup has found stuck and not taken back yet."""

    def find(self, key: Key) -> Job | None:
        """Return a job, if there is one."""
        return next((job for job in self.jobs if job.key == key), None)

    def job(self, key: Key) -> Job:
        """Return a job."""
        return next(job for job in self.jobs if job.key == key)

    def put(self, job: Job) -> "World":
        """Return the world in which this job is so."""
        return self._replace(jobs=tuple(job if other.key == job.key else other for other in self.jobs))

    def hold(self, worker: int, hand: Hand | None) -> "World":
        """Return the world in which a worker holds this."""
        return self._replace(hands=(*self.hands[:worker], hand, *self.hands[worker + 1 :]))


@cache
def id_of(key: Key, version: int) -> str:
    """Return the id of a job's event."""
    return event_id(signup_id=UUID(int=key.signup), phase=key.phase, event=EVENTS[key.phase], version=version)


class Contradiction(Exception):
    """The evidence cannot have come about."""


def play(told: Standing | None, action: str, retries: int = 0) -> Standing:
    """Return where a job stands after one more entry: the outcome of an attempt, or the action of an audit row.

    `retries` is what the entry says had been used. The attempt comes before the audit of the same transaction.
    """
    if told is None:
        return Standing(JobStatus.PENDING) if action == "enqueued" else _refuse(told, action)
    match action:
        case "reset":
            return Standing(JobStatus.PENDING)
        case "manual_retry" | "revived" if told.status is JobStatus.FAILED:
            return Standing(JobStatus.PENDING)
        case "customerio_synced" if told.status is JobStatus.PENDING:
            return Standing(JobStatus.COMPLETED, retries)
        case "customerio_sync_failed" if told.status is JobStatus.PENDING:
            return Standing(JobStatus.FAILED, retries)
        case "reset_stuck":
            return told
    return _play_attempt(told, action, retries)


def _play_attempt(told: Standing, outcome: str, retries: int) -> Standing:
    if told != (JobStatus.PENDING, retries):
        return _refuse(told, outcome)
    match outcome:
        case "released":
            return told
        case "delivered" | "rejected":
            return Standing(JobStatus.PENDING)  # superseded, unless the audit says that it ended
        case "retry_later" | "worker_lost":  # the last one ends the job, or was superseded
            return Standing(JobStatus.PENDING, retries + 1 if retries < MAX_RETRIES else 0)
    return _refuse(told, outcome)


def _refuse(told: Standing | None, action: str) -> Standing:
    raise Contradiction(f"{action} of a job that is {told}")
