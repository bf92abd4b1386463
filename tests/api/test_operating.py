"""Counts, processing, cleaning up, jobs and the gate over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry, SyncJob
from cio_tasks.states import JobStatus, Phase
from tests.api.callers import BASE, NOBODY, Caller
from tests.factories import Factory
from tests.integration.buried import bury

CUSTOMERIO = f"{BASE}/signups/customerio"
SEVERAL_MINUTES = timedelta(minutes=6)


def stick(make: Factory) -> SyncJob:
    """Leave a job behind that was claimed six minutes ago."""
    job = make.job(make.signup())
    make.set(
        job.id, status=JobStatus.PROCESSING, claimed_by="gone", claim_token=1, updated_at=func.now() - SEVERAL_MINUTES
    )
    return job


@pytest.mark.row("G2", "D1", "D2", "D3")
def test_stats_count_everything_at_one_instant(viewer: Caller, make: Factory) -> None:
    make.signup()
    make.confirm(make.signup())
    bury(make, make.signup())
    stick(make)
    counted = viewer.get(f"{CUSTOMERIO}/stats").json
    oldest = counted.pop("oldestDueSeconds")
    assert oldest >= 0
    assert counted == {
        "pending": 3,
        "processing": 1,
        "completed": 0,
        "failed": 1,
        "stuck": 1,
        "deadLetters": 1,
        "byPhase": {
            "initial": {"pending": 2, "processing": 1, "completed": 0, "failed": 1},
            "enriched": {"pending": 1, "processing": 0, "completed": 0, "failed": 0},
        },
        "gate": {"open": True, "reasons": []},
    }


@pytest.mark.row("G4", "E1", "E3")
def test_process_delivers_what_is_due_and_counts(operator: Caller, make: Factory, fake: FakeCustomerIO) -> None:
    for _ in range(3):
        make.signup()
    answer = operator.post(f"{CUSTOMERIO}/process?limit=2")
    assert answer.json == {"processed": 2, "succeeded": 2, "failed": 0, "retrying": 0, "deferred": 0}
    assert [job.status for job in make.all(SyncJob)].count("completed") == 2


@pytest.mark.row("E2")
def test_process_leaves_what_is_not_yet_due(operator: Caller, make: Factory) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() + SEVERAL_MINUTES)
    assert operator.post(f"{CUSTOMERIO}/process").json["processed"] == 0


@pytest.mark.row("E3")
def test_process_tells_retrying_from_failed(operator: Caller, make: Factory) -> None:
    make.signup("ann+500x9@example.com")
    make.signup("bob+400@example.com")
    answer = operator.post(f"{CUSTOMERIO}/process")
    assert answer.json == {"processed": 2, "succeeded": 0, "failed": 1, "retrying": 1, "deferred": 0}


@pytest.mark.row("G5", "D4", "D5")
def test_cleanup_takes_stuck_jobs_back(operator: Caller, make: Factory) -> None:
    job = stick(make)
    before = make.all(SyncJob, id=job.id)[0].updated_at
    assert operator.post(f"{CUSTOMERIO}/cleanup").json == {"resetCount": 1}
    (after,) = make.all(SyncJob, id=job.id)
    assert (after.status, after.updated_at > before) == ("pending", True)
    assert operator.post(f"{CUSTOMERIO}/cleanup").json == {"resetCount": 0}


@pytest.mark.parametrize("value", ["0", "-1", "1001", "abc", "1e2", "", "%EF%BC%99", "5&limit=6"])
def test_a_bad_limit_processes_nothing(value: str, operator: Caller, make: Factory) -> None:
    job = make.job(make.signup())
    assert operator.post(f"{CUSTOMERIO}/process?limit={value}").status_code == 422
    assert make.all(SyncJob, id=job.id)[0].status == "pending"


@pytest.mark.parametrize("path", ["stats", "gate"])
def test_a_parameter_that_is_not_known_is_refused(path: str, viewer: Caller) -> None:
    assert viewer.get(f"{CUSTOMERIO}/{path}?since=1h").status_code == 422


# --- jobs -------------------------------------------------------------------------------------------------------------


def walk(caller: Caller, query: str) -> list[str]:
    """Return the jobs of all pages."""
    page = caller.get(f"{CUSTOMERIO}/jobs?limit=2{query}").json
    found = list(page["jobs"])
    while page["nextCursor"]:
        page = caller.get(f"{CUSTOMERIO}/jobs?limit=2{query}&cursor={page['nextCursor']}").json
        found += page["jobs"]
    return [job["id"] for job in found]


def test_jobs_are_listed_newest_first_page_by_page(viewer: Caller, make: Factory) -> None:
    jobs = [make.job(make.signup()) for _ in range(5)]
    assert walk(viewer, "") == [str(job.id) for job in reversed(jobs)]


def test_jobs_of_one_status_and_phase_can_be_asked_for(viewer: Caller, make: Factory) -> None:
    signup = make.signup()
    enriched = make.confirm(signup)
    failed = bury(make, make.signup())
    assert walk(viewer, "&status=failed") == [str(failed.id)]
    assert walk(viewer, "&syncPhase=enriched&status=pending") == [str(enriched.id)]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "%C3%A9", "' OR 1=1--", "A" * 32, "A" * 300])
def test_a_cursor_of_anothers_making_is_refused(cursor: str, viewer: Caller) -> None:
    answer = viewer.get(f"{CUSTOMERIO}/jobs?cursor={cursor}")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "cursor")


def test_a_cursor_serves_the_list_that_it_came_from_only(viewer: Caller, make: Factory) -> None:
    for _ in range(3):
        make.signup()
    cursor = viewer.get(f"{CUSTOMERIO}/jobs?limit=1").json["nextCursor"]
    assert viewer.get(f"{CUSTOMERIO}/jobs?limit=1&status=failed&cursor={cursor}").status_code == 422


def test_a_job_is_shown_with_what_happened_to_it(operator: Caller, viewer: Caller, make: Factory) -> None:
    signup = make.signup("bob+400@example.com")
    operator.post(f"{CUSTOMERIO}/process")
    job = make.job(signup)
    shown: dict[str, Any] = viewer.get(f"{CUSTOMERIO}/jobs/{job.id}").json
    assert (shown["id"], shown["status"], shown["syncPhase"]) == (str(job.id), "failed", Phase.INITIAL)
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["rejected"]
    assert [line["action"] for line in shown["audit"]] == ["enqueued", "customerio_sync_failed"]
    assert [letter["resolvedAt"] for letter in shown["deadLetters"]] == [None]


@pytest.mark.parametrize("job_id", [str(NOBODY), "x", "..%2F", "%00"])
def test_an_unknown_job_is_not_found(job_id: str, viewer: Caller) -> None:
    assert viewer.get(f"{CUSTOMERIO}/jobs/{job_id}").status_code == 404


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_an_operator_closes_and_opens_the_gate(operator: Caller, viewer: Caller, make: Factory) -> None:
    make.signup()
    closed = operator.post(f"{CUSTOMERIO}/gate/close", {"reason": "a migration", "seconds": 600}).json
    (reason,) = closed["reasons"]
    assert (closed["open"], reason["reason"], reason["note"], reason["actor"]) == (
        False,
        "operator",
        "a migration",
        "operator",
    )
    assert operator.post(f"{CUSTOMERIO}/process").json["processed"] == 0
    assert viewer.get(f"{CUSTOMERIO}/gate").json == closed == viewer.get(f"{CUSTOMERIO}/stats").json["gate"]
    assert operator.post(f"{CUSTOMERIO}/gate/open").json == {"open": True, "reasons": []}
    assert operator.post(f"{CUSTOMERIO}/process").json["succeeded"] == 1
    assert [(line.action, line.actor) for line in make.all(AuditEntry) if line.action.startswith("gate")] == [
        ("gate_closed", "operator"),
        ("gate_opened", "operator"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "x", "seconds": 0}, "seconds"),
        ({"reason": "x", "seconds": -1}, "seconds"),
        ({"reason": "x", "seconds": 1.5}, "seconds"),
        ({"reason": "x", "seconds": 10**9}, "seconds"),
        ({"reason": "x", "seconds": "60"}, "seconds"),
        ({"reason": "x", "until": "2030"}, "until"),
    ],
)
def test_a_bad_closing_leaves_the_gate_open(body: object, field: str, operator: Caller) -> None:
    answer = operator.post(f"{CUSTOMERIO}/gate/close", body)
    assert (answer.status_code, [fault["field"] for fault in answer.json["errors"]]) == (422, [field])
    assert operator.get(f"{CUSTOMERIO}/gate").json["open"] is True
