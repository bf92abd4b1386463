from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cio_tasks import transitions
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncAttempt, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.eventually import eventually
from tests.factories import Factory

LADDER = [5, 25, 125, 625, 3125]


def seconds(*numbers: float) -> list[timedelta]:
    return [timedelta(seconds=number) for number in numbers]


def scaled(runtime: Runtime, scale: float) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update={"time_scale": scale}))


def fail_six_times(runtime: Runtime, make: Factory, signup: Signup) -> SyncJob:
    """Deliver, let the time of each retry come, and return the job after the last one."""
    job = make.job(signup)
    for _ in range(6):
        make.make_due(job.id)
        process_due(runtime, limit=10)
    return make.job(signup)


def waits(attempts: list[SyncAttempt]) -> list[timedelta | None]:
    due = [(attempt.finished_at, attempt.next_retry_at) for attempt in attempts]
    return [None if next_at is None else next_at - finished_at for finished_at, next_at in due]


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.row("B6", "B7")
def test_a_job_is_tried_six_times_and_waits_longer_every_time(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+500x6@example.com")
    job = fail_six_times(runtime, make, signup)
    attempts = make.attempts(job)

    assert waits(attempts) == [*seconds(*LADDER), None]
    assert [attempt.retry for attempt in attempts] == [0, 1, 2, 3, 4, 5]
    assert [attempt.claim_token for attempt in attempts] == [1, 2, 3, 4, 5, 6]
    assert (job.status, job.attempt_count) == (JobStatus.FAILED, 5)


@pytest.mark.row("B7")
def test_the_fifth_retry_may_still_succeed(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+500x5@example.com")
    job = fail_six_times(runtime, make, signup)

    assert (job.status, job.attempt_count) == (JobStatus.COMPLETED, 5)
    assert [attempt.outcome for attempt in make.attempts(job)] == ["retry_later"] * 5 + ["delivered"]
    assert make.all(DeadLetter) == []


@pytest.mark.row("B7", "B10")
def test_exhausted_retries_leave_exactly_one_dead_letter(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+500x9@example.com")
    job = fail_six_times(runtime, make, signup)
    process_due(runtime, limit=10)
    (letter,) = make.all(DeadLetter)

    assert (letter.job_id, letter.signup_id, letter.sync_phase) == (job.id, signup.id, "initial")
    assert (letter.exhausted_retries, letter.attempt_count, letter.resolved_at) == (True, 5, None)
    assert (letter.error_type, letter.error_code, letter.http_status) == ("server_error", "http_500", 500)
    assert len(make.attempts(job)) == 6


@pytest.mark.row("B6")
@pytest.mark.parametrize("scale", [0.5, 0.001])
def test_the_time_scale_shortens_every_wait(runtime: Runtime, make: Factory, scale: float) -> None:
    signup = make.signup("ada+500x5@example.com")
    job = fail_six_times(scaled(runtime, scale), make, signup)

    assert waits(make.attempts(job))[:5] == [wait * scale for wait in seconds(*LADDER)]


@pytest.mark.row("B6", "B7")
def test_a_job_climbs_the_ladder_by_itself(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+500x9@example.com")
    quick = scaled(runtime, 0.0001)

    def status() -> str:
        process_due(quick, limit=10)
        return make.job(signup).status

    eventually(status, lambda found: found == JobStatus.FAILED)
    attempts = make.attempts(make.job(signup))
    pauses = [later.started_at - earlier.finished_at for earlier, later in pairwise(attempts)]
    assert all(pause >= wait / 10_000 for pause, wait in zip(pauses, seconds(*LADDER), strict=True))


@pytest.mark.row("B8")
@pytest.mark.parametrize(
    ("tag", "error_type", "code", "http_status"),
    [
        ("500", "server_error", "http_500", 500),
        ("429", "rate_limit", "http_429", 429),
        ("reset", "network", "connection_reset", None),
        ("408", "network", "http_408", 408),
    ],
)
def test_an_error_that_may_pass_is_stored_with_the_time_of_the_next_try(
    runtime: Runtime, make: Factory, *, tag: str, error_type: str, code: str, http_status: int | None
) -> None:
    signup = make.signup(f"ada+{tag}@example.com")
    summary = process_due(runtime, limit=10)
    job = make.job(signup)
    (attempt,) = make.attempts(job)

    assert (summary.processed, summary.retrying) == (1, 1)
    assert (job.status, job.attempt_count, job.next_retry_at) == ("pending", 1, job.updated_at + timedelta(seconds=5))
    assert (job.error_type, job.error_code, job.http_status) == (error_type, code, http_status)
    assert (attempt.outcome, attempt.error_type, attempt.next_retry_at) == (
        "retry_later",
        error_type,
        job.next_retry_at,
    )


@pytest.mark.row("B8")
def test_a_job_that_waits_for_its_retry_is_not_taken_early(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    make.signup("ada+500x9@example.com")
    process_due(runtime, limit=10)

    assert process_due(runtime, limit=10).processed == 0
    assert fake.ledger.count() == 1


# --- failures for good ------------------------------------------------------------------------------------------------


@pytest.mark.row("B9")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_permanent_error_fails_the_job_at_once(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, status: int
) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=status)
    signup = make.signup()
    summary = process_due(runtime, limit=10)
    job = make.job(signup)
    (letter,) = make.all(DeadLetter)

    assert (summary.failed, job.status, job.attempt_count, job.next_retry_at) == (1, JobStatus.FAILED, 0, None)
    assert (job.error_type, job.error_code, job.http_status) == ("other", f"http_{status}", status)
    assert (letter.exhausted_retries, letter.attempt_count) == (False, 0)


@pytest.mark.row("B9")
def test_a_permanent_error_leaves_the_retries_as_they_were(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup("ada+500x2@example.com")
    for _ in range(2):
        process_due(runtime, limit=10)
        make.make_due(make.job(signup).id)
    fake.scenario = Scenario(error_rate=1, error_status=404)
    process_due(runtime, limit=10)
    job = make.job(signup)

    assert (job.status, job.attempt_count) == (JobStatus.FAILED, 2)
    assert [attempt.outcome for attempt in make.attempts(job)] == ["retry_later", "retry_later", "rejected"]


@pytest.mark.row("B10")
def test_a_job_does_not_fail_without_its_dead_letter(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+403@example.com")
    with runtime.sessions.begin() as session:
        session.execute(text("ALTER TABLE customerio_dead_letters ADD CONSTRAINT no_letters CHECK (false)"))
    with pytest.raises(DBAPIError):
        process_due(runtime, limit=10)
    (row,) = make.all(Signup)

    assert make.job(signup).status == JobStatus.PROCESSING
    assert (make.attempts(make.job(signup)), make.all(AuditEntry, action="customerio_sync_failed")) == ([], [])
    assert row.customerio_sync_failed is False


@pytest.mark.row("B11", "H16", "H17")
def test_a_failed_job_flags_its_signup_with_the_error(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("ada+403@example.com")
    process_due(runtime, limit=10)
    (row,) = make.all(Signup)

    assert row.customerio_sync_failed is True
    assert row.customerio_sync_error == make.job(signup).error_message
    assert row.customerio_sync_error.startswith("Customer.io answered 403")
    assert (row.customerio_synced, row.customerio_synced_at) == (False, None)


@pytest.mark.row("B11")
def test_a_retry_that_waits_does_not_flag_the_signup(runtime: Runtime, make: Factory) -> None:
    make.signup("ada+500@example.com")
    process_due(runtime, limit=10)
    (row,) = make.all(Signup)

    assert (row.customerio_sync_failed, row.customerio_sync_error) == (False, None)


@pytest.mark.row("B11")
def test_the_flag_stays_while_another_phase_is_failed(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)
    fake.scenario = Scenario(error_rate=1, error_status=404)
    make.confirm(signup)
    process_due(runtime, limit=10)
    fake.scenario = Scenario()
    make.set(make.job(signup).id, status="pending", completed_at=None)
    process_due(runtime, limit=10)
    (row,) = make.all(Signup)

    assert make.job(signup).status == JobStatus.COMPLETED
    assert (row.customerio_synced, row.customerio_sync_failed) == (True, True)


# --- what is left behind ----------------------------------------------------------------------------------------------


@pytest.mark.row("H3", "H4", "H7", "H8", "H10", "H13", "H14", "H15", "H16", "H17")
def test_a_delivered_job_and_its_signup_say_so(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    before = make.job(signup)
    process_due(runtime, limit=10)
    job = make.job(signup)
    (row,) = make.all(Signup)

    assert (job.status, job.attempt_count, job.next_retry_at, job.error_message) == ("completed", 0, None, None)
    assert (job.completed_at, job.claimed_by, job.mock) == (job.updated_at, None, False)
    assert job.created_at == before.created_at < job.updated_at
    assert (row.customerio_synced, row.customerio_synced_at) == (True, job.completed_at)
    assert row.customerio_contact_id == str(signup.customer_id)
    assert (row.customerio_sync_failed, row.customerio_sync_error) == (False, None)


@pytest.mark.row("H15")
def test_the_contact_id_is_the_identifier_that_customerio_knows(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    make.signup("ada@example.com")
    process_due(runtime, limit=10)
    (row,) = make.all(Signup)
    person = fake.people.find(row.customerio_contact_id)

    assert person is not None
    assert person["email"] == "ada@example.com"


def test_an_attempt_says_what_was_asked_and_how_long_it_took(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(latency_seconds=0.05)
    job = make.job(make.signup())
    process_due(runtime, limit=10)
    (attempt,) = make.attempts(job)

    assert (attempt.outcome, attempt.http_status, attempt.batch_size, attempt.retry) == ("delivered", 200, 1, 0)
    assert (attempt.worker, attempt.claim_token, attempt.mock) == (runtime.worker, 1, False)
    assert (attempt.duration_ms or 0) >= 50
    assert attempt.started_at < attempt.finished_at
    assert attempt.request_id


def audit(make: Factory, action: str) -> dict[str, Any]:
    (entry,) = make.all(AuditEntry, action=action)
    assert entry.actor == "system"
    details: dict[str, Any] = entry.details
    return details


@pytest.mark.row("C11")
def test_the_audit_of_a_success_names_job_phase_and_contact(runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)

    assert audit(make, "customerio_synced") == {
        "jobId": str(make.job(signup).id),
        "syncPhase": "initial",
        "from": "processing",
        "to": "completed",
        "contactId": str(signup.customer_id),
        "attemptCount": 0,
        "manualRetry": False,
        "mock": False,
    }


@pytest.mark.row("C12")
@pytest.mark.parametrize(("tag", "exhausted"), [("500x9", True), ("403", False)])
def test_the_audit_of_a_failure_says_whether_retries_were_exhausted(
    runtime: Runtime, make: Factory, tag: str, exhausted: bool
) -> None:
    signup = make.signup(f"ada+{tag}@example.com")
    job = fail_six_times(runtime, make, signup)
    details = audit(make, "customerio_sync_failed")

    assert (details["from"], details["to"]) == ("processing", "failed")
    assert (details["exhaustedRetries"], details["attemptCount"]) == (exhausted, 5 if exhausted else 0)
    assert (details["jobId"], details["syncPhase"]) == (str(job.id), "initial")
    assert (details["errorType"], details["errorCode"]) == (job.error_type, job.error_code)


@pytest.fixture
def retry_manually(runtime: Runtime) -> Callable[..., list[SyncJob]]:
    def retry(signup: Signup, phase: Phase | None = None) -> list[SyncJob]:
        with runtime.sessions.begin() as session:
            return transitions.retry_manually(session, signup.id, phase=phase, actor="ops")

    return retry


@pytest.mark.row("C13")
def test_the_audit_after_a_manual_retry_says_so(
    runtime: Runtime, make: Factory, retry_manually: Callable[..., list[SyncJob]]
) -> None:
    signup = make.signup("ada+403x1@example.com")
    process_due(runtime, limit=10)
    retry_manually(signup)
    process_due(runtime, limit=10)

    assert audit(make, "customerio_sync_failed")["manualRetry"] is False
    assert audit(make, "customerio_synced")["manualRetry"] is True
    assert [entry.actor for entry in make.all(AuditEntry, action="manual_retry")] == ["ops"]


@pytest.mark.row("C6", "C7", "C9")
def test_a_manual_retry_starts_a_failed_job_anew(
    runtime: Runtime, make: Factory, retry_manually: Callable[..., list[SyncJob]]
) -> None:
    signup = make.signup("ada+500x6@example.com")
    fail_six_times(runtime, make, signup)
    (job,) = retry_manually(signup)
    (row,), (letter,) = make.all(Signup), make.all(DeadLetter)

    assert (job.status, job.attempt_count, job.next_retry_at, job.error_type) == ("pending", 0, None, None)
    assert (row.customerio_sync_failed, row.customerio_sync_error) == (False, None)
    assert (letter.resolution, letter.resolved_by) == ("manual_retry", "ops")
    assert process_due(runtime, limit=10).succeeded == 1


@pytest.mark.row("C8")
def test_a_manual_retry_can_be_limited_to_one_phase(
    runtime: Runtime, make: Factory, retry_manually: Callable[..., list[SyncJob]]
) -> None:
    signup = make.signup("ada+403@example.com")
    make.confirm(signup)
    process_due(runtime, limit=10)

    assert [job.sync_phase for job in retry_manually(signup, Phase.ENRICHED)] == ["enriched"]
    assert (make.job(signup).status, make.job(signup, Phase.ENRICHED).status) == ("failed", "pending")


def test_a_manual_retry_of_what_has_not_failed_changes_nothing(
    runtime: Runtime, make: Factory, retry_manually: Callable[..., list[SyncJob]]
) -> None:
    signup = make.signup()

    assert retry_manually(signup) == []
    assert make.all(AuditEntry, action="manual_retry") == []


def test_a_second_failure_after_a_manual_retry_is_a_second_dead_letter(
    runtime: Runtime, make: Factory, retry_manually: Callable[..., list[SyncJob]]
) -> None:
    signup = make.signup("ada+403@example.com")
    for _ in range(2):
        process_due(runtime, limit=10)
        retry_manually(signup)
    process_due(runtime, limit=10)

    letters = sorted(make.all(DeadLetter), key=lambda letter: letter.created_at)
    assert [letter.resolution for letter in letters] == ["manual_retry", "manual_retry", None]
