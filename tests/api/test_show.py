from typing import Any

import pytest

from cio_tasks.models import Customer, Signup
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.api.callers import NOBODY, SIGNUPS, Caller
from tests.factories import Factory


def show(caller: Caller, signup: Signup) -> dict[str, Any]:
    answer = caller.get(f"{SIGNUPS}/{signup.id}")
    assert answer.status_code == 200
    shown: dict[str, Any] = answer.json
    return shown


def test_a_signup_is_shown_with_its_bet_slip(shop: Caller, operator: Caller, make: Factory) -> None:
    signup = make.signup(external_id="order-1")
    shop.confirm(signup.id)
    shown = show(operator, signup)
    slip = {"betAmount": 25.5, "teamBetOn": "Rovers", "odds": "+150", "confidence": 0.9, "extractionVersion": 1}
    assert {name: shown[name] for name in slip} == slip
    assert (shown["id"], shown["externalId"], shown["operatorId"]) == (str(signup.id), "order-1", "op-1")
    assert [job["syncPhase"] for job in shown["syncJobs"]] == ["initial", "enriched"]


@pytest.mark.row("H13", "H14", "H15", "H16", "H17")
def test_a_synced_signup_says_since_when_and_as_whom(viewer: Caller, make: Factory, runtime: Runtime) -> None:
    signup = make.signup()
    assert show(viewer, signup)["customerioSynced"] is False
    process_due(runtime, limit=1)
    shown = show(viewer, signup)
    assert shown["customerioSynced"] is True
    assert shown["customerioSyncedAt"].endswith("Z")
    assert shown["customerioContactId"] == str(signup.customer_id)
    assert (shown["customerioSyncFailed"], shown["customerioSyncError"]) == (False, None)


@pytest.mark.row("B11", "H16", "H17")
def test_a_failed_signup_says_why(viewer: Caller, make: Factory, runtime: Runtime) -> None:
    signup = make.signup(first_name="x" * 1001)
    process_due(runtime, limit=1)
    shown = show(viewer, signup)
    assert shown["customerioSyncFailed"] is True
    assert "1001 bytes" in shown["customerioSyncError"]


def test_a_job_is_shown_with_its_attempts(viewer: Caller, make: Factory, runtime: Runtime) -> None:
    signup = make.signup()
    process_due(runtime, limit=1)
    (job,) = show(viewer, signup)["syncJobs"]
    (attempt,) = job["attempts"]
    assert (job["status"], job["lastAttemptAt"] is not None) == ("completed", True)
    assert (attempt["retry"], attempt["outcome"], attempt["httpStatus"]) == (0, "delivered", 200)
    assert attempt["durationMs"] >= 0


@pytest.mark.parametrize("token", ["operator-token", "admin-token"])
def test_operators_and_admins_see_personal_data(token: str, shop: Caller, make: Factory) -> None:
    shop.submit()
    (customer,) = make.all(Customer)
    (signup,) = make.all(Signup)
    assert show(Caller(shop.app, token), signup)["customer"] == {
        "id": str(customer.id),
        "email": "ada@example.com",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "phone": "+44 (0)20 555-0100",
    }


def test_a_viewer_sees_personal_data_masked(shop: Caller, viewer: Caller, make: Factory) -> None:
    shop.submit()
    (signup,) = make.all(Signup)
    shown = show(viewer, signup)["customer"]
    assert shown["email"] == "a•••@ex•••.com"
    assert (shown["firstName"], shown["lastName"], shown["phone"]) == ("A.", "L.", "•••00")
    assert not {"Lovelace", "ada@example.com", "555"} & set(map(str, shown.values()))


def test_a_viewer_sees_that_there_is_no_phone(viewer: Caller, make: Factory) -> None:
    assert show(viewer, make.signup())["customer"]["phone"] is None


@pytest.mark.parametrize("signup_id", [NOBODY, "x", "%00", f"{NOBODY}x"])
def test_an_unknown_signup_is_not_found(signup_id: object, viewer: Caller) -> None:
    answer = viewer.get(f"{SIGNUPS}/{signup_id}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
