"""A stand-in Customer.io over real HTTP: Track API v1 and v2, faults on request, and a ledger of all that was asked."""

from cio_tasks.fake.ledger import Ledger, LedgerAnswer, LedgerEntry, LedgerOperation
from cio_tasks.fake.people import Effect, People
from cio_tasks.fake.person import PersonRecord
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.server import FakeCustomerIO, serve

__all__ = [
    "Effect",
    "FakeCustomerIO",
    "Ledger",
    "LedgerAnswer",
    "LedgerEntry",
    "LedgerOperation",
    "People",
    "PersonRecord",
    "Scenario",
    "serve",
]
