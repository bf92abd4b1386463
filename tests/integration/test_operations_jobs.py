"""What a person looks up before acting: all jobs page by page, and all that happened to one."""

from base64 import urlsafe_b64encode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert
from sqlalchemy.orm import Session

from cio_tasks.errors import CioTasksError, NotFound
from cio_tasks.models import AuditEntry, DeadLetter, SyncAttempt, SyncJob
from cio_tasks.operations import retry_signup
from cio_tasks.processor import process_due
from cio_tasks.queries import InvalidCursor, get_job, list_jobs
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

MANY = 105


def pages(
    session: Session, *, limit: int, status: JobStatus | None = None, phase: Phase | None = None
) -> list[list[UUID]]:
    """Return the ids of all pages, each by itself."""
    found, cursor = [], None
    while True:
        page = list_jobs(session, status=status, phase=phase, limit=limit, cursor=cursor)
        found.append([job.id for job in page.jobs])
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def jobs_of_every_kind(make: Factory) -> list[SyncJob]:
    """Return two jobs of each status and phase, the newest first."""
    for status in [*JobStatus, *JobStatus]:
        signup = make.signup()
        make.confirm(signup)
        for phase in Phase:
            make.set(make.job(signup, phase).id, status=status)
    return list(reversed(make.all(SyncJob)))


@pytest.mark.parametrize("limit", [1, 3, 16, 100])
def test_pages_hold_every_job_once_the_newest_first(session: Session, make: Factory, limit: int) -> None:
    jobs = jobs_of_every_kind(make)
    found = pages(session, limit=limit)

    assert [job_id for page in found for job_id in page] == [job.id for job in jobs]
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


@pytest.mark.parametrize("status", [None, *JobStatus])
@pytest.mark.parametrize("phase", [None, *Phase])
def test_jobs_are_filtered_by_status_and_phase(
    session: Session, make: Factory, status: JobStatus | None, phase: Phase | None
) -> None:
    jobs = jobs_of_every_kind(make)
    wanted = [job.id for job in jobs if status in {None, job.status} and phase in {None, job.sync_phase}]
    found = pages(session, limit=3, status=status, phase=phase)

    assert [job_id for page in found for job_id in page] == wanted


def test_what_is_written_between_two_pages_moves_nothing(session: Session, make: Factory) -> None:
    jobs = jobs_of_every_kind(make)
    first = list_jobs(session, limit=4)
    make.signup()
    make.set(jobs[0].id, status="failed")
    session.rollback()
    second = list_jobs(session, limit=4, cursor=first.next_cursor)

    assert [job.id for job in (*first.jobs, *second.jobs)] == [job.id for job in jobs[:8]]


def test_no_job_is_a_page_without_a_next(session: Session) -> None:
    page = list_jobs(session, limit=10)

    assert (page.jobs, page.next_cursor) == ([], None)


# --- cursors ----------------------------------------------------------------------------------------------------------


def a_cursor(session: Session, make: Factory) -> str:
    for _ in range(2):
        make.signup()
    cursor = list_jobs(session, limit=1).next_cursor
    assert cursor is not None
    return cursor


def test_a_cursor_with_any_character_changed_is_refused(session: Session, make: Factory) -> None:
    cursor = a_cursor(session, make)
    for place, character in enumerate(cursor):
        changed = cursor[:place] + ("A" if character != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(InvalidCursor):
            list_jobs(session, limit=1, cursor=changed)


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "\0", "=" * 32, "A" * 32, urlsafe_b64encode(bytes(range(16))).decode()]
)
def test_what_is_no_cursor_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as refusal:
        list_jobs(session, limit=1, cursor=cursor)

    assert isinstance(refusal.value, CioTasksError)
    assert isinstance(refusal.value, ValueError)


@given(cursor=st.text(st.characters(codec=None), max_size=40))
def test_no_text_makes_a_cursor_fail_in_another_way(cursor: str) -> None:
    with Session() as unconnected, pytest.raises(InvalidCursor):
        list_jobs(unconnected, limit=1, cursor=cursor)


def test_a_cursor_of_another_list_is_refused(session: Session, make: Factory) -> None:
    cursor = a_cursor(session, make)
    for other in ({"status": JobStatus.PENDING}, {"phase": Phase.INITIAL}):
        with pytest.raises(InvalidCursor):
            list_jobs(session, limit=1, cursor=cursor, **other)


# --- one job ----------------------------------------------------------------------------------------------------------


def test_a_job_is_shown_with_all_that_happened_to_it(runtime: Runtime, session: Session, make: Factory) -> None:
    signup = make.signup("ada+403x1@example.com")
    process_due(runtime, limit=10)
    retry_signup(runtime.sessions, signup.id, actor="ops")
    process_due(runtime, limit=10)
    history = get_job(session, make.job(signup).id)

    assert (history.job.status, history.job.signup.customer.email) == ("completed", "ada+403x1@example.com")
    assert [attempt.outcome for attempt in history.attempts] == ["rejected", "delivered"]
    assert [letter.resolution for letter in history.dead_letters] == ["manual_retry"]
    assert [entry.action for entry in history.audit] == [
        "enqueued",
        "customerio_sync_failed",
        "manual_retry",
        "customerio_synced",
    ]


def test_a_job_that_is_not_there_is_not_found(session: Session) -> None:
    with pytest.raises(NotFound):
        get_job(session, uuid4())


def test_only_the_newest_hundred_of_each_kind_are_shown(session: Session, make: Factory) -> None:
    job, other = make.job(make.signup()), make.job(make.signup())
    numbers = range(1, MANY + 1)
    error = {"error_type": "other", "error_code": "x", "error_message": "x", "exhausted_retries": False}
    letter = {"signup_id": job.signup_id, "sync_phase": "initial", "resolved_at": func.now(), "resolution": "x"}
    attempt = {"retry": 0, "outcome": "released", "started_at": func.now()}
    with make.sessions.begin() as writing:
        for n in numbers:
            writing.add(SyncAttempt(job_id=job.id, claim_token=n, **attempt))
            writing.add(
                DeadLetter(
                    job_id=job.id, attempt_count=n, created_at=job.created_at.replace(microsecond=n), **error, **letter
                )
            )
        writing.add(SyncAttempt(job_id=other.id, claim_token=999, **attempt))
        writing.execute(insert(AuditEntry), [{"action": f"a{n}", "actor": "x", "job_id": job.id} for n in numbers])
    history = get_job(session, job.id)

    assert [attempt.claim_token for attempt in history.attempts] == [*range(6, MANY + 1)]
    assert [letter.attempt_count for letter in history.dead_letters] == [*range(6, MANY + 1)]
    assert [entry.action for entry in history.audit] == [f"a{n}" for n in range(6, MANY + 1)]
