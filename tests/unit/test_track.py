from datetime import UTC, datetime, timedelta, timezone

import pytest

from cio_tasks.customerio.track import event, identify

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_identify_names_the_person_the_attributes_and_their_time() -> None:
    assert identify("u1", {"email": "ada@example.com"}, at=NOON) == {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": "u1"},
        "attributes": {"email": "ada@example.com"},
        "timestamp": 1_767_268_800,
    }


def test_event_carries_the_id_that_lets_a_repeat_be_dropped() -> None:
    assert event("u1", "signup_submitted", {"n": 1}, event_id="01HF", at=NOON) == {
        "type": "person",
        "action": "event",
        "identifiers": {"id": "u1"},
        "name": "signup_submitted",
        "id": "01HF",
        "timestamp": 1_767_268_800,
        "attributes": {"n": 1},
    }


@pytest.mark.parametrize(
    "moment",
    [NOON + timedelta(milliseconds=999), NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))],
)
def test_time_is_whole_unix_seconds_whatever_the_zone(moment: datetime) -> None:
    """Milliseconds and ISO texts are accepted by Customer.io and match no segment."""
    timestamp = identify("u1", {}, at=moment)["timestamp"]

    assert (timestamp, type(timestamp)) == (1_767_268_800, int)
