"""What of a call is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.diagnostics.masking import Mask

SECRET = "SECRETCANARY-0123456789"
HIDING = Mask((SECRET,))
REVEALING = Mask((SECRET,), reveal=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"email": "ada@example.com"}, {"email": "a•••@ex•••.com"}),
        ({"note": "write to ada@example.com"}, {"note": "write to a•••@ex•••.com"}),
        ({"ada@example.com": 1}, {"a•••@ex•••.com": 1}),
        ({"first_name": "Ada", "last_name": "Lovelace"}, {"first_name": "A.", "last_name": "L."}),
        ({"phone": "+49170123456"}, {"phone": "•••56"}),
        ({"phone": 49170123456}, {"phone": "•••56"}),
        ({"street": "High Street 1"}, {"street": "•••"}),
        ({"tags": ["ada@example.com", 2, None]}, {"tags": ["a•••@ex•••.com", 2, None]}),
        ({"nested": {"email": "ada@example.com"}}, {"nested": {"email": "a•••@ex•••.com"}}),
        ({"name": "Ada", "plan": "pro"}, {"name": "A.", "plan": "pro"}),
        ({"name": "bought", "data": {"amount": 1}}, {"name": "bought", "data": {"amount": 1}}),
        ({"password": "hunter2", "active": True}, {"password": "••••", "active": True}),
        ("ada@example.com", "a•••@ex•••.com"),
    ],
    ids=str,
)
def test_personal_data_is_masked_by_name_and_by_shape(value: Any, shown: Any) -> None:
    assert HIDING.value(value) == shown


def test_revealed_value_is_whole_but_for_the_secrets() -> None:
    value = {"email": "ada@example.com", "first_name": "Ada", "note": f"line\n{SECRET}", "token": "x"}

    assert REVEALING.value(value) == {**value, "note": "line\n••••", "token": "••••"}


@pytest.mark.parametrize("mask", [HIDING, REVEALING], ids=["masked", "revealed"])
@given(before=st.text(), after=st.text())
def test_secret_is_never_shown(mask: Mask, before: str, after: str) -> None:
    assert SECRET not in str(mask.value({"note": before + SECRET + after}))


@pytest.mark.parametrize(
    ("person", "shown"),
    [
        ("u_1042", "http://host/api/v1/customers/u_1042/events"),
        ("ada@example.com", "http://host/api/v1/customers/a•••@ex•••.com/events"),
        ("a/b?c", "http://host/api/v1/customers/a%2Fb%3Fc/events"),
        (f"u/{SECRET}", "http://host/api/v1/customers/u%2F••••/events"),
    ],
)
def test_person_in_an_address_is_masked(person: str, shown: str) -> None:
    encoded = person.replace("@", "%40").replace("/", "%2F").replace("?", "%3F")

    assert HIDING.url(f"http://host/api/v1/customers/{encoded}/events", person) == shown


def test_revealed_address_is_as_it_is_sent() -> None:
    url = "http://host/api/v1/customers/ada%40example.com"

    assert REVEALING.url(url, "ada@example.com") == url


def test_encoded_address_in_a_text_is_masked_too() -> None:
    assert "ada" not in HIDING.text("no route PUT /customers/ada%40example.com/x")


def test_credentials_in_headers_show_only_the_site() -> None:
    headers = {"Authorization": "Basic U0VDUkVUQ0FOQVJZ", "Cookie": "session=1", "Accept": "application/json"}

    shown = HIDING.headers(headers, site_id="0123456789abcdef01")

    assert shown == {
        "authorization": "Basic 0123…01 (18 chars):••••",
        "cookie": "••••",
        "accept": "application/json",
    }


def test_credentials_without_a_site_show_nothing() -> None:
    assert HIDING.headers({"authorization": "Bearer abcdef"}, site_id=None) == {"authorization": "••••"}
