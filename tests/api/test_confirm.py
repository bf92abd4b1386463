from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest

from cio_tasks.models import Signup, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import Phase
from tests.api.callers import NOBODY, SLIP, Caller, confirm_path
from tests.api.conftest import Counts
from tests.factories import Factory


@pytest.mark.row("B4", "B5")
def test_confirming_stores_the_bet_slip_and_creates_the_enriched_job(shop: Caller, make: Factory) -> None:
    signup = make.signup()
    answer = shop.confirm(signup.id)
    (row,) = make.all(Signup)
    job = make.job(signup, Phase.ENRICHED)
    assert answer.status_code == 200
    assert (row.bet_amount, row.team_bet_on, row.odds, row.confidence) == (Decimal("25.50"), "Rovers", "+150", 0.9)
    assert (row.extraction_version, row.extraction_confirmed_at is not None) == (1, True)
    assert answer.json["id"] == str(signup.id)
    assert [(shown["id"], shown["syncPhase"]) for shown in answer.json["syncJobs"]] == [(str(job.id), "enriched")]


def test_the_same_values_again_make_no_new_version(shop: Caller, make: Factory) -> None:
    signup = make.signup()
    first = shop.confirm(signup.id)
    again = shop.confirm(signup.id, betAmount=25.50)
    (row,) = make.all(Signup)
    assert again.json["syncJobs"][0]["id"] == first.json["syncJobs"][0]["id"]
    assert row.extraction_version == 1


@pytest.mark.row("B2")
def test_the_same_values_after_completion_send_nothing(shop: Caller, make: Factory, runtime: Runtime) -> None:
    signup = make.signup()
    shop.confirm(signup.id)
    assert process_due(runtime, limit=10).succeeded + process_due(runtime, limit=10).succeeded == 2
    answer = shop.confirm(signup.id)
    assert [job["status"] for job in answer.json["syncJobs"]] == ["completed"]
    assert process_due(runtime, limit=10).processed == 0


def test_a_correction_after_completion_sends_again(shop: Caller, make: Factory, runtime: Runtime) -> None:
    signup = make.signup()
    shop.confirm(signup.id)
    assert process_due(runtime, limit=10).succeeded + process_due(runtime, limit=10).succeeded == 2
    answer = shop.confirm(signup.id, odds="-110")
    job = make.job(signup, Phase.ENRICHED)
    assert [shown["status"] for shown in answer.json["syncJobs"]] == ["pending"]
    assert job.payload_version == 2


@pytest.mark.parametrize(
    "correction", [{"betAmount": 25.51}, {"teamBetOn": "City"}, {"odds": "2.5"}, {"confidence": 0.91}], ids=str
)
def test_any_other_value_is_a_new_version(correction: dict[str, Any], shop: Caller, make: Factory) -> None:
    signup = make.signup()
    shop.confirm(signup.id)
    shop.confirm(signup.id, **correction)
    assert [row.extraction_version for row in make.all(Signup)] == [2]


def test_a_signup_that_another_program_filled_in_is_confirmed_all_the_same(shop: Caller, make: Factory) -> None:
    signup = make.signup(bet_amount=Decimal("25.50"), team_bet_on="Rovers", odds="+150", confidence=0.9)
    assert shop.confirm(signup.id).status_code == 200
    assert [row.extraction_version for row in make.all(Signup)] == [1]


def test_twenty_confirmations_at_once_make_one_job(shop: Caller, make: Factory) -> None:
    signup, barrier = make.signup(), Barrier(20)

    def confirm(number: int) -> int:
        barrier.wait(10)
        return shop.confirm(signup.id, betAmount=10 + number % 2).status_code

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(confirm, range(20))) == {200}
    (row,) = make.all(Signup)
    assert len(make.all(SyncJob, sync_phase="enriched")) == 1
    assert make.job(signup, Phase.ENRICHED).payload_version == row.extraction_version


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("0.01", "0.01"), ("9999999999.99", "9999999999.99"), ("1e2", "100.00"), ("25.500", "25.50"), ("7", "7.00")],
)
def test_an_amount_is_stored_to_the_cent(sent: str, stored: str, shop: Caller, make: Factory) -> None:
    signup = make.signup()
    body = f'{{"betAmount": {sent}, "teamBetOn": "Rovers", "odds": "2.5", "confidence": 1}}'
    assert shop.post(confirm_path(signup.id), body.encode()).status_code == 200
    assert [str(row.bet_amount) for row in make.all(Signup)] == [stored]


@pytest.mark.parametrize(
    "path",
    [
        NOBODY,
        str(NOBODY).replace("-", ""),
        f"urn:uuid:{NOBODY}",
        f"{{{NOBODY}}}",
        "1",
        "..%2f..%2fx",
        "%00",
        "cio_123",
        "%ED%A0%80",
        "'%20OR%201=1--",
        "null",
        "x" * 5000,
    ],
)
def test_what_no_signup_has_as_its_id_is_unknown(path: object, shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    answer = shop.confirm(path)
    assert answer.status_code == 404
    assert {**answer.json, "requestId": "?"} == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing here.",
        "code": "not_found",
        "requestId": "?",
    }
    assert count_rows() == before


def test_the_id_of_a_job_is_not_the_id_of_a_signup(shop: Caller, make: Factory) -> None:
    assert shop.confirm(make.job(make.signup()).id).status_code == 404


def test_an_id_may_be_in_capitals(shop: Caller, make: Factory) -> None:
    assert shop.post(confirm_path(str(make.signup().id).upper()), SLIP).status_code == 200
