"""Bad input is refused with the field's name, changes nothing, and is never our fault."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.api import bad_inputs
from tests.api.bad_inputs import NO_DOCUMENT, NO_OBJECT, NOT_JSON, OF_SIGNUP, OF_SLIP, UNKNOWN_FIELDS
from tests.api.callers import SIGNUP, SIGNUPS, SLIP, Caller, Reply, changed, confirm_path
from tests.api.conftest import Counts
from tests.factories import Factory


def is_refused(reply: Reply, field: str, value: str) -> bool:
    """Whether a bad value was answered as it must be: 400 if it is no JSON, else 422 with the name of its field."""
    if value in NOT_JSON:
        return reply.status_code == 400
    return reply.status_code == 422 and any(fault["field"].startswith(field) for fault in reply.json["errors"])


def not_refused(caller: Caller, path: str, field: str, sent: Iterable[tuple[str, bytes]]) -> list[tuple[str, int, Any]]:
    replies = [(value, caller.post(path, body)) for value, body in sent]
    return [
        (value[:60], reply.status_code, reply.json) for value, reply in replies if not is_refused(reply, field, value)
    ]


@pytest.mark.parametrize("field", OF_SIGNUP)
def test_no_bad_value_of_a_signup_is_taken(field: str, shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before, values = count_rows(), OF_SIGNUP[field]
    sent = zip(values, bad_inputs.bodies_of_signup(field, values), strict=True)
    assert not_refused(shop, SIGNUPS, field, sent) == []
    assert count_rows() == before


@pytest.mark.parametrize("field", OF_SLIP)
def test_no_bad_value_of_a_bet_slip_is_taken(
    field: str, shop: Caller, make: Factory, count_rows: Callable[[], Counts]
) -> None:
    signup, values = make.signup(), OF_SLIP[field]
    before = count_rows()
    sent = zip(values, bad_inputs.bodies_of_slip(field, values), strict=True)
    assert not_refused(shop, confirm_path(signup.id), field, sent) == []
    assert count_rows() == before


def test_there_are_many_bad_values() -> None:
    assert sum(len(values) for values in (*OF_SIGNUP.values(), *OF_SLIP.values())) > 300


@pytest.mark.parametrize("path", [SIGNUPS, confirm_path("00000000-0000-0000-0000-000000000000")])
def test_what_is_no_document_is_malformed(path: str, shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    replies = {name: shop.post(path, body) for name, body in NO_DOCUMENT.items()}
    assert {name: reply.status_code for name, reply in replies.items() if reply.status_code != 400} == {}
    assert {reply.json["code"] for reply in replies.values()} == {"malformed_json"}
    assert count_rows() == before


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"confidence": NaN}', "it holds NaN, which is not a JSON number."),
        (b'{"odds": "1", "odds": "2"}', "it names a field twice."),
        (b'{"odds": "\xff"}', "it is not UTF-8."),
        (b"{", "it is not JSON."),
    ],
)
def test_what_is_wrong_with_a_document_is_said(shop: Caller, body: bytes, reason: str) -> None:
    assert shop.post(SIGNUPS, body).json["detail"] == f"The body must be one JSON document in UTF-8; {reason}"


@pytest.mark.parametrize("name", NO_OBJECT)
def test_a_document_must_be_an_object(name: str, shop: Caller) -> None:
    reply = shop.post(SIGNUPS, NO_OBJECT[name])
    assert reply.status_code == 422
    assert reply.json["errors"] == [{"field": "body", "message": "must be an object"}]


@pytest.mark.parametrize(
    "field", ["customer", "customer__email", "customer__firstName", "customer__lastName", "operatorId"]
)
def test_a_signup_without_a_field_it_needs_is_refused(
    field: str, shop: Caller, count_rows: Callable[[], Counts]
) -> None:
    before, reply = count_rows(), shop.submit(**{field: ...})
    assert reply.status_code == 422
    assert reply.json["errors"] == [{"field": field.replace("__", "."), "message": "is missing"}]
    assert count_rows() == before


@pytest.mark.parametrize("field", SLIP)
def test_a_bet_slip_without_any_of_its_fields_is_refused(field: str, shop: Caller, make: Factory) -> None:
    reply = shop.confirm(make.signup().id, **{field: ...})
    assert reply.status_code == 422
    assert reply.json["errors"] == [{"field": field, "message": "is missing"}]


@pytest.mark.parametrize("name", UNKNOWN_FIELDS, ids=lambda name: repr(name[:20]))
def test_a_field_that_nobody_asked_for_is_refused(
    name: str, shop: Caller, make: Factory, count_rows: Callable[[], Counts]
) -> None:
    signup = make.signup()
    before = count_rows()
    person = SIGNUP["customer"] | {name: 1}
    replies = [
        shop.post(SIGNUPS, SIGNUP | {name: 1}),
        shop.post(SIGNUPS, SIGNUP | {"customer": person}),
        shop.post(confirm_path(signup.id), SLIP | {name: 1}),
    ]
    assert [reply.status_code for reply in replies] == [422, 422, 422]
    assert count_rows() == before


def test_a_name_of_the_senders_choice_is_not_repeated(shop: Caller) -> None:
    reply = shop.post(SIGNUPS, SIGNUP | {"<script>alert(1)</script>": 1})
    assert reply.json["errors"] == [{"field": "?", "message": "is not a known field"}]


def test_ten_thousand_unknown_fields_are_not_all_named(shop: Caller) -> None:
    reply = shop.post(SIGNUPS, dict.fromkeys(map(str, range(5_000)), 1))
    assert reply.status_code == 422
    assert len(reply.json["errors"]) == 50


def test_every_fault_is_named_and_no_value_is_repeated(shop: Caller) -> None:
    bad = {"customer__email": "SECRETCANARY", "customer__phone": "SECRETCANARY", "submittedAt": "SECRETCANARY"}
    reply = shop.submit(**bad)
    assert [fault["field"] for fault in reply.json["errors"]] == ["customer.email", "customer.phone", "submittedAt"]
    assert b"SECRETCANARY" not in reply.data


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/problem+json",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; profile=x",
        "application/json, text/plain",
    ],
)
def test_only_plain_json_is_taken(content_type: str, shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    reply = shop.post(SIGNUPS, SIGNUP, Content_Type=content_type)
    assert (reply.status_code, reply.json["code"]) == (415, "unsupported_media_type")
    assert count_rows() == before


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_not_taken(encoding: str, shop: Caller) -> None:
    assert shop.post(SIGNUPS, SIGNUP, Content_Encoding=encoding).status_code == 415


def test_a_body_of_a_megabyte_is_refused(shop: Caller, count_rows: Callable[[], Counts]) -> None:
    before = count_rows()
    reply = shop.submit(customer__firstName="x" * 1_000_000)
    assert (reply.status_code, reply.json["code"]) == (413, "too_large")
    assert count_rows() == before


def test_method_overrides_do_nothing(shop: Caller, make: Factory) -> None:
    shop.post(f"{SIGNUPS}?_method=DELETE", SIGNUP, X_HTTP_Method_Override="DELETE")
    assert len(make.all(type(make.signup(enqueue=False)))) == 2


def test_the_bodies_of_this_module_are_good_when_nothing_is_changed(shop: Caller, make: Factory) -> None:
    assert shop.post(SIGNUPS, json.dumps(changed(SIGNUP, {})).encode()).status_code == 201
    assert shop.post(confirm_path(make.signup().id), SLIP).status_code == 200
