"""Whose personal data is shown to whom."""

from api.schemas import Person
from cio_tasks.models import Customer
from cio_tasks.redaction import mask_email


def show_person(customer: Customer, *, reveal: bool) -> Person:
    """Return a customer as an answer shows them: whole, or masked."""
    person = Person.model_validate(customer)
    return person if reveal else mask_person(person)


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
