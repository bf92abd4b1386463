"""What our own rows add to an investigation, with and without Customer.io's side."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from cio_tasks import gate, webhook_events
from cio_tasks.customerio.webhooks import Event
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.value_differences import list_differences, meaning
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.findings import Severity
from cio_tasks.models import Signup
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase
from tests.factories import Factory
from tests.integration.app_client import FREE
from tests.integration.buried import bury
from tests.integration.investigating import DAY, HOUR, Detective, app_settings, codes, complete, missing, person, shown


@pytest.fixture
def look(fake: FakeCustomerIO, sessions: Sessions) -> Detective:
    fake.scenario = FREE
    return Detective(app_settings(fake), sessions)


@pytest.fixture
def alone(fake: FakeCustomerIO, sessions: Sessions) -> Detective:
    """Knows our own side and nobody to ask."""
    return Detective(app_settings(fake, CUSTOMERIO_APP_API_KEY=""), sessions)


def report_back(sessions: Sessions, signup: Signup, *metrics: str, object_type: str = "email") -> None:
    with sessions.begin() as session:
        now = session.execute(select(func.now())).scalar_one()
        for number, metric in enumerate(metrics):
            event = Event(
                f"{object_type}{number}",
                object_type=object_type,
                metric=metric,
                person_id=str(signup.customer_id),
                delivery_id=f"{object_type}-d{number}",
            )
            webhook_events.store(session, event, body=b"{}", signed_at=now)


def test_failed_job_is_told_with_how_to_retry_it(alone: Detective, make: Factory) -> None:
    signup = make.signup()
    job = bury(make, signup, attempt_count=5)
    found = alone.issue(str(signup.id), "sync_failed")

    assert (found.severity, found.next) == (Severity.HIGH, f"ciosync failures retry {job.id}")
    assert found.message == "initial sync failed after 5/5 retries: server_error, Unavailable"


def test_job_that_waits_for_a_retry_is_told(alone: Detective, make: Factory) -> None:
    signup = make.signup()
    make.set(make.job(signup).id, attempt_count=2, error_type="network", error_message="refused")

    assert alone.issue(str(signup.id), "sync_failed").severity == Severity.MEDIUM


@pytest.mark.parametrize(("ago", "found"), [(0, []), (300, ["sync_waiting"])])
def test_job_that_nobody_runs_is_told(alone: Detective, make: Factory, ago: int, found: list[str]) -> None:
    signup = make.signup()
    make.set(make.job(signup).id, created_at=func.now() - timedelta(seconds=ago))
    assert codes(alone(str(signup.id))) == found


def test_closed_gate_matters_to_whoever_waits(alone: Detective, make: Factory, sessions: Sessions) -> None:
    waiting, done = make.signup(), make.signup()
    complete(make, done)
    with sessions.begin() as session:
        gate.close(session, gate.Reason.OPERATOR, wait=None, note="maintenance")

    assert "operator" in alone.issue(str(waiting.id), "gate_closed").message
    assert codes(alone(str(done.id))) == []
    assert shown(alone(str(done.id)))["sync"]["gate"] == {"open": False, "reasons": ["operator"]}


def test_event_that_is_too_old_to_trigger_anything_is_told(alone: Detective, make: Factory) -> None:
    signup = make.signup(submitted_at=func.now() - 4 * DAY)
    bury(make, signup)
    assert "72 h" in alone.issue(str(signup.id), "event_too_old").message


def test_own_side_holds_jobs_attempts_dead_letters_and_webhooks(
    look: Detective, runtime: Runtime, make: Factory, sessions: Sessions
) -> None:
    signup = make.signup("ann+400@example.com")
    process_due(runtime, limit=1)
    report_back(sessions, signup, "sent")
    sync = shown(look(str(signup.id)))["sync"]

    assert (sync["jobs"][0]["status"], sync["attempts"][0]["outcome"]) == ("failed", "rejected")
    assert sync["deadLetters"][0]["jobId"] == sync["jobs"][0]["id"]
    assert [webhook["metric"] for webhook in sync["webhooks"]] == ["sent"]
    assert sync["customer"]["email"] == "ann+400@example.com"


@pytest.mark.row("L17", "L18")
def test_webhooks_tell_of_bounces_and_complaints_when_the_app_api_does_not(
    alone: Detective, make: Factory, sessions: Sessions
) -> None:
    signup = make.signup()
    report_back(sessions, signup, "bounced", "bounced", "spammed")
    report_back(sessions, signup, "bounced", object_type="sms")
    report = alone(str(signup.id))

    assert codes(report) == ["complaints", "bounces"]
    assert report.findings[1].message == "2 bounces, by the webhooks that came in"
    assert shown(report)["delivery"]["bounces"] is None


def test_without_a_key_our_own_side_is_told_all_the_same(alone: Detective, make: Factory) -> None:
    signup = make.signup()
    report = alone(str(signup.id))

    assert (report.is_known, report.customerio.exists) == (True, None)
    assert set(missing(report).values()) == {"no_key"}
    assert {"profile", "segments", "activity", "delivery", "suppression"} <= set(missing(report))


@pytest.mark.parametrize("email", ["ADA@EXAMPLE.COM", " ada@example.com "])
def test_customer_is_known_by_address_in_any_case(alone: Detective, make: Factory, email: str) -> None:
    make.signup("Ada@example.com")
    assert alone(email).is_ours


def test_what_mock_mode_did_is_not_missed_in_the_profile(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    complete(make, signup, ago=HOUR, mock=True)
    fake.remember(person(id=str(signup.customer_id), activities=()))
    assert not {"events_missing", "values_differ"} & set(codes(look(str(signup.id))))


# --- values that differ -----------------------------------------------------------------------------------------------


def test_value_that_somebody_else_changed_is_named_and_not_shown(
    fake: FakeCustomerIO, look: Detective, runtime: Runtime, make: Factory
) -> None:
    signup = make.signup("ada@example.com", first_name="Ada")
    process_due(runtime, limit=1)
    fake.remember(person(id=str(signup.customer_id), attributes={"first_name": "Anna", "last_name": "Lovelace"}))
    found = look.issue(str(signup.id), "values_differ")

    assert "first_name" in found.message
    assert "last_name" not in found.message
    assert "Anna" not in found.message


def test_newest_of_two_signups_is_what_the_profile_should_have(
    look: Detective, runtime: Runtime, make: Factory, sessions: Sessions
) -> None:
    first = make.signup("ada@example.com", submitted_at=func.now() - HOUR)
    with sessions.begin() as session:
        second = Signup(customer_id=first.customer_id, operator_id="op-2")
        session.add(second)
        session.flush()
        enqueue_sync(session, second, Phase.INITIAL)
    process_due(runtime, limit=10)
    report = look("ada@example.com")

    assert report.profile is not None
    assert report.profile.attributes["operator_id"] == "op-2"
    assert "values_differ" not in codes(report)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (25.5, "25.50"),
        (25.0, "25"),
        (1_700_000_000, "1700000000"),
        (True, "true"),
        ("+150", "+150"),
        ("2.5", "2.5"),
        ("", None),
        ("x ", "x"),
        (0.1, "1e-1"),
    ],
)
def test_same_meaning_however_it_is_written(ours: object, theirs: str | None) -> None:
    profile = {} if theirs is None else {"a": theirs}
    assert list_differences({"a": ours}, profile) == []


@pytest.mark.parametrize(("ours", "theirs"), [(25.5, "25"), ("+150", "150"), ("007", "7"), ("a", None), (True, "1")])
def test_different_meaning(ours: object, theirs: str | None) -> None:
    profile = {} if theirs is None else {"a": theirs}
    assert list_differences({"a": ours}, profile) == ["a"]


def test_address_means_the_same_in_any_case() -> None:
    assert meaning("Ada@Example.com", "email") == meaning("ada@example.com", "email")
    assert meaning("Ada", "name") != meaning("ada", "name")
