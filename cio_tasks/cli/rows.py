"""Rows as the command line shows them: in camelCase for scripts, as the API does, and short for people."""

from datetime import UTC, datetime
from typing import Any, Final

from pydantic.alias_generators import to_camel

from cio_tasks.failures import Failure
from cio_tasks.models import Customer, SyncJob
from cio_tasks.redaction import mask_email

JOB: Final = (
    "id",
    "signup_id",
    "sync_phase",
    "status",
    "attempt_count",
    "max_attempts",
    "next_retry_at",
    "last_attempt_at",
    "error_type",
    "error_message",
    "mock",
    "created_at",
    "updated_at",
)
SECONDS_IN: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def job_row(job: SyncJob) -> dict[str, Any]:
    """Return a job as the contract names its parts."""
    return pick(job, JOB)


def failure_row(failure: Failure, *, reveal: bool) -> dict[str, Any]:
    """Return a failure as the contract names its parts; without `reveal` the customer is masked."""
    letter = failure.dead_letter
    return {
        **job_row(failure.job),
        "customer": customer_row(failure.customer, reveal=reveal),
        "operatorId": failure.signup.operator_id,
        "httpStatus": failure.job.http_status,
        "exhaustedRetries": None if letter is None else letter.exhausted_retries,
        "deadLetterId": None if letter is None else str(letter.id),
        "failedAt": None if letter is None else plain(letter.created_at),
    }


def customer_row(customer: Customer, *, reveal: bool) -> dict[str, Any]:
    """Return a customer, whole or masked."""
    names = (customer.first_name, customer.last_name)
    first, last = names if reveal else (f"{name[:1]}." for name in names)
    email = customer.email if reveal else mask_email(customer.email)
    return {"id": str(customer.id), "email": email, "firstName": first, "lastName": last}


def pick(row: Any, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return these columns of a row, as JSON has them."""
    return {to_camel(name): plain(getattr(row, name)) for name in columns}


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value if value is None or isinstance(value, bool | int | float | dict | list) else str(value)


def ago(then: datetime | None) -> str:
    """Return how long ago that was: `37m`, `2h`."""
    return "-" if then is None else span((datetime.now(UTC) - then).total_seconds())


def span(seconds: float) -> str:
    """Return a time in its largest unit: `37m`, `2h`."""
    rounded = max(0, round(seconds))
    unit, size = next(((unit, size) for unit, size in SECONDS_IN if rounded >= size), ("s", 1))
    return f"{rounded // size}{unit}"
