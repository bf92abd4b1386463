from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from cio_tasks.claims import Claim
from cio_tasks.customerio.limits import encode
from cio_tasks.customerio.track import Operation
from cio_tasks.errors import PayloadError
from cio_tasks.models import Customer, Signup
from cio_tasks.phases import EXTRACTION_CONFIRMED, SIGNUP_SUBMITTED, build, payload_version
from cio_tasks.states import Phase

SUBMITTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIRMED = datetime(2026, 1, 2, 12, tzinfo=UTC)
SIGNUP, CUSTOMER, JOB = UUID(int=1), UUID(int=2), UUID(int=3)
PERSON = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "phone": "+4479460000"}
BET_SLIP = {"bet_amount": Decimal("25.50"), "team_bet_on": "Rovers", "odds": "+150", "confidence": 0.9}


def signup(**columns: Any) -> Signup:
    person = {name: columns.pop(name, value) for name, value in PERSON.items()}
    customer = Customer(id=CUSTOMER, created_at=SUBMITTED, **person)
    values = {"operator_id": "op-1", "submitted_at": SUBMITTED, "extraction_version": 0, **columns}
    return Signup(id=SIGNUP, customer_id=CUSTOMER, customer=customer, **values)


def confirmed(**columns: Any) -> Signup:
    return signup(**{**BET_SLIP, "extraction_version": 1, "extraction_confirmed_at": CONFIRMED, **columns})


def operations(row: Signup, phase: Phase = Phase.INITIAL, version: int = 1) -> list[Operation]:
    claim = Claim(
        job_id=JOB,
        signup_id=row.id,
        phase=phase,
        token=1,
        attempt_count=0,
        max_attempts=5,
        payload_version=version,
        manual_retry=False,
        worker="w",
        claimed_at=SUBMITTED,
        signup=row,
    )
    return build(claim)


@pytest.mark.row("A8")
def test_initial_phase_identifies_the_person_with_the_whole_profile() -> None:
    identify, _ = operations(signup())

    assert identify["identifiers"] == {"id": str(CUSTOMER)}
    assert identify["timestamp"] == SUBMITTED.timestamp()
    assert identify["attributes"] == {
        **PERSON,
        "created_at": SUBMITTED.timestamp(),
        "signup_id": str(SIGNUP),
        "operator_id": "op-1",
        "submitted_at": SUBMITTED.timestamp(),
    }


@pytest.mark.row("A9")
def test_initial_phase_tracks_the_submission() -> None:
    _, event = operations(signup())

    assert (event["name"], event["timestamp"]) == (SIGNUP_SUBMITTED, SUBMITTED.timestamp())
    assert event["identifiers"] == {"id": str(CUSTOMER)}
    assert event["attributes"] == {
        "signup_id": str(SIGNUP),
        "operator_id": "op-1",
        "submitted_at": SUBMITTED.timestamp(),
    }


@pytest.mark.row("A10")
def test_enriched_phase_sends_the_bet_slip_as_attributes() -> None:
    identify, _ = operations(confirmed(), Phase.ENRICHED)

    assert identify["timestamp"] == CONFIRMED.timestamp()
    assert identify["attributes"] == {"bet_amount": 25.5, "team_bet_on": "Rovers", "odds": "+150", "confidence": 0.9}


@pytest.mark.row("A11")
def test_enriched_phase_tracks_the_confirmation() -> None:
    _, event = operations(confirmed(), Phase.ENRICHED)

    assert (event["name"], event["timestamp"]) == (EXTRACTION_CONFIRMED, CONFIRMED.timestamp())
    assert event["attributes"]["signup_id"] == str(SIGNUP)
    assert event["attributes"]["bet_amount"] == 25.5


def test_phone_that_is_not_known_is_left_out() -> None:
    identify, _ = operations(signup(phone=None))

    assert "phone" not in identify["attributes"]


def test_every_payload_of_a_row_is_the_same() -> None:
    assert operations(signup()) == operations(signup())
    assert operations(confirmed(), Phase.ENRICHED) == operations(confirmed(), Phase.ENRICHED)


def test_correction_is_a_new_event() -> None:
    ids = {operations(confirmed(), Phase.ENRICHED, version)[1]["id"] for version in (1, 2, 3)}

    assert len(ids) == 3


@pytest.mark.parametrize(("version", "initial", "enriched"), [(0, 1, 1), (1, 1, 1), (4, 1, 4)])
def test_only_corrections_of_the_bet_slip_count_as_versions(version: int, initial: int, enriched: int) -> None:
    row = signup(extraction_version=version)

    assert payload_version(row, Phase.INITIAL) == initial
    assert payload_version(row, Phase.ENRICHED) == enriched


def test_unconfirmed_bet_slip_is_not_sent() -> None:
    with pytest.raises(PayloadError, match="not confirmed"):
        operations(signup(), Phase.ENRICHED)


@pytest.mark.parametrize("column", ["email", "first_name", "last_name", "phone", "operator_id"])
def test_value_over_the_limit_is_named_and_not_shown(column: str) -> None:
    with pytest.raises(PayloadError) as caught:
        operations(signup(**{column: "é" * 501}))

    assert str(caught.value) == f"attribute '{column}' has 1002 bytes, more than 1000"


@pytest.mark.parametrize("column", ["team_bet_on", "odds"])
def test_bet_slip_over_the_limit_is_named_and_not_shown(column: str) -> None:
    with pytest.raises(PayloadError) as caught:
        operations(confirmed(**{column: "x" * 1001}), Phase.ENRICHED)

    assert str(caught.value) == f"attribute '{column}' has 1001 bytes, more than 1000"


def test_value_that_just_fits_is_sent_as_it_is() -> None:
    identify, _ = operations(signup(last_name="é" * 500))

    assert identify["attributes"]["last_name"] == "é" * 500


@pytest.mark.parametrize("columns", [{"last_name": "\ud800"}, {"operator_id": "\udfff"}])
def test_lone_surrogate_cannot_be_sent(columns: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        operations(signup(**columns))


def test_confidence_that_is_no_number_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        operations(confirmed(confidence=float("nan")), Phase.ENRICHED)


def test_operations_are_what_json_can_say() -> None:
    assert all(encode(operation) for operation in [*operations(signup()), *operations(confirmed(), Phase.ENRICHED)])
