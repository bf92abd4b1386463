"""Accepting a signup: what the job row and the ring cost beside the signup alone, and while Redis is away."""

from itertools import count

from benchmarks.measure import Comparison, compare
from cio_tasks import wake
from cio_tasks.db import Sessions
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.models import Customer, Signup
from cio_tasks.settings import Settings
from cio_tasks.states import Phase

SIGNUPS = 100
numbers = count()


def with_job(sessions: Sessions, settings: Settings) -> Comparison:
    """A signup with its job and the wake-up, beside a signup alone."""
    wake.configure(settings)
    return compare(
        "accept signups",
        ours=("with job and ring", lambda: accept(sessions, enqueue=True)),
        theirs=("signup alone", lambda: accept(sessions, enqueue=False)),
        count=SIGNUPS,
    )


def without_redis(sessions: Sessions, settings: Settings) -> Comparison:
    """The same, beside itself with nobody listening where Redis should be."""
    nobody = Settings.from_env({"DATABASE_URL": settings.required_database_url(), "REDIS_URL": "redis://127.0.0.1:1/0"})

    def run(chosen: Settings) -> None:
        wake.configure(chosen)
        accept(sessions, enqueue=True)

    return compare(
        "accept signups",
        ours=("Redis away", lambda: run(nobody)),
        theirs=("Redis there", lambda: run(settings)),
        count=SIGNUPS,
    )


def accept(sessions: Sessions, *, enqueue: bool) -> None:
    """Commit signups one by one, as requests do."""
    for _ in range(SIGNUPS):
        with sessions.begin() as session:
            customer = Customer(email=f"accept{next(numbers)}@example.com", first_name="Ada", last_name="Lovelace")
            signup = Signup(customer=customer, operator_id="op")
            session.add(signup)
            if enqueue:
                enqueue_sync(session, signup, Phase.INITIAL)
