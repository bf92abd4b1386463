"""What we know of a person ourselves: what was owed to Customer.io for them, what became of it, what was reported back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from cio_tasks import phases, queries, webhook_events
from cio_tasks.claims import load_claims
from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.telling import iso
from cio_tasks.errors import PayloadError
from cio_tasks.models import Customer, DeadLetter, Signup, SyncAttempt, SyncJob, WebhookEvent
from cio_tasks.redaction import UNSHOWABLE
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import GateState, read_gate

NEWEST_SIGNUPS: Final = 50
NEWEST: Final = 50
"""So many attempts, dead letters and webhooks are read of each kind."""
CIO_ID: Final = "cio_"
"""What Customer.io's own ids begin with when people write them."""
NO_DATABASE: Final = Failure(Trouble.NO_KEY, "no_database", "DATABASE_URL is not set")


class Kind(StrEnum):
    """What a user is named by."""

    ID = "id"
    """Customer.io's id, which is our customer's."""

    EMAIL = "email"
    CIO_ID = "cio_id"
    SIGNUP = "signup"


class Wanted(NamedTuple):
    """Whom somebody asks for. Without a `kind`, the text is taken as it looks."""

    text: str
    kind: Kind | None = None

    @property
    def looks(self) -> Kind:
        """What it names somebody by; an id may still turn out to be a signup's."""
        if self.kind is not None:
            return self.kind
        if self.text.startswith(CIO_ID):
            return Kind.CIO_ID
        return Kind.EMAIL if "@" in self.text else Kind.ID


class Sent(NamedTuple):
    """An event that Customer.io has taken from us; `at` is the time that it carries."""

    name: str
    at: datetime
    job: SyncJob


