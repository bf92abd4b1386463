from collections.abc import Iterator

import pytest
from psycopg2 import Error
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from cio_tasks.db import make_engine, make_sessions
from tests.conftest import TEMPLATE, Server, copied_database
from tests.factories import Factory

JOBS = "signup_customerio_sync_jobs"
TWICE = "(VALUES (1), (2)) AS twice (n)"
ATTEMPT = "INSERT INTO customerio_sync_attempts (job_id, claim_token, retry, outcome, error_type, started_at)"
DEAD_LETTER = """
    INSERT INTO customerio_dead_letters
      (job_id, signup_id, sync_phase, error_type, error_code, error_message, attempt_count, exhausted_retries, resolved_at)
"""

REFUSED = [
    (f"UPDATE {JOBS} SET status = 'retrying'", "status_known"),
    (f"UPDATE {JOBS} SET sync_phase = 'late'", "sync_phase_known"),
    (f"UPDATE {JOBS} SET error_type = 'bug'", "error_type_known"),
    (f"UPDATE {JOBS} SET attempt_count = 6", "attempt_count_within_max"),
    (f"UPDATE {JOBS} SET attempt_count = -1", "attempt_count_within_max"),
    (f"UPDATE {JOBS} SET claimed_by = 'a worker'", "only_processing_is_claimed"),
    (f"UPDATE {JOBS} SET completed_at = now()", "only_completed_has_completed_at"),
    (f"UPDATE {JOBS} SET status = 'completed', error_type = 'network'", "completed_has_no_error"),
    (f"UPDATE {JOBS} SET payload_version = 0", "payload_version_positive"),
    (f"INSERT INTO {JOBS} (signup_id, sync_phase) SELECT id, 'initial' FROM signups", "one_per_signup_and_phase"),
    (f"INSERT INTO {JOBS} (signup_id, sync_phase) VALUES (gen_random_uuid(), 'initial')", "fk_"),
    ("DELETE FROM signups", "fk_"),
    ("UPDATE signups SET extraction_confirmed_at = now()", "confirmed_has_confirmed_at"),
    ("UPDATE signups SET extraction_version = 1, extraction_confirmed_at = now()", "confirmed_has_bet_slip"),
    ("UPDATE signups SET bet_amount = 0", "bet_amount_positive"),
    ("UPDATE signups SET confidence = 1.01", "confidence_from_0_to_1"),
    ("UPDATE signups SET customerio_synced = true", "synced_has_synced_at_and_contact"),
    ("UPDATE signups SET customerio_sync_error = 'no'", "only_failed_has_sync_error"),
    (
        "INSERT INTO customers (email, first_name, last_name) SELECT upper(email), 'A', 'B' FROM customers",
        "uq_customers",
    ),
    ("INSERT INTO customerio_gate (reason) VALUES ('mood')", "reason_known"),
    ("INSERT INTO customerio_gate (reason, closed_at) VALUES ('outage', now())", "closed_has_end"),
    ("INSERT INTO customerio_gate (reason, closed_until) VALUES ('outage', now())", "only_closed_has_end"),
    (f"{ATTEMPT} SELECT id, 1, 0, 'delivered', NULL, now() FROM {JOBS}, {TWICE}", "one_per_claim"),
    (f"{ATTEMPT} SELECT id, 1, 0, 'maybe', NULL, now() FROM {JOBS}", "outcome_known"),
    (f"{ATTEMPT} SELECT id, 1, 0, 'rejected', 'bug', now() FROM {JOBS}", "error_type_known"),
    (
        f"{DEAD_LETTER} SELECT id, signup_id, 'initial', 'other', 'x', 'x', 0, false, NULL FROM {JOBS}, {TWICE}",
        "one_unresolved_per_job",
    ),
    (
        f"{DEAD_LETTER} SELECT id, signup_id, 'initial', 'other', 'x', 'x', 0, false, now() FROM {JOBS}",
        "resolved_has_resolution",
    ),
    (f"{DEAD_LETTER} SELECT id, signup_id, 'initial', 'bug', 'x', 'x', 0, false, NULL FROM {JOBS}", "error_type_known"),
]


@pytest.fixture(scope="module")
def tables(postgres: Server) -> Iterator[Engine]:
    """A database with one signup and its job, which every test here leaves as it was."""
    with copied_database(postgres.url, TEMPLATE) as url:
        engine = make_engine(url)
        Factory(make_sessions(engine)).signup()
        yield engine
        engine.dispose()


@pytest.mark.parametrize(("statement", "rule"), REFUSED)
def test_the_database_refuses_what_the_code_must_never_do(tables: Engine, statement: str, rule: str) -> None:
    with tables.connect() as connection, pytest.raises(IntegrityError) as refusal:
        connection.execute(text(statement))

    assert isinstance(refusal.value.orig, Error)
    assert rule in (refusal.value.orig.diag.constraint_name or "")


def columns(engine: Engine, table: str) -> dict[str, tuple[str, bool]]:
    """Return the type of each column, and whether it may be empty."""
    found = inspect(engine).get_columns(table)
    return {column["name"]: (column["type"].compile(engine.dialect), column["nullable"]) for column in found}


@pytest.mark.row("H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10")
def test_the_job_table_has_the_columns_that_others_rely_on(tables: Engine) -> None:
    assert (
        columns(tables, JOBS).items()
        >= {
            "id": ("UUID", False),
            "signup_id": ("UUID", False),
            "status": ("TEXT", False),
            "attempt_count": ("INTEGER", False),
            "max_attempts": ("INTEGER", False),
            "sync_phase": ("TEXT", False),
            "next_retry_at": ("TIMESTAMP WITH TIME ZONE", True),
            "last_attempt_at": ("TIMESTAMP WITH TIME ZONE", True),
            "error_type": ("TEXT", True),
            "error_message": ("TEXT", True),
            "created_at": ("TIMESTAMP WITH TIME ZONE", False),
            "updated_at": ("TIMESTAMP WITH TIME ZONE", False),
        }.items()
    )


@pytest.mark.row("H1", "H2")
def test_a_job_is_known_by_its_id_and_belongs_to_a_signup(tables: Engine) -> None:
    inspector = inspect(tables)
    (foreign_key,) = inspector.get_foreign_keys(JOBS)

    assert inspector.get_pk_constraint(JOBS)["constrained_columns"] == ["id"]
    assert (foreign_key["constrained_columns"], foreign_key["referred_table"]) == (["signup_id"], "signups")


@pytest.mark.row("H13", "H14", "H15", "H16", "H17")
def test_the_signup_table_has_the_columns_that_others_rely_on(tables: Engine) -> None:
    assert (
        columns(tables, "signups").items()
        >= {
            "customerio_synced": ("BOOLEAN", False),
            "customerio_synced_at": ("TIMESTAMP WITH TIME ZONE", True),
            "customerio_contact_id": ("TEXT", True),
            "customerio_sync_failed": ("BOOLEAN", False),
            "customerio_sync_error": ("TEXT", True),
        }.items()
    )
