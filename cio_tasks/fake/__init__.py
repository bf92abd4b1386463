"""A stand-in Customer.io over real HTTP: Track API v1 and v2, App API, status page, webhooks, faults, and a ledger."""

from cio_tasks.fake.app_scenario import AppScenario
from cio_tasks.fake.cast import CAST
from cio_tasks.fake.histories import Histories, PastActivity, PastMessage, PersonHistory
from cio_tasks.fake.ledger import Ledger, LedgerAnswer, LedgerEntry, LedgerOperation
from cio_tasks.fake.people import Effect, People
from cio_tasks.fake.person import PersonRecord
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.server import FakeCustomerIO, serve
from cio_tasks.fake.status_page import IncidentScenario, StatusScenario
from cio_tasks.fake.workspace import Campaign, Segment, Topic

__all__ = [
    "CAST",
    "AppScenario",
    "Campaign",
    "Effect",
    "FakeCustomerIO",
    "Histories",
    "IncidentScenario",
    "Ledger",
    "LedgerAnswer",
    "LedgerEntry",
    "LedgerOperation",
    "PastActivity",
    "PastMessage",
    "People",
    "PersonHistory",
    "PersonRecord",
    "Scenario",
    "Segment",
    "StatusScenario",
    "Topic",
    "serve",
]
