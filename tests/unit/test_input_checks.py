"""What is said about a call before it is made."""

import time
from typing import Any

import pytest

from cio_tasks.customerio.calls import Version, identify, track
from cio_tasks.diagnostics.input_checks import check_operation
from cio_tasks.findings import Severity

NEXT_YEAR = int(time.time()) + 365 * 86_400


def codes(attributes: dict[str, Any], *, person: str = "u1", version: Version = "v1") -> list[str]:
    return [one.code for one in check_operation(person, identify(person, attributes), version)]


def event_codes(data: dict[str, Any], *, name: str = "bought", version: Version = "v1") -> list[str]:
    return [one.code for one in check_operation("u1", track("u1", name, data), version)]


def refusals(attributes: dict[str, Any], *, person: str = "u1", version: Version = "v1") -> list[str]:
    found = check_operation(person, identify(person, attributes), version)
    return [one.message for one in found if one.severity is Severity.HIGH]


@pytest.mark.row("K1")
@pytest.mark.parametrize(
    "attributes",
    [{"email": "ada@example.com"}, {"plan": "pro", "visits": 3}, {"created_at": 1_700_000_000}, {"tags": ["a"]}],
    ids=str,
)
def test_sound_profile_has_no_findings(attributes: dict[str, Any]) -> None:
    assert codes(attributes) == []


@pytest.mark.row("K1")
def test_sound_event_has_no_findings() -> None:
    assert event_codes({"amount": 25.5, "email": "ada@example.com"}) == []
    assert event_codes({}) == []


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({}, "no_attributes"),
        ({"id": "u2"}, "reserved_attribute"),
        ({"_update": True}, "reserved_attribute"),
        ({"unsubscribed": True}, "reserved_attribute"),
        ({"cio_anything": 1}, "reserved_attribute"),
        ({"plan": ""}, "empty_attribute"),
        ({"plan": None}, "empty_attribute"),
        ({"email": "ada"}, "odd_email"),
        ({"email": "ada@example"}, "odd_email"),
        ({"email": "ada @example.com"}, "odd_email"),
        ({"email": 7}, "odd_email"),
        ({"created_at": 1_700_000_000_000}, "milliseconds"),
        ({"seen": 1_700_000_000_000.5}, "milliseconds"),
        ({"created_at": "2026-01-31T12:00:00Z"}, "written_date"),
        ({"birthdate": "2026-01-31"}, "written_date"),
        pytest.param({"created_at": NEXT_YEAR}, "future_created_at", id="next year"),
    ],
    ids=str,
)
def test_odd_profile_is_told(attributes: dict[str, Any], code: str) -> None:
    assert codes(attributes) == [code]


@pytest.mark.parametrize(
    "attributes",
    [{"plan": 0}, {"active": False}, {"plan": "2026-01-31"}, {"card": 10**15}, {"created_at": True}, {"created_at": 1}],
    ids=str,
)
def test_what_only_looks_odd_is_left_alone(attributes: dict[str, Any]) -> None:
    assert codes(attributes) == []


@pytest.mark.parametrize("key", ["recipient", "from_address", "reply_to"])
def test_event_that_redirects_a_message_is_told(key: str) -> None:
    assert event_codes({key: "x"}) == ["event_override"]


def test_spaces_around_an_event_name_are_told() -> None:
    assert event_codes({}, name=" bought") == ["event_name_spaces"]


@pytest.mark.parametrize(
    ("person", "code"),
    [
        ("cio_03", "person_cio_id"),
        ("ada@example.com", "person_is_email"),
        (" u1", "person_spaces"),
        ("u\x001", "person_control_characters"),
    ],
)
def test_odd_person_is_told(person: str, code: str) -> None:
    assert codes({"plan": "pro"}, person=person) == [code]


@pytest.mark.parametrize(
    ("attributes", "person"),
    [
        ({"plan": "x" * 1_001}, "u1"),
        ({"plan": "é" * 501}, "u1"),
        ({"x" * 151: 1}, "u1"),
        ({f"a{number}": 1 for number in range(301)}, "u1"),
        ({"plan": "pro"}, "u" * 151),
        ({"plan": "pro"}, "é" * 76),
        ({"plan": "pro"}, ".."),
        ({"plan": "pro"}, "."),
    ],
    ids=["value", "bytes", "name", "number", "person", "person's bytes", "dots", "dot"],
)
def test_certain_refusal_is_a_high_finding(attributes: dict[str, Any], person: str) -> None:
    assert len(refusals(attributes, person=person)) == 1


def test_every_attribute_over_its_limit_is_named() -> None:
    found = refusals({"one": "x" * 1_001, "two": "x" * 1_002, "fine": "x" * 1_000})

    assert ["'one'" in found[0], "'two'" in found[1], len(found)] == [True, True, 2]


def test_limits_are_inclusive() -> None:
    full = {**{f"a{number}": 1 for number in range(298)}, "x" * 150: 1, "plan": "x" * 1_000}

    assert refusals(full, person="u" * 150) == []


@pytest.mark.parametrize(("size", "version", "code"), [(99_000, "v1", []), (33_000, "v2", ["over_limit"])])
def test_event_of_v1_may_be_larger_than_one_of_v2(size: int, version: Version, code: list[str]) -> None:
    assert event_codes({"text": "x" * size}, version=version) == code


@pytest.mark.parametrize(("name", "data"), [("e" * 101, {}), ("bought", {"text": "x" * 100_001})])
def test_event_over_its_limits_is_refused(name: str, data: dict[str, Any]) -> None:
    assert event_codes(data, name=name) == ["over_limit"]


def test_dots_are_a_person_like_any_other_in_v2() -> None:
    assert refusals({"plan": "pro"}, person="..", version="v2") == []


def test_no_finding_repeats_a_value() -> None:
    values = {"email": "SECRETCANARY", "plan": "SECRETCANARY" * 100, "created_at": "2026-01-31 SECRETCANARY"}
    found = check_operation("SECRETCANARY@example.com", identify("SECRETCANARY@example.com", values), "v1")

    assert len(found) == 4
    assert "SECRETCANARY" not in str(found)
