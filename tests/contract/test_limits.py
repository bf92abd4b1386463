"""Every limit at its exact byte, with text whose characters are longer than one."""

import json
from typing import Any

import pytest

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.contract.track import Track, event, identify


def text(size: int) -> str:
    """Text of that many UTF-8 bytes, two per character but for an odd one."""
    return "é" * (size // 2) + "x" * (size % 2)


def is_accepted(track: Track, operation: dict[str, Any]) -> bool:
    answer = track.batch(operation)
    assert answer.status_code in {200, 207}
    return answer.status_code == 200


def item_of(size: int) -> dict[str, Any]:
    """An event whose compact JSON has that many UTF-8 bytes."""
    empty = event("u1", attributes={"note": ""})
    overhead = len(json.dumps(empty, separators=(",", ":")))
    return event("u1", attributes={"note": text(size - overhead)})


@pytest.mark.parametrize(("size", "accepted"), [(150, True), (151, False)])
def test_id_has_150_bytes(track: Track, size: int, accepted: bool) -> None:
    assert is_accepted(track, identify(text(size))) is accepted
    assert is_accepted(track, event(text(size))) is accepted
    assert (track.identify(text(size)).status_code == 200) is accepted


@pytest.mark.parametrize(("size", "accepted"), [(150, True), (151, False)])
def test_id_among_the_attributes_has_150_bytes(track: Track, size: int, accepted: bool) -> None:
    assert (track.identify("ann@example.com", id=text(size)).status_code == 200) is accepted


@pytest.mark.parametrize(("size", "accepted"), [(150, True), (151, False)])
def test_attribute_name_has_150_bytes(track: Track, size: int, accepted: bool) -> None:
    assert is_accepted(track, identify("u1", **{text(size): 1})) is accepted


@pytest.mark.parametrize(("size", "accepted"), [(1000, True), (1001, False)])
def test_attribute_value_has_1000_bytes(track: Track, size: int, accepted: bool) -> None:
    assert is_accepted(track, identify("u1", note=text(size))) is accepted
    assert (track.identify("u1", note=text(size)).status_code == 200) is accepted


def test_attribute_over_1000_bytes_is_named(track: Track) -> None:
    message = "value for attribute 'note' cannot be longer than 1000 bytes"

    assert track.identify("u1", note=text(1001)).json() == {"meta": {"errors": [message]}}
    assert track.entity(identify("u1", note=text(1001))).json()["errors"][0] == {
        "reason": "invalid",
        "field": "attributes.note",
        "message": message,
    }


@pytest.mark.parametrize(("count", "accepted"), [(300, True), (301, False)])
def test_identify_has_300_attributes(track: Track, count: int, accepted: bool) -> None:
    assert is_accepted(track, identify("u1", **{f"a{n}": n for n in range(count)})) is accepted


@pytest.mark.parametrize(("size", "accepted"), [(100, True), (101, False)])
def test_event_name_has_100_bytes(track: Track, size: int, accepted: bool) -> None:
    assert is_accepted(track, event("u1", name=text(size))) is accepted
    assert (track.event("u1", name=f" {text(size)} ").status_code == 200) is accepted


@pytest.mark.parametrize(("size", "accepted"), [(100_000, True), (100_001, False)])
def test_event_data_has_100000_bytes(track: Track, size: int, accepted: bool) -> None:
    data = {"note": text(size - len('{"note":""}'))}

    assert (track.event("u1", data=data).status_code == 200) is accepted


@pytest.mark.parametrize(("size", "status"), [(32_000, 200), (32_001, 413)])
def test_entity_has_32000_bytes(track: Track, size: int, status: int) -> None:
    body = json.dumps(item_of(size), ensure_ascii=False, separators=(",", ":")).encode()

    assert len(body) == size
    assert track.call("POST", "/api/v2/entity", raw=body).status_code == status


@pytest.mark.parametrize(("size", "status"), [(32_000, 200), (32_001, 207)])
def test_batch_item_has_32000_bytes(track: Track, size: int, status: int) -> None:
    answer = track.batch(identify("u1"), item_of(size))

    assert answer.status_code == status
    assert answer.json().get("errors", [{"batch_index": 1}])[0]["batch_index"] == 1


@pytest.mark.parametrize(("size", "status"), [(500_000, 200), (500_001, 413)])
def test_batch_has_500000_bytes(track: Track, size: int, status: int) -> None:
    body = json.dumps({"batch": [identify(f"u{n}", note="x" * 900) for n in range(480)]}).encode()

    answer = track.call("POST", "/api/v2/batch", raw=body + b" " * (size - len(body)))
    assert answer.status_code == status


def test_oversize_can_be_answered_400(fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(oversize_status=400)

    answer = track.call("POST", "/api/v2/batch", raw=b" " * 500_001)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == "request cannot be larger than 500000 bytes"


@pytest.mark.parametrize(
    "identifiers",
    [None, {}, {"id": "u1", "email": "a@b.c"}, {"name": "u1"}, {"id": ""}, {"id": " "}, {"id": None}, {"id": True}],
)
def test_person_has_exactly_one_usable_identifier(track: Track, identifiers: object) -> None:
    assert not is_accepted(track, {**identify(), "identifiers": identifiers})


@pytest.mark.parametrize("identifiers", [{"id": "u1"}, {"id": 5}, {"email": "a@b.c"}, {"phone": "+15551234567"}])
def test_id_number_email_and_phone_identify(track: Track, identifiers: object) -> None:
    assert is_accepted(track, {**identify(), "identifiers": identifiers})


def test_phone_is_in_e164(track: Track) -> None:
    assert not is_accepted(track, {**identify(), "identifiers": {"phone": "0555 1234"}})


def test_half_a_surrogate_pair_counts_three_bytes(track: Track) -> None:
    halves = "\ud800" * 333

    assert is_accepted(track, identify("u1", note=halves + "x"))
    assert not is_accepted(track, identify("u1", note=halves + "xx"))
