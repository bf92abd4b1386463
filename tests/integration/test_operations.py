from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from cio_tasks import events, wake
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.errors import NotFound
from cio_tasks.failures import FailureFilter
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncJob
from cio_tasks.operations import BulkRetry, retry_failures, retry_signup
from cio_tasks.outcomes import ErrorType
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory
from tests.integration.buried import bury

ALL = FailureFilter()
Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the listeners are told."""
    told: Heard = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        told.append((name, facts))

    events.listen(listener)
    yield told
    events.unlisten(listener)


def messages(redis_url: str) -> int:
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        return int(client.llen(QUEUE))


# --- one signup -------------------------------------------------------------------------------------------------------


@pytest.mark.row("C6", "C7", "C9")
def test_a_retried_job_starts_anew_and_its_signup_is_no_longer_flagged(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    bury(make, signup, attempt_count=5)
    (job,) = retry_signup(runtime.sessions, signup.id, actor="ops")
    (row,), (letter,) = make.all(Signup), make.all(DeadLetter)

    assert (job.status, job.attempt_count, job.next_retry_at) == (JobStatus.PENDING, 0, None)
    assert (row.customerio_sync_failed, row.customerio_sync_error) == (False, None)
    assert (letter.resolution, letter.resolved_by) == ("manual_retry", "ops")
    assert process_due(runtime, limit=10).succeeded == 1


@pytest.mark.row("C8")
@pytest.mark.parametrize("phase", list(Phase))
def test_a_retry_can_be_of_one_phase(runtime: Runtime, make: Factory, phase: Phase) -> None:
    signup = make.signup()
    make.confirm(signup)
    for each in Phase:
        bury(make, signup, each)
    jobs = retry_signup(runtime.sessions, signup.id, phase=phase, actor="ops")
    left = [job.sync_phase for job in make.all(SyncJob, status="failed")]

    assert [job.sync_phase for job in jobs] == [phase]
    assert left == [other for other in Phase if other != phase]
    assert make.all(Signup)[0].customerio_sync_failed


@pytest.mark.row("C10")
def test_a_retry_of_what_has_not_failed_finds_nothing(runtime: Runtime, make: Factory) -> None:
    pending, failed = make.signup(), make.signup()
    bury(make, failed)
    for signup_id, phase in ((pending.id, None), (uuid4(), None), (failed.id, Phase.ENRICHED)):
        with pytest.raises(NotFound):
            retry_signup(runtime.sessions, signup_id, phase=phase, actor="ops")

    assert make.all(AuditEntry, action="manual_retry") == []


def test_the_audit_of_a_retry_says_who_and_from_what_to_what(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    job = bury(make, signup, attempt_count=5)
    retry_signup(runtime.sessions, signup.id, actor="ops")
    (entry,) = make.all(AuditEntry, action="manual_retry")

    assert (entry.actor, entry.signup_id, entry.job_id) == ("ops", signup.id, job.id)
    assert entry.details == {
        "jobId": str(job.id),
        "syncPhase": "initial",
        "from": "failed",
        "to": "pending",
        "attemptCountBefore": 5,
        "attemptCount": 0,
    }


@pytest.mark.row("C11", "C13")
def test_the_audit_of_what_comes_of_a_retry_says_that_a_person_asked(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    job = bury(make, signup)
    retry_signup(runtime.sessions, signup.id, actor="ops")
    process_due(runtime, limit=10)
    (entry,) = make.all(AuditEntry, action="customerio_synced")

    assert (entry.details["jobId"], entry.details["syncPhase"]) == (str(job.id), "initial")
    assert (entry.details["contactId"], entry.details["manualRetry"]) == (str(signup.customer_id), True)


@pytest.mark.row("C12", "C13")
@pytest.mark.parametrize(("tag", "exhausted"), [("403", False), ("500x9", True)])
def test_a_retry_that_fails_says_whether_its_own_retries_were_exhausted(
    runtime: Runtime, make: Factory, tag: str, exhausted: bool
) -> None:
    signup = make.signup(f"ada+{tag}@example.com")
    job = bury(make, signup, attempt_count=5)
    retry_signup(runtime.sessions, signup.id, actor="ops")
    for _ in range(6):
        make.make_due(job.id)
        process_due(runtime, limit=10)
    (entry,) = make.all(AuditEntry, action="customerio_sync_failed")

    assert (entry.details["exhaustedRetries"], entry.details["manualRetry"]) == (exhausted, True)


def test_a_retry_wakes_a_worker_and_is_told(runtime: Runtime, make: Factory, redis_url: str, heard: Heard) -> None:
    signup = make.signup()
    bury(make, signup)
    before = messages(redis_url)
    retry_signup(runtime.sessions, signup.id, actor="ops")

    assert messages(redis_url) == before + 1
    assert heard == [("sync.retried_manually", {"count": 1, "actor": "ops"})]


def test_both_phases_are_retried_in_their_order(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    signup = make.signup("ada+403x1@example.com")
    make.confirm(signup)
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    assert make.job(signup, Phase.ENRICHED).error_code == "initial_failed"
    assert len(retry_signup(runtime.sessions, signup.id, actor="ops")) == 2
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    sent = [operation["name"] for entry in fake.ledger.entries() for operation in entry["operations"]]

    assert [job.status for job in make.all(SyncJob)] == [JobStatus.COMPLETED, JobStatus.COMPLETED]
    assert [name for name in sent if name][-2:] == ["signup_submitted", "signup_extraction_confirmed"]


def test_an_enriched_job_retried_alone_waits_for_its_initial_one_to_be_mended(runtime: Runtime, make: Factory) -> None:
    """It is never sent ahead; what a person has to do is said, and doing it is enough."""
    signup = make.signup("ada+403x1@example.com")
    make.confirm(signup)
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    retry_signup(runtime.sessions, signup.id, phase=Phase.ENRICHED, actor="ops")
    process_due(runtime, limit=10)
    job = make.job(signup, Phase.ENRICHED)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "initial_failed")
    assert "initial phase has failed" in (job.error_message or "")
    retry_signup(runtime.sessions, signup.id, phase=Phase.INITIAL, actor="ops")
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)

    assert {job.status for job in make.all(SyncJob)} == {JobStatus.COMPLETED}


# --- all that a filter matches ----------------------------------------------------------------------------------------


def test_a_bulk_retry_takes_what_the_filter_matches(runtime: Runtime, make: Factory) -> None:
    wanted = [bury(make, make.signup(), error_type="network") for _ in range(3)]
    other = bury(make, make.signup(), error_type="other")
    result = retry_failures(runtime.sessions, FailureFilter(error_type=ErrorType.NETWORK), actor="ops")

    assert result == BulkRetry(matched=3, retried=3, skipped=0)
    assert {job.id for job in make.all(SyncJob, status="pending")} == {job.id for job in wanted}
    assert make.all(SyncJob, status="failed")[0].id == other.id


def test_a_bulk_retry_with_a_limit_takes_the_first_of_the_list(runtime: Runtime, make: Factory) -> None:
    jobs = [bury(make, make.signup(), attempt_count=count) for count in (1, 5, 3)]

    assert retry_failures(runtime.sessions, ALL, actor="ops", limit=2) == BulkRetry(2, 2, 0)
    assert [job.id for job in make.all(SyncJob, status="failed")] == [jobs[0].id]


@pytest.mark.parametrize(("limit", "matched"), [(None, 3), (2, 2), (9, 3)])
def test_a_dry_run_only_counts(runtime: Runtime, make: Factory, heard: Heard, limit: int | None, matched: int) -> None:
    for _ in range(3):
        bury(make, make.signup())

    assert retry_failures(runtime.sessions, ALL, actor="ops", limit=limit, dry_run=True) == BulkRetry(matched)
    assert len(make.all(SyncJob, status="failed")) == 3
    assert (make.all(AuditEntry, action="bulk_retry"), heard) == ([], [])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (ALL, {"syncPhase": None, "errorType": None, "search": False, "ids": None}),
        (
            FailureFilter(Phase.INITIAL, ErrorType.NETWORK, search="Lovelace"),
            {"syncPhase": "initial", "errorType": "network", "search": True, "ids": None},
        ),
        (FailureFilter(job_ids=[uuid4()]), {"syncPhase": None, "errorType": None, "search": False, "ids": 1}),
    ],
)
def test_the_audit_of_a_bulk_retry_says_who_and_how_many_and_never_who_was_searched_for(
    runtime: Runtime, make: Factory, wanted: FailureFilter, words: dict[str, Any]
) -> None:
    bury(make, make.signup(), error_type="network")
    result = retry_failures(runtime.sessions, wanted, actor="ops")
    (entry,) = make.all(AuditEntry, action="bulk_retry")

    assert entry.actor == "ops"
    assert entry.details == {
        "filter": words,
        "matched": result.matched,
        "retried": result.retried,
        "skipped": 0,
        "left": 0,
    }
    assert "lovelace" not in str(entry.details).lower()


def test_every_job_of_a_bulk_retry_has_its_own_audit_row(runtime: Runtime, make: Factory) -> None:
    jobs = [bury(make, make.signup(), attempt_count=count) for count in (1, 2)]
    retry_failures(runtime.sessions, ALL, actor="ops")
    entries = make.all(AuditEntry, action="manual_retry")

    assert {(entry.job_id, entry.details["attemptCountBefore"]) for entry in entries} == {
        (jobs[0].id, 1),
        (jobs[1].id, 2),
    }


def test_a_bulk_retry_brings_both_phases_of_a_signup_back_together(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario()
    for _ in range(3):
        signup = make.signup()
        make.confirm(signup)
        bury(make, signup)
        bury(make, signup, Phase.ENRICHED, error_code="initial_failed", error_type="other")

    assert retry_failures(runtime.sessions, ALL, actor="ops").retried == 6
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    assert {job.status for job in make.all(SyncJob)} == {JobStatus.COMPLETED}
