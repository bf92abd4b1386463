"""What is read for an incident is read by indexes, however much there is, and changes nothing."""

from datetime import timedelta
from threading import Event
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from sqlalchemy import Engine, text

from cio_tasks.customerio.status_page import StatusPage
from cio_tasks.diagnostics.incident import stored
from cio_tasks.diagnostics.incident.evidence import Attempts, Credentials, Unknown
from cio_tasks.diagnostics.incident.gathering import gather
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.runbook import RUNBOOKS, take_steps
from cio_tasks.diagnostics.incident.severity import judge
from cio_tasks.diagnostics.incident.steps import Case, Result, Status, Step, passed
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from tests.factories import Factory
from tests.integration.incidents import Past
from tests.integration.plans import indexes, plans_of, scanned

MANY = """
INSERT INTO customerio_sync_attempts (job_id, claim_token, retry, outcome, started_at, finished_at)
SELECT (SELECT id FROM signup_customerio_sync_jobs LIMIT 1), 5000 + i, 0, 'delivered', now(), now() - i * interval '1 min'
FROM generate_series(1, 20000) i
"""
ROWS = """
SELECT (SELECT count(*) FROM customerio_sync_attempts), (SELECT count(*) FROM audit_logs),
       (SELECT count(*) FROM customerio_alerts), (SELECT count(*) FROM customerio_gate)
"""


@pytest.fixture
def near(settings: Settings, fake: FakeCustomerIO) -> Settings:
    return settings.model_copy(update={"customerio_status_url": fake.url})


def case_of(settings: Settings, runtime: Runtime) -> Case:
    evidence = gather(settings, runtime.sessions)
    return Case(settings, runtime.sessions, evidence, judge(evidence))


def test_attempts_of_the_last_minutes_are_found_by_their_time(engine: Engine, make: Factory) -> None:
    Past(make).delivered(1)
    with engine.begin() as connection:
        connection.execute(text(MANY))
        connection.execute(text("ANALYZE"))
    *_, plan = plans_of(engine, stored.read_attempts)

    assert "ix_sync_attempts_for_error_rate" in indexes(plan)
    assert "customerio_sync_attempts" not in scanned(plan)


def test_all_parts_are_gathered_and_nothing_is_written(near: Settings, runtime: Runtime, engine: Engine) -> None:
    def rows() -> Any:
        with engine.connect() as connection:
            return connection.execute(text(ROWS)).one()

    before = rows()
    case = case_of(near, runtime)
    for level in Level:
        list(take_steps(case, level))

    assert rows() == before
    assert isinstance(case.evidence.status_page, StatusPage)
    assert isinstance(case.evidence.credentials, Credentials)
    assert isinstance(case.evidence.attempts, Attempts)
    assert not case.evidence.is_empty


def test_without_a_database_the_rows_are_unknown(near: Settings) -> None:
    assert gather(near, None).queue == Unknown("not_set", "DATABASE_URL is not set")


def break_down(_case: Case) -> Result:
    raise RuntimeError("SECRETCANARY")


def hang(_case: Case) -> Result:
    Event().wait()
    return passed("never")


def test_step_that_breaks_or_hangs_is_left_to_a_person(near: Settings, runtime: Runtime) -> None:
    case = case_of(near, runtime)
    checks = (break_down, hang, lambda _case: passed("fine"))
    steps = tuple(Step(f"X.{number}", "A step", check) for number, check in enumerate(checks))
    taken = take_steps(case, Level.P1, longest=timedelta(seconds=0.2), runbooks={Level.P1: steps})

    assert [(one.result.status, one.result.evidence) for one in taken] == [
        (Status.HUMAN, "could not be looked at: RuntimeError"),
        (Status.HUMAN, "did not end within 0.2 s"),
        (Status.PASS, "fine"),
    ]


def test_steps_for_which_no_time_is_left_are_for_a_person(near: Settings, runtime: Runtime) -> None:
    steps = tuple(Step(f"T{number}", "Test", lambda _case: passed("well")) for number in (1, 2))
    taken = [*take_steps(case_of(near, runtime), Level.P1, altogether=timedelta(0), runbooks={Level.P1: steps})]

    assert [one.result.status for one in taken] == [Status.HUMAN, Status.HUMAN]
    assert "took all the time" in taken[0].result.evidence


def test_addresses_are_masked_before_anybody_shows_them(
    near: Settings, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    Past(make).reported(1, "bounced", person_id=str(make.signup("bob@example.com").customer_id))
    key = {"Authorization": "Bearer app-key"}
    requests.post(f"{fake.url}/v1/esp/suppression/bounces/bob%40example.com", headers=key, timeout=5).raise_for_status()
    asking = near.model_copy(update={"customerio_app_api_key": SecretStr("app-key"), "customerio_app_url": fake.url})
    (taken,) = [one for one in take_steps(case_of(asking, runtime), Level.P3) if one.step.id == "P3.2"]

    assert taken.result.status is Status.FAIL
    assert "b•••@ex•••.com" in taken.result.evidence
    assert "bob@" not in taken.result.evidence


@pytest.mark.parametrize(("level", "count"), [(Level.P1, 6), (Level.P2, 5), (Level.P3, 5), (Level.P4, 5)])
def test_every_runbook_has_its_steps_in_order(level: Level, count: int) -> None:
    assert [step.id for step in RUNBOOKS[level]] == [f"{level}.{number}" for number in range(1, count + 1)]
