from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from cio_tasks.failures import FailureFilter, count_failures, iterate_failures, list_failures, list_job_ids
from cio_tasks.models import DeadLetter, SyncJob
from cio_tasks.outcomes import ErrorType
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase
from tests.factories import Factory
from tests.integration.buried import bury

ALL = FailureFilter()
HOUR = timedelta(hours=1)


def listed(session: Session, wanted: FailureFilter = ALL, *, limit: int = 100, offset: int = 0) -> list[UUID]:
    """Return the jobs of a page, having made sure that count and export agree with the list."""
    whole = list_failures(session, wanted, limit=1_000)
    assert count_failures(session, wanted) == len(whole)
    assert [failure.job.id for failure in iterate_failures(session, wanted)] == [failure.job.id for failure in whole]
    assert [job_id for _, job_id in list_job_ids(session, wanted)] == [failure.job.id for failure in whole]
    return [failure.job.id for failure in list_failures(session, wanted, limit=limit, offset=offset)]


# --- order and pages --------------------------------------------------------------------------------------------------


@pytest.mark.row("C1")
def test_the_most_attempts_come_first_and_then_the_latest(session: Session, make: Factory) -> None:
    old, new, tried, never = (
        bury(make, make.signup(), ago=5 * HOUR, attempt_count=1),
        bury(make, make.signup(), ago=1 * HOUR, attempt_count=1),
        bury(make, make.signup(), ago=9 * HOUR, attempt_count=5),
        bury(make, make.signup(), attempt_count=1),
    )
    make.set(never.id, last_attempt_at=None)

    assert listed(session) == [tried.id, new.id, old.id, never.id]


@pytest.mark.row("C1")
def test_equals_are_told_apart_by_their_ids(session: Session, make: Factory) -> None:
    jobs = [bury(make, make.signup()) for _ in range(3)]
    for job in reversed(jobs):
        make.set(job.id, last_attempt_at=jobs[0].last_attempt_at)

    assert listed(session) == sorted(job.id for job in jobs)


@pytest.mark.row("C5")
def test_pages_cut_the_list_without_a_gap_or_an_overlap(session: Session, make: Factory) -> None:
    jobs = [bury(make, make.signup(), attempt_count=count) for count in (5, 4, 3, 2, 1)]
    pages = [listed(session, limit=2, offset=offset) for offset in (0, 2, 4, 6)]

    assert [job_id for page in pages for job_id in page] == [job.id for job in jobs]
    assert [len(page) for page in pages] == [2, 2, 1, 0]


def test_only_jobs_that_were_given_up_are_listed(session: Session, make: Factory) -> None:
    failed, *others = [bury(make, make.signup()) for _ in range(4)]
    for job, status in zip(others, ["pending", "processing", "completed"], strict=True):
        make.set(job.id, status=status, error_type=None)

    assert listed(session) == [failed.id]


def test_a_failure_shows_whose_it_is_and_why_it_is_one(session: Session, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    job = bury(make, signup, attempt_count=5)
    (failure,) = list_failures(session, ALL, limit=10)

    assert (failure.job.id, failure.signup.id, failure.customer.email) == (job.id, signup.id, "ada@example.com")
    assert failure.dead_letter is not None
    assert (failure.dead_letter.exhausted_retries, failure.dead_letter.http_status) == (True, 503)


def test_the_dead_letter_shown_is_the_one_that_is_open(runtime: Runtime, session: Session, make: Factory) -> None:
    signup = make.signup("ada+403@example.com")
    job = bury(make, signup)
    make.set(job.id, status="pending", error_type=None)
    with runtime.sessions.begin() as other:
        (old,) = other.query(DeadLetter).all()
        old.resolved_at, old.resolution = old.created_at, "manual_retry"
    process_due(runtime, limit=10)
    (failure,) = list_failures(session, ALL, limit=10)

    assert failure.dead_letter is not None
    assert (failure.dead_letter.error_code, failure.dead_letter.resolved_at) == ("http_403", None)


def test_a_failure_without_a_dead_letter_is_still_listed(session: Session, make: Factory) -> None:
    job = make.job(make.signup())
    make.set(job.id, status="failed")
    (failure,) = list_failures(session, ALL, limit=10)

    assert (failure.job.id, failure.dead_letter) == (job.id, None)
    assert count_failures(session, ALL) == 1


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(make: Factory) -> list[SyncJob]:
    """One failure of each phase and error type."""
    failed = []
    for error_type in ErrorType:
        signup = make.signup()
        make.confirm(signup)
        failed += [bury(make, signup, phase, error_type=error_type) for phase in Phase]
    return failed


@pytest.mark.row("C2")
@pytest.mark.parametrize("phase", list(Phase))
def test_failures_are_filtered_by_phase(session: Session, mixed: list[SyncJob], phase: Phase) -> None:
    found = listed(session, FailureFilter(phase=phase))

    assert set(found) == {job.id for job in mixed if job.sync_phase == phase}
    assert len(found) == 4


@pytest.mark.row("C3")
@pytest.mark.parametrize("error_type", list(ErrorType))
def test_failures_are_filtered_by_error_type(session: Session, mixed: list[SyncJob], error_type: ErrorType) -> None:
    found = listed(session, FailureFilter(error_type=error_type))

    assert set(found) == {job.id for job in mixed if job.error_type == error_type}
    assert len(found) == 2


@pytest.mark.row("C2", "C3", "C4")
def test_filters_narrow_each_other(session: Session, mixed: list[SyncJob], make: Factory) -> None:
    grace = make.signup(first_name="Grace")
    bury(make, grace, error_type=ErrorType.NETWORK)
    wanted = FailureFilter(phase=Phase.INITIAL, error_type=ErrorType.NETWORK)
    searched = replace(wanted, search="grace", job_ids=[job.id for job in make.all(SyncJob)])

    assert len(listed(session, wanted)) == 2
    assert listed(session, searched) == [make.job(grace).id]
    assert listed(session, replace(searched, phase=Phase.ENRICHED)) == []


def test_failures_are_chosen_by_their_ids(session: Session, mixed: list[SyncJob]) -> None:
    assert set(listed(session, FailureFilter(job_ids=[mixed[0].id, mixed[3].id, uuid4()]))) == {
        mixed[0].id,
        mixed[3].id,
    }


def test_a_choice_of_no_job_is_no_job_and_not_all_of_them(session: Session, mixed: list[SyncJob]) -> None:
    assert len(mixed) == 8
    assert listed(session, FailureFilter(job_ids=[])) == []


def test_an_export_is_what_was_there_when_it_began(session: Session, make: Factory) -> None:
    jobs = [bury(make, make.signup()) for _ in range(3)]
    export = iterate_failures(session, ALL)
    first = next(export)
    for job in jobs:
        make.set(job.id, status="pending", error_type=None)

    assert {first.job.id, *(failure.job.id for failure in export)} == {job.id for job in jobs}
