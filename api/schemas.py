"""What goes out, in camelCase, read from the rows; with what comes in (`cio_tasks.intake`) it makes `/openapi.json`."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from cio_tasks.intake import FieldFault
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

Money = Annotated[Decimal, PlainSerializer(float, return_type=float)]
"""At most twelve digits, which a JSON number holds exactly."""


class Answer(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, from_attributes=True, frozen=True
    )


class Attempt(Answer):
    """One try to deliver a job."""

    retry: int = Field(description="0 for the first delivery, then the number of the retry.")
    outcome: str
    error_type: ErrorType | None
    error_code: str | None
    error_message: str | None
    http_status: int | None
    request_id: str | None
    mock: bool
    started_at: datetime
    finished_at: datetime
    duration_ms: int | None
    next_retry_at: datetime | None


class Job(Answer):
    """The durable intent that one phase of a signup must reach Customer.io."""

    id: UUID
    signup_id: UUID
    sync_phase: Phase
    status: JobStatus
    attempt_count: int
    max_attempts: int
    next_retry_at: datetime | None
    last_attempt_at: datetime | None
    error_type: ErrorType | None
    error_message: str | None
    mock: bool
    created_at: datetime
    updated_at: datetime


class JobWithAttempts(Job):
    """A job and its newest attempts, oldest first."""

    attempts: tuple[Attempt, ...]


class Submitted(Answer):
    """A signup that is stored, with the jobs that it owes."""

    id: UUID
    customer_id: UUID
    sync_jobs: tuple[Job, ...]


class Confirmed(Answer):
    """A signup whose bet slip is stored, with the job that it owes."""

    id: UUID
    sync_jobs: tuple[Job, ...]


class Person(Answer):
    """A customer; masked for those who may not see personal data."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    phone: str | None


class SignupDetails(Answer):
    """A signup: the customer, the bet slip, and what Customer.io knows of it."""

    id: UUID
    external_id: str | None
    operator_id: str
    submitted_at: datetime
    customer: Person
    bet_amount: Money | None
    team_bet_on: str | None
    odds: str | None
    confidence: float | None
    extraction_version: int
    extraction_confirmed_at: datetime | None
    customerio_synced: bool
    customerio_synced_at: datetime | None
    customerio_contact_id: str | None
    customerio_sync_failed: bool
    customerio_sync_error: str | None
    created_at: datetime
    updated_at: datetime
    sync_jobs: tuple[JobWithAttempts, ...]


class WebhookTaken(Answer):
    """A webhook that is stored: now, or when it came before."""

    stored: Literal[True] = True
    duplicate: bool


class Alive(Answer):
    """This process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """Whether this process can serve, and how each part that it needs is."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]


class Problem(Answer):
    """Why a request was not done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldFault, ...] | None = None
