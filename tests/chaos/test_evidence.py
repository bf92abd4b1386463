"""What the readers make of real tables and a real ledger, in a run without any chaos."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cio_tasks.customerio import CustomerIO
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.intake import ConfirmationIn, confirm_extraction
from cio_tasks.models import SyncJob
from cio_tasks.operations import retry_signup
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.chaos.checker import Kind, check
from tests.chaos.evidence import Evidence, Request, read_ledger, read_tables
from tests.conftest import API_KEY, SITE_ID
from tests.factories import Factory

SLIP = {"betAmount": 99, "teamBetOn": "United", "odds": "2.5", "confidence": 0.5}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def noted(runtime: Runtime, ledger: Path) -> Iterator[Runtime]:
    """A runtime whose Customer.io keeps its ledger in a file."""
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY, ledger_path=ledger) as fake:
        settings = runtime.settings.model_copy(update={"customerio_track_url": fake.url})
        yield replace(runtime, settings=settings, client=CustomerIO.from_settings(settings))


def gather(engine: Engine, ledger: Path) -> Evidence:
    """Return the evidence of all there is, as if a client had sent it."""
    tables = read_tables(engine)
    asked = [
        Request(key=one.id, kind="signup", external_id=one.external_id, outcome="accepted", began_at=0, ended_at=1)
        for one in tables["signups"]
    ]
    return Evidence(requests=asked, sent=read_ledger(ledger), **tables)


def work_off(runtime: Runtime, make: Factory) -> None:
    """Deliver all there is, whatever its time."""
    for _ in range(4):
        process_due(runtime, limit=100)
        for job in make.all(SyncJob, status="pending"):
            make.make_due(job.id)


def test_a_run_without_chaos_is_good(noted: Runtime, make: Factory, engine: Engine, ledger: Path) -> None:
    make.signup("unheard+resetafter@example.com", external_id="x4")
    work_off(noted, make)
    make.confirm(make.signup(external_id="x1"))
    make.signup("later+503x2@example.com", external_id="x2")
    make.signup("never+badattr@example.com", external_id="x3")
    work_off(noted, make)
    evidence = gather(engine, ledger)
    figures = check(evidence).figures

    assert check(evidence).violations == ()
    assert (figures["jobs_completed"], figures["jobs_failed"], figures["dead_letters"]) == (4, 1, 1)
    assert figures["events_repeated_after_success"] >= 1


def test_corrections_and_manual_retries_replay(noted: Runtime, make: Factory, engine: Engine, ledger: Path) -> None:
    signup = make.signup(external_id="x1")
    make.confirm(signup)
    never = make.signup("never+badattr@example.com", external_id="x2")
    work_off(noted, make)
    slip = ConfirmationIn.model_validate(SLIP)
    with noted.sessions.begin() as session:
        confirm_extraction(session, signup.id, slip)
    retry_signup(noted.sessions, never.id, actor="ada")
    work_off(noted, make)

    assert check(gather(engine, ledger)).violations == ()


def test_a_row_that_was_tampered_with_is_found(noted: Runtime, make: Factory, engine: Engine, ledger: Path) -> None:
    job = make.job(make.signup(external_id="x1"))
    work_off(noted, make)
    make.set(job.id, attempt_count=3)

    assert [violation.kind for violation in check(gather(engine, ledger)).violations] == [Kind.REPLAY]


def test_a_last_line_cut_short_is_left_out(noted: Runtime, make: Factory, ledger: Path) -> None:
    make.signup(external_id="x1")
    work_off(noted, make)
    whole = read_ledger(ledger)
    with ledger.open("a") as lines:
        lines.write('{"seq": 9, "at"')

    assert read_ledger(ledger) == whole
    assert [(sent.phase, sent.taken, sent.status, sent.size) for sent in whole] == [("initial", True, 200, 2)]