@dataclass(frozen=True, slots=True)
class OwnSide:
    """Our rows about one person, each list newest first. Without a customer they are nobody of ours."""

    gate: GateState
    customer: Customer | None = None
    signups: tuple[Signup, ...] = ()
    jobs: tuple[SyncJob, ...] = ()
    attempts: tuple[SyncAttempt, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    webhooks: tuple[WebhookEvent, ...] = ()
    expected: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The attributes that the completed jobs would send again, the newest of each."""
    sent: tuple[Sent, ...] = ()

    @property
    def initial_jobs(self) -> list[SyncJob]:
        """The jobs that make the person."""
        return [job for job in self.jobs if job.sync_phase == Phase.INITIAL]

    def count_reported(self, metric: str) -> int:
        """Return how many e-mails the webhooks say came to that."""
        told = [one for one in self.webhooks if one.metric == metric and one.object_type == "email"]
        return len({one.delivery_id or one.event_id for one in told})

    def as_json(self, mask: Mask) -> dict[str, Any]:
        """Return the rows in camelCase, as the HTTP API names their columns."""
        return {
            "known": self.customer is not None,
            "customer": None if self.customer is None else mask.value(_customer(self.customer)),
            "signups": [_columns(one, SIGNUP, mask) for one in self.signups],
            "jobs": [_columns(one, JOB, mask) for one in self.jobs],
            "attempts": [_columns(one, ATTEMPT, mask) for one in self.attempts],
            "deadLetters": [_columns(one, LETTER, mask) for one in self.dead_letters],
            "webhooks": [_columns(one, WEBHOOK, mask) for one in self.webhooks],
            "gate": {"open": self.gate.open, "reasons": [reason.reason.value for reason in self.gate.reasons]},
        }


def read_own_side(sessions: Sessions, wanted: Wanted) -> OwnSide | Failure:
    """Return what the database knows of a person, or why it cannot be asked."""

    def read(session: Session) -> OwnSide:
        customer = _find(session, wanted)
        return OwnSide(read_gate(session)) if customer is None else _read(session, customer)

    return ask_database(sessions, read)


def ask_database(sessions: Sessions, question: Callable[[Session], Any]) -> Any | Failure:
    """Return what `question` reads, or the failure that the database did not answer."""
    try:
        with sessions() as session:
            return question(session)
    except (OperationalError, InterfaceError):
        return Failure(Trouble.UNREACHABLE, "database_unavailable", "the database cannot be reached, or broke off")
    except DBAPIError:
        detail = "the database does not have the tables that this release needs: ciosync db check"
        return Failure(Trouble.UNREADABLE, "database_schema", detail)
    except SQLAlchemyError:
        return Failure(Trouble.UNREACHABLE, "database_unavailable", "the database gave no connection in time")


def _find(session: Session, wanted: Wanted) -> Customer | None:
    if UNSHOWABLE.search(wanted.text):
        return None
    if wanted.looks is Kind.EMAIL:
        return queries.find_customer_by_email(session, wanted.text)
    try:
        identifier = UUID(wanted.text)
    except ValueError:
        return None
    customer = queries.find_customer(session, identifier)
    is_named = customer is not None and customer.id == identifier
    wrong_kind = Kind.SIGNUP if is_named else Kind.ID
    return None if wanted.kind is wrong_kind else customer


def _read(session: Session, customer: Customer) -> OwnSide:
    signups = queries.list_signups_of(session, customer.id, limit=NEWEST_SIGNUPS)
    jobs = queries.list_jobs_of(session, [signup.id for signup in signups])
    expected, sent = _what_was_sent(session, jobs)
    return OwnSide(
        gate=read_gate(session),
        customer=customer,
        signups=tuple(signups),
        jobs=tuple(jobs),
        attempts=tuple(queries.list_attempts_of(session, [job.id for job in jobs], limit=NEWEST)),
        dead_letters=tuple(queries.list_dead_letters_of(session, [one.id for one in signups], limit=NEWEST)),
        webhooks=tuple(webhook_events.list_of_person(session, str(customer.id), NEWEST)),
        expected=expected,
        sent=sent,
    )


def _what_was_sent(session: Session, jobs: Iterable[SyncJob]) -> tuple[dict[str, Any], tuple[Sent, ...]]:
    """Build the completed jobs anew: what Customer.io keeps of an attribute is the one with the newest time."""
    done = [job for job in jobs if job.status == JobStatus.COMPLETED and not job.mock]
    stamped: list[tuple[int, dict[str, Any]]] = []
    sent: list[Sent] = []
    for job, claim in zip(done, load_claims(session, done), strict=True):
        try:
            person, event = phases.build(claim)
        except PayloadError:
            continue
        stamped.append((person["timestamp"], person["attributes"]))
        at = claim.signup.submitted_at if claim.phase is Phase.INITIAL else claim.signup.extraction_confirmed_at
        sent.append(Sent(event["name"], at or job.updated_at, job))
    expected = {}
    for _, attributes in sorted(stamped, key=lambda one: one[0]):
        expected.update(attributes)
    return expected, tuple(sent)


# --- as JSON ----------------------------------------------------------------------------------------------------------

SIGNUP: Final = {
    "id": "id",
    "operatorId": "operator_id",
    "submittedAt": "submitted_at",
    "synced": "customerio_synced",
    "syncFailed": "customerio_sync_failed",
}
JOB: Final = {
    "id": "id",
    "signupId": "signup_id",
    "syncPhase": "sync_phase",
    "status": "status",
    "attemptCount": "attempt_count",
    "maxAttempts": "max_attempts",
    "nextRetryAt": "next_retry_at",
    "lastAttemptAt": "last_attempt_at",
    "completedAt": "completed_at",
    "errorType": "error_type",
    "errorMessage": "error_message",
    "httpStatus": "http_status",
    "mock": "mock",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}
ATTEMPT: Final = {
    "jobId": "job_id",
    "retry": "retry",
    "outcome": "outcome",
    "errorType": "error_type",
    "errorCode": "error_code",
    "errorMessage": "error_message",
    "httpStatus": "http_status",
    "requestId": "request_id",
    "finishedAt": "finished_at",
    "durationMs": "duration_ms",
}
LETTER: Final = {
    "id": "id",
    "jobId": "job_id",
    "syncPhase": "sync_phase",
    "errorType": "error_type",
    "errorMessage": "error_message",
    "httpStatus": "http_status",
    "exhaustedRetries": "exhausted_retries",
    "createdAt": "created_at",
    "resolvedAt": "resolved_at",
    "resolution": "resolution",
}
WEBHOOK: Final = {
    "eventId": "event_id",
    "objectType": "object_type",
    "metric": "metric",
    "deliveryId": "delivery_id",
    "campaignId": "campaign_id",
    "happenedAt": "happened_at",
    "receivedAt": "received_at",
}


def _customer(customer: Customer) -> dict[str, Any]:
    names = {"firstName": customer.first_name, "lastName": customer.last_name}
    return {"id": str(customer.id), "email": customer.email, **names, "phone": customer.phone}


def _columns(row: Any, columns: Mapping[str, str], mask: Mask) -> dict[str, Any]:
    return {name: _plain(getattr(row, column), mask) for name, column in columns.items()}


def _plain(value: Any, mask: Mask) -> Any:
    match value:
        case datetime():
            return iso(value)
        case UUID():
            return str(value)
        case str():
            return mask.text(value)
    return value
