from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from cio_tasks import gate
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import AuditEntry, DeadLetter, Gate, Signup, SyncJob
from cio_tasks.processor import Summary, process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus
from tests.conftest import API_KEY, SITE_ID
from tests.factories import Factory

REGION = "/api/v1/accounts/region"


@pytest.fixture
def one_by_one(runtime: Runtime) -> Runtime:
    """A runtime whose every request carries one job."""
    return replace(runtime, settings=runtime.settings.model_copy(update={"batch_size": 1}))


@pytest.fixture
def locked_out(one_by_one: Runtime, make: Factory, fake: FakeCustomerIO) -> Runtime:
    """Five jobs were due when the credentials stopped working."""
    fake.rotate(site_id=SITE_ID, api_key="another key")
    for _ in range(5):
        make.signup()
    process_due(one_by_one, limit=100)
    return one_by_one


@pytest.fixture
def time_comes(runtime: Runtime) -> Callable[[], None]:
    def come() -> None:
        with runtime.sessions.begin() as session:
            session.execute(update(Gate).values(closed_until=func.now() - timedelta(seconds=1)))

    return come


def closed(runtime: Runtime) -> list[str]:
    with runtime.sessions() as session:
        return [row.reason for row in gate.list_closed(session)]


def counted(make: Factory) -> dict[str, int]:
    found = [job.status for job in make.all(SyncJob)]
    return {status: found.count(status) for status in sorted(set(found))}


@pytest.mark.row("A5")
def test_three_401_in_a_row_close_the_gate(locked_out: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    assert closed(locked_out) == ["auth"]
    assert counted(make) == {"failed": 3, "pending": 2}
    assert fake.ledger.count_by_status() == {"401": 3}


@pytest.mark.row("A5")
def test_no_further_job_is_spent_until_the_credentials_work(
    locked_out: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    time_comes()
    summary = process_due(locked_out, limit=100)
    with locked_out.sessions() as session:
        (row,) = session.scalars(select(Gate))

    assert (summary, counted(make)) == (Summary(), {"failed": 3, "pending": 2})
    assert [entry["path"] for entry in fake.ledger.entries()][3:] == [REGION]
    assert (row.closed_at is not None, row.failed_probes) == (True, 1)


@pytest.mark.row("A5")
def test_what_failed_with_401_runs_again_when_the_credentials_work(
    locked_out: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    fake.rotate(site_id=SITE_ID, api_key=API_KEY)
    time_comes()
    summary = process_due(locked_out, limit=100)

    assert (summary, closed(locked_out)) == (Summary(processed=5, succeeded=5), [])
    assert {letter.resolution for letter in make.all(DeadLetter)} == {"credentials_restored"}
    assert {signup.customerio_sync_failed for signup in make.all(Signup)} == {False}
    assert len(make.all(AuditEntry, action="revived")) == 3


def test_a_job_that_failed_for_another_reason_is_not_revived(
    locked_out: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    other = make.job(make.signup())
    make.set(other.id, status="failed", error_type="other", error_code="http_403")
    fake.rotate(site_id=SITE_ID, api_key=API_KEY)
    time_comes()
    process_due(locked_out, limit=100)

    assert counted(make) == {"completed": 5, "failed": 1}


@pytest.mark.row("A5")
def test_two_401_are_permanent_for_their_jobs_and_close_nothing(
    one_by_one: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.rotate(site_id=SITE_ID, api_key="another key")
    for _ in range(2):
        make.signup()
    process_due(one_by_one, limit=100)

    assert (closed(one_by_one), counted(make)) == ([], {"failed": 2})


def test_an_answer_in_between_starts_the_count_anew(one_by_one: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    for key in ("wrong", "wrong", API_KEY, "wrong", "wrong"):
        fake.rotate(site_id=SITE_ID, api_key=key)
        make.signup()
        process_due(one_by_one, limit=100)

    assert (closed(one_by_one), counted(make)) == ([], {"completed": 1, "failed": 4})


def test_no_answer_in_between_does_not(one_by_one: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    fake.rotate(site_id=SITE_ID, api_key="wrong")
    for outage in (None, "reset", None, None):
        fake.scenario = Scenario(outage=outage)
        make.signup()
        process_due(one_by_one, limit=100)

    assert closed(one_by_one) == ["auth"]


def test_a_redirect_counts_as_credentials_and_is_not_followed(
    one_by_one: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    fake.scenario = Scenario(redirect_to=fake.url)
    for _ in range(4):
        make.signup()
    process_due(one_by_one, limit=100)
    between = (closed(one_by_one), counted(make), fake.ledger.count())
    fake.scenario = Scenario()
    time_comes()
    process_due(one_by_one, limit=100)

    assert between == (["auth"], {"failed": 3, "pending": 1}, 3)
    assert counted(make) == {"completed": 4}


def test_a_401_fails_every_job_of_its_batch_and_all_are_revived(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, time_comes: Callable[[], None]
) -> None:
    fake.rotate(site_id=SITE_ID, api_key="another key")
    for _ in range(10):
        make.signup()
    process_due(runtime, limit=100)
    between = (closed(runtime), counted(make), fake.ledger.count())
    fake.rotate(site_id=SITE_ID, api_key=API_KEY)
    time_comes()
    process_due(runtime, limit=100)

    assert between == (["auth"], {"failed": 10}, 1)
    assert {(job.status, job.attempt_count) for job in make.all(SyncJob)} == {(JobStatus.COMPLETED, 0)}
