"""The failures over HTTP: their order, filters, pages, and what a viewer sees of them."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from cio_tasks import operations
from cio_tasks.models import SyncJob
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase
from tests.api.callers import BASE, Caller
from tests.factories import Factory
from tests.integration.buried import bury

FAILURES = f"{BASE}/signups/customerio/sync-failures"
OF_A_JOB = {
    "id",
    "signupId",
    "syncPhase",
    "status",
    "attemptCount",
    "maxAttempts",
    "nextRetryAt",
    "lastAttemptAt",
    "errorType",
    "errorMessage",
    "mock",
    "createdAt",
    "updatedAt",
}
OF_A_FAILURE = OF_A_JOB | {"customer", "operatorId", "httpStatus", "exhaustedRetries", "deadLetterId", "failedAt"}


def ids(answer: Any) -> list[str]:
    return [failure["id"] for failure in answer.json["failures"]]


@pytest.fixture
def jobs(make: Factory) -> list[SyncJob]:
    """Five failed jobs, those with the most retries first."""
    return [bury(make, make.signup(), attempt_count=count) for count in (5, 4, 3, 2, 1)]


@pytest.mark.row("G1", "C1")
def test_failures_are_listed_with_the_most_retries_first(operator: Caller, jobs: list[SyncJob]) -> None:
    answer = operator.get(FAILURES)
    assert answer.status_code == 200
    assert {key: value for key, value in answer.json.items() if key != "failures"} == {
        "total": 5,
        "limit": 50,
        "offset": 0,
    }
    assert ids(answer) == [str(job.id) for job in jobs]


@pytest.mark.row("G1")
def test_a_failure_is_a_job_with_its_customer_and_dead_letter(operator: Caller, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    bury(make, signup)
    (failure,) = operator.get(FAILURES).json["failures"]
    assert set(failure) == OF_A_FAILURE
    assert failure["customer"] == {
        "id": str(signup.customer_id),
        "email": "ada@example.com",
        "firstName": "Ada",
        "lastName": "Lovelace",
    }
    assert failure["deadLetterId"]
    assert failure["failedAt"].endswith("Z")


def test_a_viewer_sees_personal_data_masked(viewer: Caller, make: Factory) -> None:
    bury(make, make.signup("ada@example.com"))
    answer = viewer.get(FAILURES)
    assert answer.json["failures"][0]["customer"]["email"] == "a•••@ex•••.com"
    assert b"Lovelace" not in answer.data


@pytest.mark.row("C5")
def test_limit_and_offset_cut_a_page(operator: Caller, jobs: list[SyncJob]) -> None:
    answer = operator.get(f"{FAILURES}?limit=2&offset=1")
    assert ids(answer) == [str(job.id) for job in jobs[1:3]]
    assert (answer.json["total"], answer.json["limit"], answer.json["offset"]) == (5, 2, 1)


@pytest.mark.row("C2")
@pytest.mark.parametrize("phase", Phase)
def test_one_phase_can_be_asked_for(phase: Phase, operator: Caller, make: Factory) -> None:
    signup = make.signup()
    make.confirm(signup)
    jobs = {one: bury(make, signup, phase=one) for one in Phase}
    assert ids(operator.get(f"{FAILURES}?syncPhase={phase}")) == [str(jobs[phase].id)]


@pytest.mark.row("C3")
@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "network", "other"])
def test_one_error_type_can_be_asked_for(kind: str, operator: Caller, make: Factory) -> None:
    jobs = {
        one: bury(make, make.signup(), error_type=one) for one in ("rate_limit", "server_error", "network", "other")
    }
    assert ids(operator.get(f"{FAILURES}?errorType={kind}")) == [str(jobs[kind].id)]


@pytest.mark.row("C4")
@pytest.mark.parametrize(
    ("search", "count"),
    [("LOVELACE", 2), ("ada%40", 1), ("%25", 0), ("_", 0), ("a%25a", 0), ("", 2), ("%F0%9F%91%A9", 0), ("+", 2)],
)
def test_search_finds_part_of_a_name_or_address_and_takes_wildcards_literally(
    search: str, count: int, operator: Caller, make: Factory
) -> None:
    for email in ("ada@example.com", "bob@example.com"):
        bury(make, make.signup(email))
    answer = operator.get(f"{FAILURES}?search={search}")
    assert (answer.status_code, answer.json["total"], len(answer.json["failures"])) == (200, count, count)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *((f"limit={value}", "limit") for value in ("0", "-1", "201", "1e3", "0x10", "%EF%BC%99", "+5", "1_0", "")),
        *((f"limit={value}", "limit") for value in ("NaN", "true", "null", "[]", "9223372036854775808", "5.0", "5%00")),
        *((f"offset={value}", "offset") for value in ("-1", "10001", "abc", "2147483648", "%20")),
        *((f"syncPhase={value}", "syncPhase") for value in ("", "INITIAL", "initial%00", "initial,enriched", "'")),
        *((f"errorType={value}", "errorType") for value in ("", "timeout", "other%27--")),
        *((f"search={value}", "search") for value in ("%00", "a%0Ab", "%1B", "a" * 201)),
        ("limit=1&limit=2", "limit"),
        ("syncPhase[]=initial", "?"),
        ("sort=id;select", "sort"),
    ],
)
def test_a_bad_parameter_is_named(query: str, field: str, operator: Caller, jobs: list[SyncJob]) -> None:
    answer = operator.get(f"{FAILURES}?{query}")
    assert answer.status_code == 422, answer.json
    assert [fault["field"] for fault in answer.json["errors"]] == [field]


@pytest.mark.parametrize("query", ["search=%FF", "search=%ED%A0%80", "&".join(f"a{n}=1" for n in range(51))])
def test_a_query_that_is_no_text_is_refused(query: str, operator: Caller) -> None:
    assert operator.get(f"{FAILURES}?{query}").status_code == 400


def test_page_and_total_are_of_one_instant(app: Flask, operator: Caller, jobs: list[SyncJob], runtime: Runtime) -> None:
    def retry_meanwhile(*statement: Any) -> None:
        if "LIMIT" in statement[2] and meanwhile:
            operations.retry_signup(runtime.sessions, meanwhile.pop(), actor="somebody else")

    meanwhile = [job.signup_id for job in jobs[:1]]
    event.listen(app.extensions["database"].sessions.kw["bind"], "after_cursor_execute", retry_meanwhile)
    before, after = operator.get(FAILURES), operator.get(FAILURES)
    assert not meanwhile
    assert [(len(ids(answer)), answer.json["total"]) for answer in (before, after)] == [(5, 5), (4, 4)]
