from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from cio_tasks.models import Customer, Signup, SyncJob
from tests.api.callers import SIGNUP, SIGNUPS, Caller, changed
from tests.api.conftest import Counts
from tests.factories import Factory


@pytest.mark.row("B1")
def test_a_signup_is_stored_with_its_pending_initial_job(shop: Caller, make: Factory) -> None:
    answer = shop.submit()
    (signup,) = make.all(Signup)
    job = make.job(signup)
    assert answer.status_code == 201
    assert (answer.json["id"], answer.json["customerId"]) == (str(signup.id), str(signup.customer_id))
    assert (job.status, job.attempt_count, job.max_attempts) == ("pending", 0, 5)
    assert [shown["id"] for shown in answer.json["syncJobs"]] == [str(job.id)]


@pytest.mark.row("H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10")
def test_a_job_is_shown_in_the_shape_of_the_contract(shop: Caller, make: Factory) -> None:
    (shown,) = shop.submit().json["syncJobs"]
    (job,) = make.all(SyncJob)
    assert shown == {
        "id": str(job.id),
        "signupId": str(job.signup_id),
        "syncPhase": "initial",
        "status": "pending",
        "attemptCount": 0,
        "maxAttempts": 5,
        "nextRetryAt": None,
        "lastAttemptAt": None,
        "errorType": None,
        "errorMessage": None,
        "mock": False,
        "createdAt": job.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "updatedAt": job.updated_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def test_a_signup_is_stored_as_it_was_sent(shop: Caller, make: Factory) -> None:
    shop.submit(customer__email="  Ada@Example.com ", customer__firstName=" Ada ")
    (customer,) = make.all(Customer)
    (signup,) = make.all(Signup)
    assert (customer.email, customer.first_name) == ("Ada@Example.com", "Ada")
    assert customer.phone == "+44 (0)20 555-0100"
    assert (signup.operator_id, signup.external_id) == ("op-1", "order-1")
    assert signup.submitted_at == datetime(2026, 1, 31, 11, tzinfo=UTC)


def test_a_signup_needs_only_a_person_and_an_operator(shop: Caller, make: Factory) -> None:
    answer = shop.submit(customer__phone=..., submittedAt=..., externalId=...)
    (signup,) = make.all(Signup)
    assert answer.status_code == 201
    assert signup.submitted_at == signup.created_at


@pytest.mark.parametrize("field", ["customer__phone", "submittedAt", "externalId"])
def test_null_is_as_good_as_absent(field: str, shop: Caller) -> None:
    assert shop.submit(**{field: None}).status_code == 201


def test_a_customer_is_known_by_email_whatever_its_case(shop: Caller, make: Factory) -> None:
    first = shop.submit(externalId="1")
    second = shop.submit(externalId="2", customer__email="ADA@EXAMPLE.COM")
    assert first.json["customerId"] == second.json["customerId"]
    assert first.json["id"] != second.json["id"]
    assert [customer.email for customer in make.all(Customer)] == ["ada@example.com"]


def test_the_newest_names_win_and_a_phone_is_not_lost(shop: Caller, make: Factory) -> None:
    shop.submit(externalId="1")
    shop.submit(externalId="2", customer__lastName="King", customer__phone=...)
    (customer,) = make.all(Customer)
    assert (customer.first_name, customer.last_name) == ("Ada", "King")
    assert customer.phone == "+44 (0)20 555-0100"


def test_the_newest_phone_wins(shop: Caller, make: Factory) -> None:
    shop.submit(externalId="1")
    shop.submit(externalId="2", customer__phone="555.0199")
    assert [customer.phone for customer in make.all(Customer)] == ["555.0199"]


def test_the_same_external_id_again_is_answered_with_the_first_signup(
    shop: Caller, make: Factory, count_rows: Callable[[], Counts]
) -> None:
    first, before = shop.submit(), count_rows()
    again = shop.submit(customer__email="eve@example.com", customer__firstName="Eve")
    assert again.status_code == 200
    assert again.json == first.json
    assert count_rows() == before
    assert [customer.first_name for customer in make.all(Customer)] == ["Ada"]


def test_twenty_at_once_with_one_external_id_make_one_signup(shop: Caller, make: Factory) -> None:
    barrier = Barrier(20)

    def submit(number: int) -> tuple[int, str]:
        barrier.wait(10)
        answer = shop.submit(customer__email=f"ada{number % 3}@example.com")
        return answer.status_code, answer.json["id"]

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(submit, range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert {signup_id for _, signup_id in answers} == {str(signup.id) for signup in make.all(Signup)}
    assert len(make.all(Customer)) == 1


def test_twenty_at_once_by_one_customer_make_one_customer(shop: Caller, make: Factory) -> None:
    barrier = Barrier(20)

    def submit(number: int) -> int:
        barrier.wait(10)
        return shop.submit(
            externalId=f"order-{number}", customer__email=f"{'aA'[number % 2]}da@example.com"
        ).status_code

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(submit, range(20))) == {201}
    assert len(make.all(Customer)) == 1
    assert len(make.all(SyncJob)) == 20


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), -timedelta(days=365)])
def test_a_signup_may_be_old_or_a_little_ahead(ahead: timedelta, shop: Caller) -> None:
    assert shop.submit(submittedAt=(datetime.now(UTC) + ahead).isoformat()).status_code == 201


def test_a_signup_of_the_future_is_refused(shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    answer = shop.submit(submittedAt=(datetime.now(UTC) + timedelta(minutes=6)).isoformat())
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"field": "submittedAt", "message": "must not be in the future"}]
    assert count_rows() == before


@pytest.mark.parametrize(
    "name",
    [
        "<script>window.__xss=1</script>",
        "'; DROP TABLE signups;--",
        "{{7*7}}",
        "${7*7}",
        "%s %(name)s {}",
        "=cmd|' /C calc'!A0",
        "Zoë Müller-Østergård",
        "👩‍👩‍👧‍👦",
        "\u202egnp.exe",
        "\uffff",
        "N" * 2000,
    ],
)
def test_a_strange_name_is_stored_literally(name: str, shop: Caller, make: Factory) -> None:
    assert shop.submit(customer__lastName=name).status_code == 201
    assert [customer.last_name for customer in make.all(Customer)] == [name]


@pytest.mark.parametrize(
    "email",
    ["a+tag@example.com", "ada@münchen.de", "a@b.test", f"a@{'b' * 60}.{'c' * 60}.example.com", "o'hara@example.org"],
)
def test_an_unusual_address_is_taken(email: str, shop: Caller, make: Factory) -> None:
    assert shop.submit(customer__email=email).status_code == 201
    assert [customer.email for customer in make.all(Customer)] == [email]


def test_the_content_type_may_name_its_charset(shop: Caller) -> None:
    assert shop.post(SIGNUPS, SIGNUP, Content_Type="application/json; charset=UTF-8").status_code == 201


def test_a_body_of_just_64_kb_is_taken(shop: Caller) -> None:
    body = changed(SIGNUP, {"customer__lastName": "x" * 100})
    padded = str(body).replace("'", '"').encode().ljust(64_000)
    assert shop.post(SIGNUPS, padded).status_code == 201
