"""The counts are what a GROUP BY would say, whatever changed the rows."""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.models import RowCount
from cio_tasks.schema import SCRIPTS
from cio_tasks.stats import roll_up_counts
from tests.conftest import TEMPLATE, Server, copied_database
from tests.factories import Factory
from tests.integration.buried import bury

JOBS, LETTERS = "signup_customerio_sync_jobs", "customerio_dead_letters"
COUNTED = text("""
    SELECT counted, status, sync_phase, error_type, sum(change) FROM customerio_row_counts
     GROUP BY counted, status, sync_phase, error_type HAVING sum(change) <> 0
""")
THERE = text("""
    SELECT 'job', status, sync_phase, error_type, count(*) FROM signup_customerio_sync_jobs
     GROUP BY status, sync_phase, error_type
    UNION ALL
    SELECT 'dead_letter', NULL, sync_phase, error_type, count(*) FROM customerio_dead_letters
     WHERE resolved_at IS NULL GROUP BY sync_phase, error_type
""")
PEOPLE = [
    """INSERT INTO customers (email, first_name, last_name)
       SELECT i || '@example.com', 'Ada', 'Lovelace' FROM generate_series(1, 6) i""",
    "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-1' FROM customers",
]
SOME = f"FROM {JOBS} WHERE hashtext(id::text || :seed) % 2 = 0"
CHANGES = [
    f"""INSERT INTO {JOBS} (signup_id, sync_phase) SELECT id, 'initial' FROM signups
         WHERE hashtext(id::text || :seed) % 2 = 0 ON CONFLICT DO NOTHING""",
    f"""INSERT INTO {JOBS} (signup_id, sync_phase, status) SELECT id, 'enriched', 'failed' FROM signups
        ON CONFLICT (signup_id, sync_phase) DO UPDATE SET status = 'failed', error_type = 'network'""",
    f"UPDATE {JOBS} SET status = 'completed', error_type = NULL WHERE id IN (SELECT id {SOME})",
    f"UPDATE {JOBS} SET status = 'failed', error_type = 'other' WHERE id IN (SELECT id {SOME})",
    f"UPDATE {JOBS} SET status = 'pending', error_type = NULL WHERE status = 'failed'",
    f"UPDATE {JOBS} SET claim_token = claim_token + 1",
    f"UPDATE {JOBS} SET status = 'pending' WHERE false",
    f"""INSERT INTO {LETTERS}
          (job_id, signup_id, sync_phase, error_type, error_code, error_message, attempt_count, exhausted_retries)
        SELECT id, signup_id, sync_phase, 'other', 'x', 'x', 0, false {SOME} ON CONFLICT DO NOTHING""",
    f"UPDATE {LETTERS} SET resolved_at = now(), resolution = 'reset' WHERE hashtext(id::text || :seed) % 2 = 0",
    f"UPDATE {LETTERS} SET error_message = 'y'",
    f"DELETE FROM {LETTERS} WHERE resolved_at IS NOT NULL",
    f"DELETE {SOME} AND id NOT IN (SELECT job_id FROM {LETTERS})",
    f"TRUNCATE {LETTERS}",
    f"TRUNCATE {JOBS} CASCADE",
    f"TRUNCATE {JOBS}, {LETTERS}, customerio_sync_attempts, customerio_row_counts",
]


def counted_and_there(sessions: Sessions) -> tuple[set[object], set[object]]:
    with sessions() as session:
        return tuple({tuple(row) for row in session.execute(query)} for query in (COUNTED, THERE))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def emptied(postgres: Server) -> Iterator[Sessions]:
    """A database with signups, whose jobs every example begins without."""
    with copied_database(postgres.url, TEMPLATE) as url:
        engine = make_engine(url)
        with engine.begin() as connection:
            for statement in PEOPLE:
                connection.execute(text(statement))
        yield make_sessions(engine)
        engine.dispose()


@pytest.mark.row("D1", "D2")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(CHANGES), st.booleans(), st.booleans()), max_size=12),
    seed=st.integers(0, 99),
)
@example(steps=[(change, True, False) for change in CHANGES], seed=1)
@example(steps=[(change, True, True) for change in [*CHANGES[:13], *CHANGES]], seed=2)
def test_the_counts_are_what_is_there_whatever_changed_the_rows(
    emptied: Sessions, steps: list[tuple[str, bool, bool]], seed: int
) -> None:
    with emptied.begin() as session:
        session.execute(text(f"TRUNCATE {JOBS} CASCADE"))
    for number, (change, kept, rolled_up) in enumerate(steps):
        with emptied() as session:
            session.execute(text(change), {"seed": f"{seed} {number}"})
            if rolled_up:
                roll_up_counts(session, more_than=0)
            session.commit() if kept else session.rollback()
        counted, there = counted_and_there(emptied)
        assert counted == there


def test_a_roll_up_keeps_one_row_of_each_kind_that_there_is(session: Session, make: Factory) -> None:
    """Three jobs were pending and failed: nothing is left to be said of pending ones."""
    for _ in range(3):
        bury(make, make.signup())
    before = session.scalar(select(func.count(RowCount.id)))
    replaced = roll_up_counts(session, more_than=0)
    kinds = session.execute(select(RowCount.counted, RowCount.status, RowCount.change)).all()

    assert before == replaced
    assert sorted(map(tuple, kinds)) == [("dead_letter", None, 3), ("job", "failed", 3)]


def test_a_change_that_changes_no_count_writes_no_row(make: Factory) -> None:
    job = bury(make, make.signup())
    before = len(make.all(RowCount))
    make.set(job.id, claim_token=7, http_status=504)
    with make.sessions.begin() as session:
        session.execute(text(f"UPDATE {LETTERS} SET error_message = 'y'"))
        session.execute(text(f"UPDATE {JOBS} SET status = 'failed' WHERE false"))

    assert len(make.all(RowCount)) == before


def test_a_few_rows_are_not_worth_a_roll_up(session: Session, make: Factory) -> None:
    make.signup()

    assert roll_up_counts(session) == 0
    assert roll_up_counts(session, more_than=1) == 0
    assert roll_up_counts(session, more_than=0) == 1


def test_a_roll_up_takes_the_oldest_rows_first_and_no_more_than_it_may(make: Factory) -> None:
    for _ in range(5):
        make.signup()
    with make.sessions.begin() as session:
        assert roll_up_counts(session, more_than=0, at_most=3) == 3

    assert sorted(row.change for row in make.all(RowCount)) == [1, 1, 3]
    counted, there = counted_and_there(make.sessions)
    assert counted == there


def test_a_roll_up_does_nothing_while_another_one_runs(make: Factory) -> None:
    make.signup()
    with make.sessions.begin() as first, make.sessions.begin() as second:
        assert roll_up_counts(first, more_than=0) == 1
        assert roll_up_counts(second, more_than=0) == 0

    assert len(make.all(RowCount)) == 1


def test_jobs_that_were_there_before_the_counts_are_counted(engine: Engine, make: Factory, database_url: str) -> None:
    bury(make, make.signup())
    make.confirm(make.signup())
    engine.dispose()
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        connection.execute(text(f"UPDATE {JOBS} SET status = 'completed', error_type = NULL WHERE status = 'pending'"))
        connection.commit()
        command.upgrade(config, "head")
    counted, there = counted_and_there(make.sessions)

    assert counted == there
    assert len(there) == 4
