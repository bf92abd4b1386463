"""Running failures again over HTTP: those of a signup, or all that a filter matches."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.api.callers import BASE, NOBODY, Caller, Reply
from tests.api.conftest import Counts
from tests.factories import Factory
from tests.integration.buried import bury

CUSTOMERIO = f"{BASE}/signups/customerio"


def retry(caller: Caller, signup: Signup, query: str = "") -> Reply:
    return caller.post(f"{CUSTOMERIO}/{signup.id}/retry{query}")


@pytest.fixture
def signup(make: Factory) -> Signup:
    """A signup of which both phases have failed."""
    signup = make.signup()
    make.confirm(signup)
    for phase in Phase:
        bury(make, signup, phase=phase, attempt_count=5)
    return signup


@pytest.mark.row("G3", "C6", "C7")
def test_a_retry_runs_the_jobs_at_once_and_with_all_retries(operator: Caller, signup: Signup, make: Factory) -> None:
    answer = retry(operator, signup)
    assert answer.status_code == 200
    assert (answer.json["signupId"], answer.json["retried"]) == (str(signup.id), 2)
    assert {(job["status"], job["attemptCount"], job["nextRetryAt"]) for job in answer.json["jobs"]} == {
        ("pending", 0, None)
    }
    assert make.job(signup).status == JobStatus.PENDING


@pytest.mark.row("C8")
def test_a_retry_can_be_limited_to_one_phase(operator: Caller, signup: Signup, make: Factory) -> None:
    answer = retry(operator, signup, "?syncPhase=initial")
    assert [job["syncPhase"] for job in answer.json["jobs"]] == ["initial"]
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.FAILED


@pytest.mark.row("C9")
def test_a_retry_clears_the_failure_flags_and_resolves_the_dead_letters(
    operator: Caller, signup: Signup, make: Factory
) -> None:
    retry(operator, signup)
    (stored,) = make.all(Signup)
    assert (stored.customerio_sync_failed, stored.customerio_sync_error) == (False, None)
    assert {(letter.resolution, letter.resolved_by) for letter in make.all(DeadLetter)} == {
        ("manual_retry", "operator")
    }


@pytest.mark.row("C10")
@pytest.mark.parametrize("path", [str(NOBODY), "not-an-id", "%00", "..%2F..", "1 OR 1=1"])
def test_a_signup_without_a_failed_job_is_not_found(path: str, operator: Caller, make: Factory) -> None:
    make.signup()
    answer = operator.post(f"{CUSTOMERIO}/{path}/retry")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


@pytest.mark.row("C10")
def test_a_second_retry_is_not_found(operator: Caller, signup: Signup) -> None:
    assert [retry(operator, signup).status_code for _ in range(2)] == [200, 404]


@pytest.mark.row("C11", "C13")
def test_the_audit_names_who_retried_and_what_became_of_it(operator: Caller, runtime: Runtime, make: Factory) -> None:
    signup = make.signup()
    bury(make, signup)
    retry(operator, signup)
    process_due(runtime, limit=10)
    lines = {line.action: line for line in make.all(AuditEntry)}
    assert lines["manual_retry"].actor == "operator"
    assert lines["manual_retry"].details["from"] == "failed"
    assert lines["customerio_synced"].details["manualRetry"] is True


@pytest.mark.parametrize("query", ["?syncPhase=", "?syncPhase=both", "?syncphase=initial", "?phase=initial"])
def test_a_mistyped_phase_retries_nothing(
    query: str, operator: Caller, signup: Signup, count_rows: Callable[[], Counts], make: Factory
) -> None:
    before = count_rows()
    assert retry(operator, signup, query).status_code == 422
    assert count_rows() == before
    assert make.job(signup).status == JobStatus.FAILED


@pytest.fixture
def failed(make: Factory) -> list[SyncJob]:
    return [bury(make, make.signup(f"person{n}@example.com"), error_type=kind) for n, kind in enumerate(KINDS)]


KINDS = ("network", "network", "other")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 3),
        ({"errorType": "network"}, 2),
        ({"syncPhase": "enriched"}, 0),
        ({"search": "PERSON2@"}, 1),
        ({"search": "%"}, 0),
        ({"limit": 2}, 2),
        ({"ids": []}, 0),
        ({"ids": [str(uuid4())]}, 0),
    ],
)
def test_a_filter_says_which_failures_run_again(
    wanted: dict[str, object], count: int, operator: Caller, failed: list[SyncJob], make: Factory
) -> None:
    answer = operator.post(f"{CUSTOMERIO}/retry", wanted)
    assert (answer.status_code, answer.json) == (200, {"matched": count, "retried": count, "skipped": 0, "left": 0})
    assert sum(job.status == JobStatus.PENDING for job in make.all(SyncJob)) == count


def test_a_dry_run_only_counts(operator: Caller, failed: list[SyncJob], count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    answer = operator.post(f"{CUSTOMERIO}/retry", {"dryRun": True})
    assert answer.json == {"matched": 3, "retried": 0, "skipped": 0, "left": 0}
    assert count_rows() == before


def test_chosen_jobs_run_again(operator: Caller, failed: list[SyncJob], make: Factory) -> None:
    answer = operator.post(f"{CUSTOMERIO}/retry", {"ids": [str(failed[0].id), str(failed[0].id)]})
    assert answer.json["retried"] == 1
    assert [job.status for job in make.all(SyncJob)].count("pending") == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"syncPhase": "all"}, "syncPhase"),
        ({"syncPhase": ["initial"]}, "syncPhase"),
        ({"errorType": 5}, "errorType"),
        ({"search": ""}, "search"),
        ({"search": "a\u0000"}, "search"),
        ({"ids": "all"}, "ids"),
        ({"ids": ["x"]}, "ids.0"),
        ({"ids": [None]}, "ids.0"),
        ({"ids": [str(uuid4())] * 1001}, "ids"),
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 10**400}, "limit"),
        ({"dryRun": "true"}, "dryRun"),
        ({"dryRun": 1}, "dryRun"),
        ({"status": "completed"}, "status"),
        ([], "body"),
    ],
)
def test_a_bad_filter_is_named_and_retries_nothing(
    body: object, field: str, operator: Caller, failed: list[SyncJob], count_rows: Callable[[], Counts]
) -> None:
    before = count_rows()
    answer = operator.post(f"{CUSTOMERIO}/retry", body)
    assert answer.status_code == 422, answer.json
    assert {fault["field"] for fault in answer.json["errors"]} == {field}
    assert count_rows() == before
