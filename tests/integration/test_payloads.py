"""The payload of each phase as it arrives at Customer.io, and what is refused before anything is sent."""

from typing import Any

import pytest

from cio_tasks.enqueue import enqueue_sync
from cio_tasks.fake import FakeCustomerIO, LedgerOperation, PersonRecord
from cio_tasks.models import Signup, SyncAttempt
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory

PERSON: dict[str, Any] = {"first_name": "Ada", "last_name": "Lovelace", "phone": "+4479460000"}
BET_SLIP = {"bet_amount": 25.5, "team_bet_on": "Rovers", "odds": "+150", "confidence": 0.9}


@pytest.fixture
def signup(make: Factory, runtime: Runtime) -> Signup:
    """A signup whose initial phase was delivered."""
    signup = make.signup("ada@example.com", **PERSON)
    process_due(runtime, limit=10)
    return signup


def person(fake: FakeCustomerIO, signup: Signup) -> PersonRecord:
    found = fake.people.find(str(signup.customer_id))
    assert found is not None
    return found


def sent(fake: FakeCustomerIO) -> list[LedgerOperation]:
    """Return the operations of the last request."""
    return fake.ledger.entries()[-1]["operations"]


# --- the initial phase ------------------------------------------------------------------------------------------------


@pytest.mark.row("A8")
def test_initial_phase_makes_a_person_with_the_whole_profile(signup: Signup, fake: FakeCustomerIO) -> None:
    found = person(fake, signup)

    assert (found["id"], found["email"]) == (str(signup.customer_id), "ada@example.com")
    assert found["attributes"] == {
        "email": "ada@example.com",
        **PERSON,
        "created_at": int(signup.customer.created_at.timestamp()),
        "signup_id": str(signup.id),
        "operator_id": "op-1",
        "submitted_at": int(signup.submitted_at.timestamp()),
    }


@pytest.mark.row("A9")
def test_initial_phase_tracks_the_submission_at_the_time_of_the_row(signup: Signup, fake: FakeCustomerIO) -> None:
    (event,) = fake.people.list_events("signup_submitted")

    assert event["person"] == {"id": str(signup.customer_id)}
    assert event["timestamp"] == int(signup.submitted_at.timestamp())
    assert event["attributes"] == {
        "signup_id": str(signup.id),
        "operator_id": "op-1",
        "submitted_at": int(signup.submitted_at.timestamp()),
    }


@pytest.mark.row("A8", "A9")
def test_person_travels_before_the_event_and_both_are_applied(signup: Signup, fake: FakeCustomerIO) -> None:
    assert [(operation["action"], operation["applied"]) for operation in sent(fake)] == [
        ("identify", True),
        ("event", True),
    ]
    assert fake.ledger.count() == 1


def test_attributes_carry_the_time_of_the_row(signup: Signup, fake: FakeCustomerIO) -> None:
    assert set(person(fake, signup)["stamps"].values()) == {int(signup.submitted_at.timestamp())}


def test_phone_that_is_not_known_is_not_sent(make: Factory, runtime: Runtime, fake: FakeCustomerIO) -> None:
    signup = make.signup()
    process_due(runtime, limit=10)

    assert "phone" not in person(fake, signup)["attributes"]


def test_second_signup_of_a_customer_is_the_same_person_with_another_event(
    make: Factory, runtime: Runtime, fake: FakeCustomerIO, signup: Signup
) -> None:
    with make.sessions.begin() as session:
        second = Signup(customer_id=signup.customer_id, operator_id="op-2")
        enqueue_sync(session, second, Phase.INITIAL)
    process_due(runtime, limit=10)

    assert fake.people.count() == 1
    assert person(fake, signup)["attributes"]["signup_id"] == str(second.id)
    assert len({event["id"] for event in fake.people.list_events("signup_submitted")}) == 2


# --- the enriched phase -----------------------------------------------------------------------------------------------


@pytest.mark.row("A10")
def test_enriched_phase_adds_the_bet_slip_to_the_same_person(
    signup: Signup, make: Factory, runtime: Runtime, fake: FakeCustomerIO
) -> None:
    before = person(fake, signup)["attributes"]
    make.confirm(signup)
    process_due(runtime, limit=10)

    assert person(fake, signup)["attributes"] == {**before, **BET_SLIP}
    assert fake.people.count() == 1


@pytest.mark.row("A11")
def test_enriched_phase_tracks_the_confirmation_with_the_bet_slip(
    signup: Signup, make: Factory, runtime: Runtime, fake: FakeCustomerIO
) -> None:
    make.confirm(signup)
    process_due(runtime, limit=10)
    (confirmed,) = make.all(Signup)
    (event,) = fake.people.list_events("signup_extraction_confirmed")

    assert event["timestamp"] == int(confirmed.extraction_confirmed_at.timestamp())
    assert event["attributes"] == {"signup_id": str(signup.id), "operator_id": "op-1", **BET_SLIP}


@pytest.mark.row("A10", "A11")
def test_correction_overwrites_the_bet_slip_and_is_another_event(
    signup: Signup, make: Factory, runtime: Runtime, fake: FakeCustomerIO
) -> None:
    for team in ("Rovers", "Wanderers"):
        make.confirm(signup, team_bet_on=team)
        process_due(runtime, limit=10)
    events = fake.people.list_events("signup_extraction_confirmed")

    assert [event["attributes"]["team_bet_on"] for event in events] == ["Rovers", "Wanderers"]
    assert len({event["id"] for event in events}) == 2
    assert person(fake, signup)["attributes"]["team_bet_on"] == "Wanderers"


# --- limits, before anything is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"first_name": "x" * 1_001}, "attribute 'first_name' has 1001 bytes, more than 1000"),
        ({"last_name": "é" * 501}, "attribute 'last_name' has 1002 bytes, more than 1000"),
        ({"phone": "1" * 5_000}, "attribute 'phone' has 5000 bytes, more than 1000"),
    ],
)
def test_value_over_a_limit_fails_the_job_by_name_and_nothing_is_sent(
    make: Factory, runtime: Runtime, fake: FakeCustomerIO, columns: dict[str, Any], named: str
) -> None:
    signup = make.signup(**columns)
    process_due(runtime, limit=10)
    job = make.job(signup)

    assert (job.status, job.error_type, job.error_code) == (JobStatus.FAILED, "other", "over_limit")
    assert (job.error_message, job.attempt_count) == (named, 0)
    assert fake.ledger.count() == 0


def test_bet_slip_over_a_limit_fails_the_job_and_nothing_more_is_sent(
    signup: Signup, make: Factory, runtime: Runtime, fake: FakeCustomerIO
) -> None:
    make.confirm(signup, odds="9" * 1_001)
    process_due(runtime, limit=10)

    assert make.job(signup, Phase.ENRICHED).error_message == "attribute 'odds' has 1001 bytes, more than 1000"
    assert fake.ledger.count() == 1


def test_refused_value_is_not_asked_of_customerio_again_and_again(
    make: Factory, runtime: Runtime, fake: FakeCustomerIO
) -> None:
    make.signup(first_name="x" * 1_001)
    summaries = [process_due(runtime, limit=10) for _ in range(3)]

    assert [summary.failed for summary in summaries] == [1, 0, 0]
    assert len(make.all(SyncAttempt)) == 1
    assert fake.ledger.count() == 0


def test_longest_value_is_sent_whole(make: Factory, runtime: Runtime, fake: FakeCustomerIO) -> None:
    signup = make.signup(last_name="🏉" * 250)
    process_due(runtime, limit=10)

    assert person(fake, signup)["attributes"]["last_name"] == "🏉" * 250
