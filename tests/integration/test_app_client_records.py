"""Records are read without trust: what is null, missing, unknown or odd does no harm."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cio_tasks.customerio.app_campaigns import Campaign, Segment, WorkspaceInfo
from cio_tasks.customerio.app_people import Activity, Identifiers, Message, Person, Suppression, Topic
from cio_tasks.customerio.app_values import as_number, as_time

RECORDS = [Person, Activity, Message, Topic, Identifiers, Campaign, Segment, WorkspaceInfo]
RUBBISH: list[Any] = [None, [], "text", 7, {}, {"id": None}, {"id": []}, {"id": {}, "type": [], "timestamp": "soon"}]
NOW = 1_790_000_000
AT = datetime.fromtimestamp(NOW, UTC)


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_is_no_record(record: Any, rubbish: Any) -> None:
    assert record.read(rubbish) is None


@pytest.mark.parametrize(
    ("record", "least"),
    [
        (Person, {"attributes": {"id": "u1"}}),
        (Activity, {"type": "event", "timestamp": NOW}),
        (Message, {"id": "m"}),
        (Topic, {"id": 1}),
        (Identifiers, {"cio_id": 3_000_001}),
        (Campaign, {"id": 5}),
        (Segment, {"id": "7"}),
        (WorkspaceInfo, {"id": 1}),
    ],
)
def test_least_that_makes_a_record_makes_it_whatever_else_there_is(record: Any, least: dict[str, Any]) -> None:
    nulls = dict.fromkeys(["identifiers", "timestamps", "devices", "metrics", "data", "actions", "tags", "name"])

    assert record.read({**nulls, "brand_new": {"x": 1}, **least}) == record.read(least) is not None


def test_person_without_identifiers_is_known_by_the_attributes() -> None:
    person = Person.read({"id": "u1", "attributes": {"email": "ann@example.com", "cio_id": "0a", "n": 5, "x": None}})

    assert person is not None
    assert (person.identifiers, person.email) == (Identifiers("u1", "ann@example.com", "0a"), "ann@example.com")
    assert (person.attributes["n"], person.attributes["x"], person.last_identified_at) == ("5", "", None)


@pytest.mark.parametrize("email", ["", "  ", None])
def test_blank_address_is_none(email: str | None) -> None:
    person = Person.read({"identifiers": {"id": "u1", "email": email}, "attributes": {"email": email}})

    assert person is not None
    assert person.email is None


def test_last_identify_is_not_what_customerio_sets_itself() -> None:
    later = dict.fromkeys(["_last_emailed", "cio_id", "id"], NOW + 9)
    times = {"plan": NOW, **later, "odd": "soon", "never": 0}
    person = Person.read({"id": "u1", "timestamps": times})

    assert person is not None
    assert person.last_identified_at == AT


@pytest.mark.parametrize(
    ("metrics", "state"),
    [
        ({"sent": NOW, "delivered": NOW, "opened": NOW}, "opened"),
        ({"sent": NOW, "delivered": NOW, "spammed": NOW}, "spammed"),
        ({"sent": NOW, "bounced": NOW}, "bounced"),
        ({"dropped": NOW}, "dropped"),
        ({"human_opened": 2}, "unknown"),
        (None, "unknown"),
        ({"delivered": None, "sent": str(NOW)}, "sent"),
    ],
)
def test_state_of_a_message_is_the_most_telling(metrics: Any, state: str) -> None:
    message = Message.read({"id": "m", "metrics": metrics})

    assert message is not None
    assert message.state == state


@pytest.mark.parametrize(
    ("document", "active"),
    [({"state": "running"}, True), ({"state": "draft"}, False), ({"active": True}, True), ({}, False)],
)
def test_campaign_is_active_when_it_says_so(document: dict[str, Any], active: bool) -> None:
    campaign = Campaign.read({"id": 5, **document})

    assert campaign is not None
    assert campaign.active is active


@pytest.mark.parametrize("document", [{}, {"suppressions": None}, {"suppressions": []}, {"category": "bounces"}])
def test_no_entry_means_a_clean_address(document: dict[str, Any]) -> None:
    assert Suppression.read(document) == Suppression(suppressed=False)


def test_entry_without_anything_in_it_still_suppresses() -> None:
    assert Suppression.read({"suppressions": [None]}).suppressed is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5), ("5", 5), (5.9, 5), (True, None), ("x", None), (float("inf"), None), (float("nan"), None)],
)
def test_number_may_be_text(value: object, expected: int | None) -> None:
    assert as_number(value) == expected


@pytest.mark.parametrize("value", [0, "0", None, 10**18, -(10**18), "soon", [], "9" * 5_000])
def test_what_is_no_time_is_none(value: object) -> None:
    assert as_time(value) is None
