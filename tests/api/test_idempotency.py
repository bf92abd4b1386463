from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from cio_tasks.models import IdempotencyKey, Signup
from cio_tasks.states import Phase
from tests.api.callers import NOBODY, SIGNUP, SIGNUPS, SLIP, Caller, changed, confirm_path
from tests.api.conftest import Counts
from tests.factories import Factory

ANONYMOUS_ORDER = changed(SIGNUP, {"externalId": ...})


def test_the_same_key_and_body_get_the_first_answer(shop: Caller, count_rows: Callable[[], Counts]) -> None:
    first = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    before = count_rows()
    again = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    assert (again.status_code, again.data) == (first.status_code, first.data) == (201, again.data)
    assert count_rows() == before


def test_a_body_written_otherwise_is_the_same_body(shop: Caller, make: Factory) -> None:
    spaced = changed(ANONYMOUS_ORDER, {"customer__firstName": " Ada ", "submittedAt": "2026-01-31T11:00:00Z"})
    first = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    again = shop.post(SIGNUPS, dict(reversed(spaced.items())), Idempotency_Key="k")
    assert again.json == first.json
    assert len(make.all(Signup)) == 1


def test_another_body_under_the_same_key_is_a_conflict(shop: Caller, count_rows: Callable[[], Counts]) -> None:
    shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    before = count_rows()
    reply = shop.post(SIGNUPS, changed(ANONYMOUS_ORDER, {"operatorId": "op-2"}), Idempotency_Key="k")
    assert (reply.status_code, reply.json["code"]) == (409, "conflict")
    assert count_rows() == before


def test_another_route_under_the_same_key_is_a_conflict(shop: Caller, make: Factory) -> None:
    one, other = make.signup(), make.signup()
    assert shop.post(confirm_path(one.id), SLIP, Idempotency_Key="k").status_code == 200
    assert shop.post(confirm_path(other.id), SLIP, Idempotency_Key="k").status_code == 409
    assert len(make.all(Signup, extraction_version=0)) == 1


def test_a_key_belongs_to_its_token(shop: Caller, admin: Caller, make: Factory) -> None:
    first = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    other = admin.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    assert (first.status_code, other.status_code) == (201, 201)
    assert len(make.all(Signup)) == 2


def test_a_repeated_confirmation_does_not_undo_a_correction(shop: Caller, make: Factory) -> None:
    signup = make.signup()
    first = shop.post(confirm_path(signup.id), SLIP, Idempotency_Key="k")
    shop.confirm(signup.id, odds="-110")
    again = shop.post(confirm_path(signup.id), SLIP, Idempotency_Key="k")
    assert again.data == first.data
    assert [row.odds for row in make.all(Signup)] == ["-110"]
    assert make.job(signup, Phase.ENRICHED).payload_version == 2


def test_twenty_at_once_under_one_key_make_one_signup(shop: Caller, make: Factory) -> None:
    barrier = Barrier(20)

    def submit(_: int) -> tuple[int, bytes]:
        barrier.wait(10)
        reply = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
        return reply.status_code, reply.data

    with ThreadPoolExecutor(20) as threads:
        replies = set(threads.map(submit, range(20)))
    assert [status for status, _ in replies] == [201]
    assert len(make.all(Signup)) == 1


def test_twenty_bodies_at_once_under_one_key_make_one_signup(shop: Caller, make: Factory) -> None:
    barrier = Barrier(20)

    def submit(number: int) -> int:
        barrier.wait(10)
        body = changed(ANONYMOUS_ORDER, {"operatorId": f"op-{number}"})
        return shop.post(SIGNUPS, body, Idempotency_Key="k").status_code

    with ThreadPoolExecutor(20) as threads:
        assert sorted(threads.map(submit, range(20))) == [201] + [409] * 19
    assert len(make.all(Signup)) == 1


def test_a_refused_request_leaves_its_key_unused(shop: Caller, make: Factory) -> None:
    assert shop.post(confirm_path(NOBODY), SLIP, Idempotency_Key="k").status_code == 404
    assert shop.post(confirm_path(make.signup().id), SLIP, Idempotency_Key="k").status_code == 200


@pytest.mark.parametrize("key", ["k", " k", "k k", "~" * 255, "'; DROP TABLE signups;--", "order/1?x#y"])
def test_printable_keys_are_taken(key: str, shop: Caller) -> None:
    assert shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key=key).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256, "a\x00b", "a\tb", "a\x7f", "clé"])
def test_other_keys_are_refused(key: str, shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    reply = shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key=key)
    assert reply.status_code == 422
    assert [fault["field"] for fault in reply.json["errors"]] == ["Idempotency-Key"]
    assert count_rows() == before


def test_a_kept_answer_holds_no_personal_data(shop: Caller, make: Factory) -> None:
    shop.post(SIGNUPS, ANONYMOUS_ORDER, Idempotency_Key="k")
    with make.sessions() as session:
        row = session.get_one(IdempotencyKey, ("app", "k"))
    assert "ada" not in str(row.answer).lower()
    assert len(row.request_hash) == 64
