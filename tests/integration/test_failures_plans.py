from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cio_tasks.db import make_engine
from cio_tasks.failures import FailureFilter, count_failures, list_failures
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import ErrorType
from cio_tasks.queries import list_jobs
from cio_tasks.states import JobStatus, Phase
from cio_tasks.stats import read_stats
from tests.conftest import TEMPLATE, Server, copied_database
from tests.integration.plans import beneath, indexes, plans_of, scanned

FILL = [
    """INSERT INTO customers (email, first_name, last_name)
       SELECT i || '@example.com', 'Ada' || i, 'Lovelace' FROM generate_series(1, 4000) i""",
    "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-1' FROM customers",
    """INSERT INTO signup_customerio_sync_jobs
         (signup_id, sync_phase, status, error_type, attempt_count, last_attempt_at)
       SELECT id, phase, CASE WHEN n % 10 < 4 THEN 'failed' WHEN n % 10 < 5 THEN 'pending' ELSE 'completed' END,
              CASE WHEN n % 10 < 4 THEN (ARRAY['network', 'other', 'rate_limit'])[1 + n % 3] END,
              n / 10 % 6, now() - n * interval '1 minute'
         FROM (SELECT id, phase, row_number() OVER () AS n
                 FROM signups, (VALUES ('initial'), ('enriched')) AS phases (phase)) AS numbered""",
    "SELECT gin_clean_pending_list('ix_customers_search')",
    "ANALYZE",
]
NOT_BY_SIZE = [
    """DO $$ BEGIN
         EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
         EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
       END $$""",
]
"""So few rows are quickest read and sorted as a whole. What the tables allow does not depend on how many there are."""
JOBS = SyncJob.__tablename__
PHASE, TYPE = Phase.ENRICHED, ErrorType.NETWORK
LISTS = [
    (FailureFilter(), "ix_sync_jobs_for_failures"),
    (FailureFilter(phase=PHASE), "ix_sync_jobs_for_failures_of_phase"),
    (FailureFilter(error_type=TYPE), "ix_sync_jobs_for_failures_of_type"),
    (FailureFilter(phase=PHASE, error_type=TYPE), "ix_sync_jobs_for_failures_of_phase_and_type"),
]
Ask = Callable[[Session], Any]
READS: dict[str, Ask] = {
    **{f"list {index}": partial(list_failures, wanted=wanted, limit=50) for wanted, index in LISTS},
    **{f"count {index}": partial(count_failures, wanted=wanted) for wanted, index in LISTS},
    "list search": lambda session: list_failures(session, FailureFilter(search="ada17"), limit=50),
    "count search": lambda session: count_failures(session, FailureFilter(search="ada17")),
    "stats": lambda session: read_stats(session, stuck_after=timedelta(minutes=5)),
    "jobs": lambda session: list_jobs(session, limit=50),
    "jobs of a status": lambda session: list_jobs(session, status=JobStatus.PENDING, limit=50),
    "jobs of a phase": lambda session: list_jobs(session, phase=PHASE, limit=50),
    "jobs of both": lambda session: list_jobs(session, status=JobStatus.FAILED, phase=PHASE, limit=50),
}


@pytest.fixture(scope="module")
def full(postgres: Server) -> Iterator[Engine]:
    """A database with eight thousand jobs, three thousand of which failed."""
    with copied_database(postgres.url, TEMPLATE) as url:
        engine = make_engine(url)
        with engine.begin() as connection:
            for statement in [*FILL, *NOT_BY_SIZE]:
                connection.execute(text(statement))
        engine.dispose()
        yield engine
        engine.dispose()


@pytest.mark.parametrize(("wanted", "index"), LISTS, ids=[index for _, index in LISTS])
def test_a_page_is_read_from_its_index_in_order(full: Engine, wanted: FailureFilter, index: str) -> None:
    (plan,) = plans_of(full, lambda session: list_failures(session, wanted, limit=50, offset=100))

    assert index in indexes(plan)
    assert set(beneath(plan, "Limit")) <= {"Limit", "Index Scan", "Index Only Scan"}


def test_a_search_reads_the_index_of_names(full: Engine) -> None:
    (plan,) = plans_of(full, lambda session: count_failures(session, FailureFilter(search="ada1234")))

    assert {"ix_customers_search", "ix_sync_jobs_for_search_of_failures"} <= indexes(plan)


@pytest.mark.parametrize("read", READS)
def test_no_read_goes_through_all_jobs(full: Engine, read: str) -> None:
    for plan in plans_of(full, READS[read]):
        assert JOBS not in scanned(plan)
