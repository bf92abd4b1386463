"""Operating the sync: failures, counts, retries, processing, cleaning up, and the jobs with their history."""

from datetime import timedelta
from typing import Final

from flask import Blueprint, Response

from api.auth import Action, caller, requires
from api.errors import InvalidInput
from api.job_bodies import FailuresQuery, JobsQuery, NoQuery, PhaseQuery, ProcessQuery, RetryMany
from api.job_schemas import Cleaned, JobHistory, JobPage, Processed, Retried, RetriedMany, SyncFailures, SyncStats
from api.masking import show_failure
from api.operations import answer, operation
from api.paths import parse_id
from api.schemas import Job
from api.sessions import current_runtime, current_sessions, snapshot
from cio_tasks import failures, maintenance, operations, queries, stats
from cio_tasks.failures import FailureFilter
from cio_tasks.queries import InvalidCursor

AT_MOST: Final = timedelta(seconds=20)
"""How long a request may go on taking new batches of jobs; one that has begun is finished."""

sync_jobs: Final = Blueprint("sync_jobs", __name__, url_prefix="/api/v1/signups/customerio")


@sync_jobs.get("/sync-failures")
@requires(Action.READ)
@operation("List the failures, those with the most retries first.", query=FailuresQuery, answers={200: SyncFailures})
def list_failures(query: FailuresQuery) -> Response:
    """Return a part of the failures, with personal data as the caller may see it."""
    wanted = FailureFilter(phase=query.sync_phase, error_type=query.error_type, search=query.search or None)
    reveal = caller().may(Action.REVEAL)
    with snapshot() as session:
        found = failures.list_failures(session, wanted, limit=query.limit, offset=query.offset)
        shown = tuple(show_failure(failure, reveal=reveal) for failure in found)
        total = failures.count_failures(session, wanted)
    return answer(SyncFailures(failures=shown, total=total, limit=query.limit, offset=query.offset))


@sync_jobs.get("/stats")
@requires(Action.READ)
@operation("Count all jobs, at one instant.", query=NoQuery, answers={200: SyncStats})
def show_stats(query: NoQuery) -> Response:  # noqa: ARG001 - it is read so that a mistyped parameter is refused
    """Return how many jobs stand where, how old the oldest due one is, and whether the gate is open."""
    with snapshot() as session:
        found = stats.read_stats(session, stuck_after=current_runtime().settings.stuck_after)
    return answer(SyncStats.model_validate(found))


@sync_jobs.post("/<signup_id>/retry")
@requires(Action.OPERATE)
@operation(
    "Run the failed jobs of a signup again, at once and with all retries.",
    query=PhaseQuery,
    answers={200: Retried},
    problems=(404,),
)
def retry_one(signup_id: str, query: PhaseQuery) -> Response:
    """Make the failed jobs of a signup run again, or its job of one phase."""
    wanted = parse_id(signup_id)
    jobs = operations.retry_signup(current_sessions(), wanted, phase=query.sync_phase, actor=caller().name)
    return answer(Retried(signup_id=wanted, retried=len(jobs), jobs=tuple(map(Job.model_validate, jobs))))


@sync_jobs.post("/retry")
@requires(Action.OPERATE)
@operation("Run all failures that a filter matches again.", body=RetryMany, answers={200: RetriedMany})
def retry_many(body: RetryMany) -> Response:
    """Make the failures that match run again; those that somebody has changed meanwhile are passed over."""
    wanted = FailureFilter(phase=body.sync_phase, error_type=body.error_type, search=body.search, job_ids=body.ids)
    done = operations.retry_failures(
        current_sessions(), wanted, actor=caller().name, limit=body.limit, dry_run=body.dry_run, at_most=AT_MOST
    )
    return answer(RetriedMany.model_validate(done))


@sync_jobs.post("/process")
@requires(Action.OPERATE)
@operation("Deliver due jobs now.", query=ProcessQuery, answers={200: Processed})
def process(query: ProcessQuery) -> Response:
    """Deliver up to `limit` due jobs in this process (rows E1 to E3)."""
    actor = caller().name
    done = operations.process_by_hand(current_runtime(), limit=query.limit, actor=actor, at_most=AT_MOST)
    return answer(Processed.model_validate(done))


@sync_jobs.post("/cleanup")
@requires(Action.OPERATE)
@operation("Take stuck jobs back.", query=NoQuery, answers={200: Cleaned})
def clean_up(query: NoQuery) -> Response:  # noqa: ARG001 - as above
    """Take back the jobs whose worker has not reported for too long (rows D4, D5)."""
    return answer(Cleaned(reset_count=maintenance.reset_stuck(current_runtime(), actor=caller().name)))


@sync_jobs.get("/jobs")
@requires(Action.READ)
@operation("List jobs, newest first.", query=JobsQuery, answers={200: JobPage})
def list_jobs(query: JobsQuery) -> Response:
    """Return a page of the jobs, and where the next one begins."""
    with snapshot() as session:
        try:
            page = queries.list_jobs(
                session, status=query.status, phase=query.sync_phase, limit=query.limit, cursor=query.cursor
            )
        except InvalidCursor:
            raise InvalidInput.of("cursor", "must be the nextCursor of a page with the same filter") from None
        jobs = tuple(map(Job.model_validate, page.jobs))
    return answer(JobPage(jobs=jobs, next_cursor=page.next_cursor))


@sync_jobs.get("/jobs/<job_id>")
@requires(Action.READ)
@operation("Read a job with what happened to it.", answers={200: JobHistory}, problems=(404,))
def show_job(job_id: str) -> Response:
    """Return a job with its newest attempts, audit entries and dead letters."""
    with snapshot() as session:
        found = queries.get_job(session, parse_id(job_id))
        job = Job.model_validate(found.job)
        parts = {"attempts": found.attempts, "audit": found.audit, "dead_letters": found.dead_letters}
        return answer(JobHistory.model_validate({**dict(job), **parts}))
