import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.customerio.webhooks import METRICS, Event, Flag, read_event

BOUNCED: dict[str, Any] = {
    "event_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "object_type": "email",
    "metric": "bounced",
    "timestamp": 1700000000,
    "data": {
        "customer_id": "old-style",
        "identifiers": {"id": "person-1", "email": "ada@example.com", "cio_id": "d9c106000001"},
        "delivery_id": "RPILAgABcRhIBqSp7kiPekGBIeVh",
        "campaign_id": 23,
        "recipient": "ada@example.com",
        "failure_message": "550 5.5.0 no such mailbox",
    },
}

texts = st.text(st.characters()) | st.from_regex(r"[\x00\ud800]{0,3}\w{0,3}")
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*BOUNCED, *BOUNCED["data"], "id"]), inner),
)


def read(document: Any) -> Event:
    return read_event(json.dumps(document).encode())


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.mark.row("N2")
def test_an_event_is_read() -> None:
    assert read(BOUNCED) == Event(
        event_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        object_type="email",
        metric="bounced",
        person_id="person-1",
        delivery_id="RPILAgABcRhIBqSp7kiPekGBIeVh",
        campaign_id="23",
        happened_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("data", "person_id"),
    [
        ({"identifiers": {"id": "new"}, "customer_id": "old"}, "new"),
        ({"identifiers": {"id": None}, "customer_id": "old"}, "old"),
        ({"identifiers": {"email": "ada@example.com"}}, None),
        ({"identifiers": ["new"], "customer_id": 7}, "7"),
        ({"identifiers": None, "customer_id": True}, None),
        (None, None),
        ("text", None),
    ],
)
def test_the_person_is_whom_the_identifiers_name(data: Any, person_id: str | None) -> None:
    assert read(BOUNCED | {"data": data}).person_id == person_id


@given(st.binary() | documents.map(lambda document: json.dumps(document).encode()))
def test_whatever_comes_is_read_into_what_can_be_stored(body: bytes) -> None:
    event = read_event(body)
    texts = [event.event_id, event.object_type, event.metric, event.person_id, event.delivery_id, event.campaign_id]
    assert all("\0" not in text and len(text.encode()) <= 800 for text in texts if text is not None)
    assert event.event_id


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"event_id":"a"',
        b'{"event_id":"a"} {}',
        b'[{"event_id":"a","object_type":"email","metric":"sent"}]',
        b'{"event_id":"\xff"}',
        b'{"event_id":"\xed\xa0\x80"}',
        json.dumps(BOUNCED).encode("utf-16"),
        json.dumps(BOUNCED).encode("utf-16-le"),
        json.dumps(BOUNCED).encode("utf-32"),
    ],
    ids=range(12),
)
def test_what_is_not_one_object_is_known_by_its_digest(body: bytes) -> None:
    assert read_event(body) == Event(digest(body), flags=(Flag.UNREADABLE,))


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e400", "1." + "0" * 5_000, "NaN", "-Infinity"])
def test_an_impossible_number_spoils_nothing_else(number: str) -> None:
    body = json.dumps(BOUNCED)[:-1] + f', "cost": {number}}}'
    assert read_event(body.encode()) == read(BOUNCED)


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert read_event(b"\xef\xbb\xbf" + json.dumps(BOUNCED).encode()) == read(BOUNCED)


@pytest.mark.parametrize("event_id", [None, True, 5, ["a"], {}, "", "a b", "a\n", "é", "a\0", "\ud800", "x" * 201, ...])
def test_an_event_without_a_usable_id_is_known_by_its_digest(event_id: Any) -> None:
    sent = {name: value for name, value in (BOUNCED | {"event_id": event_id}).items() if value is not ...}
    event = read(sent)
    assert (event.event_id, event.flags) == (digest(json.dumps(sent).encode()), (Flag.NO_EVENT_ID,))
    assert event.metric == "bounced"


def test_an_event_cannot_take_the_digest_of_another_for_its_id() -> None:
    assert read(BOUNCED | {"event_id": digest(b"another")}).flags == (Flag.NO_EVENT_ID,)


@pytest.mark.parametrize("field", ["delivery_id", "campaign_id"])
@pytest.mark.parametrize("value", ["", "a\0b", "\udfff", "x" * 201, 10**18, 1.5, True, None, [], {}])
def test_half_an_id_is_none(field: str, value: Any) -> None:
    assert getattr(read(BOUNCED | {"data": {field: value}}), field) is None


@pytest.mark.parametrize("time", [-1, 10**10, 1700000000000, 1700000000.5, "1700000000", True, None, 10**400])
def test_a_time_that_is_not_in_whole_seconds_is_none(time: Any) -> None:
    assert read(BOUNCED | {"timestamp": time}).happened_at is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_id":"a","event_id":"b","object_type":"email","metric":"sent"}',
        b'{"event_id":"b","object_type":"email","metric":"sent","data":{"x":[{"y":1,"y":1}]}}',
    ],
)
def test_the_last_of_two_equal_names_counts(body: bytes) -> None:
    event = read_event(body)
    assert (event.event_id, event.flags) == ("b", (Flag.DUPLICATE_KEY,))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"object_type": "carrier_pigeon"}, Flag.UNKNOWN_TYPE),
        ({"object_type": None}, Flag.UNKNOWN_TYPE),
        ({"object_type": "email\0"}, Flag.UNKNOWN_TYPE),
        ({"object_type": ["email"]}, Flag.UNKNOWN_TYPE),
        ({"metric": "eaten"}, Flag.UNKNOWN_METRIC),
        ({"metric": None}, Flag.UNKNOWN_METRIC),
        ({"object_type": "slack"}, Flag.UNKNOWN_METRIC),
    ],
)
def test_unknown_words_are_flagged(changes: dict[str, Any], flag: Flag) -> None:
    assert read(BOUNCED | changes).flags == (flag,)


@pytest.mark.parametrize(("kind", "metric"), [(kind, metric) for kind in METRICS for metric in METRICS[kind]])
def test_known_words_are_not(kind: str, metric: str) -> None:
    event = read(BOUNCED | {"object_type": kind, "metric": metric})
    assert (event.object_type, event.metric, event.flags) == (kind, metric, ())


def test_the_words_are_those_that_customerio_documents() -> None:
    assert {kind: len(metrics) for kind, metrics in METRICS.items()} == {
        "customer": 3,
        "email": 15,
        "push": 11,
        "sms": 10,
        "whatsapp": 12,
        "slack": 7,
        "webhook": 7,
        "in_app": 8,
    }
