from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.customerio.limits import (
    ATTRIBUTE_NAME_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    ATTRIBUTES,
    EVENT_DATA_BYTES,
    EVENT_NAME_BYTES,
    ITEM_BYTES,
    PERSON_ID_BYTES,
    encode,
    find_excess,
)
from cio_tasks.customerio.track import Operation, event, identify
from cio_tasks.fake.validation import violations_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ULID = "01HF0000000000000000000000"


def person(person_id: str = "u1", /, **attributes: Any) -> Operation:
    return identify(person_id, attributes, at=NOW)


def happening(name: str = "e", /, **data: Any) -> Operation:
    return event("u1", name, data, event_id=ULID, at=NOW)


def padded(operation: Operation, size: int) -> Operation:
    """Return the operation with an attribute that makes it exactly `size` bytes long."""
    operation["attributes"]["padding"] = ""
    operation["attributes"]["padding"] = "x" * (size - len(encode(operation)))
    return operation


BOUNDARIES = [
    (lambda n: person("i" * n), PERSON_ID_BYTES, "the person's identifier is longer than 150 bytes"),
    (lambda n: person(**{"n" * n: 1}), ATTRIBUTE_NAME_BYTES, "an attribute name is longer than 150 bytes"),
    (lambda n: person(team="v" * n), ATTRIBUTE_VALUE_BYTES, "attribute 'team' has 1001 bytes, more than 1000"),
    (lambda n: person(**{f"a{i}": i for i in range(n)}), ATTRIBUTES, "more than 300 attributes"),
    (lambda n: happening("e" * n), EVENT_NAME_BYTES, "the event name is longer than 100 bytes"),
    (lambda n: padded(happening(), n), ITEM_BYTES, "the operation has 32001 bytes, more than 32000"),
]


@pytest.mark.parametrize(("make", "most", "excess"), BOUNDARIES)
def test_last_byte_within_a_limit_is_accepted_and_the_next_is_not(make: Any, most: int, excess: str) -> None:
    assert find_excess(make(most)) is None
    assert find_excess(make(most + 1)) == excess


@pytest.mark.parametrize(("character", "size"), [("é", 2), ("€", 3), ("🏉", 4)])
def test_bytes_are_counted_and_not_characters(character: str, size: int) -> None:
    fitting = character * (ATTRIBUTE_VALUE_BYTES // size)

    assert find_excess(person(team=fitting)) is None
    assert find_excess(person(team=fitting + character)) is not None
    assert find_excess(person(character * (PERSON_ID_BYTES // size + 1))) is not None
    assert find_excess(happening(character * (EVENT_NAME_BYTES // size + 1))) is not None


@pytest.mark.parametrize(("length", "complaint"), [(0, "the operation has"), (1, "the event data is longer")])
def test_event_data_has_a_limit_of_its_own(length: int, complaint: str) -> None:
    data = "x" * (EVENT_DATA_BYTES - len(encode({"data": ""})) + length)

    assert str(find_excess(happening(data=data))).startswith(complaint)


@pytest.mark.parametrize(("value", "fits"), [(["x" * 994, 1], True), (["x" * 995, 1], False), (10**999, True)])
def test_value_that_is_no_text_counts_as_its_json(value: Any, fits: bool) -> None:
    assert (find_excess(person(value=value)) is None) is fits


@given(
    attributes=st.dictionaries(
        st.text(min_size=1, max_size=200).filter(lambda name: name != "id"),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=1_100),
        max_size=8,
    ),
    person_id=st.text(min_size=1, max_size=200).filter(str.strip),
)
def test_what_passes_here_is_not_refused_there(attributes: dict[str, Any], person_id: str) -> None:
    operation = identify(person_id, attributes, at=NOW)

    assert (find_excess(operation) is None) == (not list(violations_of(operation, ulid_required=True)))


def test_operation_without_attributes_exceeds_nothing() -> None:
    assert find_excess({"type": "person", "action": "delete", "identifiers": {"id": "u1"}}) is None


def test_encoded_json_is_compact_utf_8() -> None:
    assert encode({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800", object(), {1, 2}, b"x"])
def test_value_that_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        encode({"value": value})
