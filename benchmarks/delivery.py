"""Delivering: many jobs to a request, or one."""

from itertools import count

from sqlalchemy import delete, insert

from benchmarks.measure import Comparison, compare
from cio_tasks.models import Customer, Signup, SyncAttempt, SyncJob
from cio_tasks.processor import process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase

JOBS = 300
numbers = count()


def batches(runtime: Runtime) -> Comparison:
    """`process_due`, 200 jobs to a request, beside one request a job, which is what one task a signup comes to."""

    def one_by_one() -> None:
        with runtime.sessions() as session:
            ids = session.query(SyncJob.id).all()
        for (job_id,) in ids:
            sync_one(runtime, job_id)

    return compare(
        "deliver jobs",
        ours=("200 to a request", lambda: drain(runtime)),
        theirs=("one request each", one_by_one),
        count=JOBS,
        prepare=lambda: refill(runtime),
    )


def drain(runtime: Runtime) -> None:
    """Deliver all that is due."""
    assert process_due(runtime, limit=JOBS).succeeded == JOBS


def refill(runtime: Runtime) -> None:
    """Replace all jobs by those of new signups. The audit only grows, and so what it names stays."""
    with runtime.sessions.begin() as session:
        for model in (SyncAttempt, SyncJob):
            session.execute(delete(model))
        emails = [f"bench{next(numbers)}@example.com" for _ in range(JOBS)]
        people = [{"email": email, "first_name": "Ada", "last_name": "Lovelace"} for email in emails]
        customers = session.scalars(insert(Customer).returning(Customer.id), people).all()
        signups = session.scalars(
            insert(Signup).returning(Signup.id), [{"customer_id": id_, "operator_id": "op"} for id_ in customers]
        ).all()
        session.execute(insert(SyncJob), [{"signup_id": id_, "sync_phase": Phase.INITIAL} for id_ in signups])
