"""Whose personal data is shown to whom."""

from api.job_schemas import FailedPerson, SyncFailure
from api.schemas import Job, Person
from cio_tasks.failures import Failure
from cio_tasks.models import Customer
from cio_tasks.redaction import mask_email


def show_person(customer: Customer, *, reveal: bool) -> Person:
    """Return a customer as an answer shows them: whole, or masked."""
    person = Person.model_validate(customer)
    return person if reveal else mask_person(person)


def show_failure(failure: Failure, *, reveal: bool) -> SyncFailure:
    """Return a failure as an answer shows it: its customer whole, or masked."""
    person, letter = show_person(failure.customer, reveal=reveal), failure.dead_letter
    return SyncFailure(
        **dict(Job.model_validate(failure.job)),
        customer=FailedPerson.model_validate(person),
        operator_id=failure.signup.operator_id,
        http_status=failure.job.http_status,
        exhausted_retries=None if letter is None else letter.exhausted_retries,
        dead_letter_id=None if letter is None else letter.id,
        failed_at=None if letter is None else letter.created_at,
    )


def mask_person(person: Person) -> Person:
    """Return a person by initials, the ends of the e-mail address and the last two characters of the phone number."""
    return Person(
        id=person.id,
        email=mask_email(person.email),
        first_name=_initial(person.first_name),
        last_name=_initial(person.last_name),
        phone=None if person.phone is None else f"•••{person.phone[-2:]}",
    )


def _initial(name: str) -> str:
    return f"{name[:1]}."
