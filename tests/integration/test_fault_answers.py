"""What Customer.io may answer, all the way through: several workers, real requests, the gate, and the rows afterwards."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, update

from cio_tasks import gate
from cio_tasks.customerio import CustomerIO
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import AuditEntry, DeadLetter, Gate, SyncAttempt, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.checking import changed
from tests.concurrency.together import crowd, together
from tests.factories import Factory
from tests.integration.test_client_tls import FOR_ANOTHER, serve
from tests.integration.test_diagnostics_network import sign

WORKERS = 4
JOBS = 8
SECOND = timedelta(seconds=1)


@pytest.fixture
def workers(runtime: Runtime) -> list[Runtime]:
    """Several, with a client each and one job a request."""
    settings = runtime.settings.model_copy(update={"batch_size": 1})
    clients = [CustomerIO.from_settings(settings) for _ in range(WORKERS)]
    return [
        replace(runtime, settings=settings, client=client, worker=str(number)) for number, client in enumerate(clients)
    ]


def work(workers: list[Runtime]) -> None:
    """Let all of them sweep at once."""
    together(len(workers), lambda number: process_due(workers[number], limit=100))


def wait_of_gate(make: Factory) -> float:
    """Return for how many seconds the gate was closed when it was closed."""
    (closed,) = make.all(AuditEntry, action="gate_closed")
    return float(closed.details["seconds"])


def let_time_pass(make: Factory) -> None:
    """Let the time come of whatever waits: the gate, and every retry."""
    past = func.now() - SECOND
    with make.sessions.begin() as session:
        session.execute(update(Gate).where(Gate.closed_until.is_not(None)).values(closed_until=past))
        session.execute(update(SyncJob).where(SyncJob.next_retry_at.is_not(None)).values(next_retry_at=past))


def date_in(seconds: int) -> str:
    """Return an HTTP date so many seconds from now."""
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("header", "shortest", "longest"),
    [
        (lambda: None, 5, 5),
        (lambda: "0", 1, 1),
        (lambda: "3", 3, 3),
        (lambda: "-1", 5, 5),
        (lambda: "1000000000", 900, 900),
        (lambda: "1e9", 5, 5),
        (lambda: "soon", 5, 5),
        (lambda: date_in(120), 60, 120),
        (lambda: date_in(-3600), 1, 1),
        (lambda: date_in(86_400), 900, 900),
    ],
    ids=["none", "0", "3", "negative", "a billion", "1e9", "a word", "a date", "a past date", "tomorrow"],
)
def test_a_429_stops_all_workers_for_as_long_as_it_says_and_buries_nobody(
    workers: list[Runtime],
    make: Factory,
    fake: FakeCustomerIO,
    *,
    header: Callable[[], str | None],
    shortest: float,
    longest: float,
) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429, retry_after=header())
    crowd(make.sessions, JOBS)
    work(workers)
    work(workers)
    asked, probes = fake.ledger.count(), len(make.all(SyncAttempt, error_code=gate.PROBE_FAILED))
    spent, waited = sum(job.attempt_count for job in make.all(SyncJob)), wait_of_gate(make)
    fake.scenario = Scenario()
    let_time_pass(make)
    work(workers)  # the first to come probes, and opens it
    let_time_pass(make)
    work(workers)

    assert shortest <= waited <= longest
    assert (spent <= WORKERS, asked) == (True, spent + probes), "more was sent or spent than was on its way"
    assert {job.status for job in make.all(SyncJob)} == {JobStatus.COMPLETED}
    assert make.all(DeadLetter) == []


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that is in order."""
    return sign(tmp_path_factory.mktemp("good"))


@pytest.mark.row("A6")
@pytest.mark.parametrize(
    "certificate",
    [{"days": -1}, {"name": FOR_ANOTHER}, {}],
    ids=["expired", "another's", "nobody's"],
)
def test_a_bad_certificate_is_an_outage_and_nothing_is_sent_until_it_is_mended(
    runtime: Runtime,
    make: Factory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    good: Path,
    *,
    certificate: dict[str, Any],
) -> None:
    """Nothing is wrong with the first two but what is named: this machine trusts them."""
    bad = sign(tmp_path, **certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bad if certificate else good))
    signup = make.signup()
    with serve(bad) as fake:
        process_due(at(runtime, fake), limit=10)
        job = make.job(signup)
        assert (job.status, job.error_code, fake.ledger.count()) == (JobStatus.PENDING, "tls", 0)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(good))
    let_time_pass(make)
    with serve(good) as fake:
        process_due(at(runtime, fake), limit=10)

    assert (make.job(signup).status, fake.ledger.count()) == (JobStatus.COMPLETED, 1)


def at(runtime: Runtime, fake: FakeCustomerIO) -> Runtime:
    """Return a worker that knows Customer.io under this address, with the credentials that it takes."""
    settings = changed(runtime.settings, customerio_track_url=fake.url)
    return replace(runtime, settings=settings, client=CustomerIO.from_settings(settings))
