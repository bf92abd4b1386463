import json
from datetime import timedelta
from typing import Any

import pytest

from cio_tasks.fake import FakeCustomerIO, PastActivity, PastMessage, PersonHistory, Scenario, Segment, Topic
from tests.contract.app import ANN, App, events, sent
from tests.contract.track import ULID, Track, event, identify

DAY = timedelta(days=1)
IDENTIFIERS = {"email", "id", "cio_id"}
MESSAGE = {
    *("id", "deduplicate_id", "msg_template_id", "action_id", "parent_action_id", "customer_id"),
    *("customer_identifiers", "recipient", "subject", "metrics", "created", "failure_message", "newsletter_id"),
    *("content_id", "campaign_id", "broadcast_id", "trigger_event_id", "type", "forgotten"),
}


def types(found: dict[str, Any]) -> list[str]:
    return [one["type"] for one in found["activities"]]


# --- who it is --------------------------------------------------------------------------------------------------------


def test_person_is_found_by_email_in_any_case(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(ANN)

    assert app.get("customers?email=ann%40EXAMPLE.com") == {
        "results": [{"email": "Ann@example.com", "id": "u1", "cio_id": "000000000001"}]
    }


def test_unknown_email_is_an_empty_success(app: App) -> None:
    assert app.get("customers?email=nobody%40example.com") == {"results": []}


@pytest.mark.parametrize("plain", ["ann+1@example.com", "ann%2B1@example.com", "ann+1%40example.com"])
def test_address_that_is_not_encoded_finds_nothing(app: App, fake: FakeCustomerIO, plain: str) -> None:
    fake.remember(PersonHistory(id="u1", email="ann+1@example.com"))

    assert app.get(f"customers?email={plain}") == {"results": []}
    assert len(app.get("customers?email=ann%2B1%40example.com")["results"]) == 1


def test_two_people_may_share_an_address_that_does_not_identify(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(email_identifies=False)
    track.batch(identify("u1", email="ann@example.com"), identify("u2", email="ann@example.com"))

    assert [one["id"] for one in app.get("customers?email=ann%40example.com")["results"]] == ["u1", "u2"]
    assert app.refusal("customers/ann%40example.com/attributes?id_type=email")[0] == 400


# --- attributes -------------------------------------------------------------------------------------------------------


def test_attributes_are_all_strings_with_their_times(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(ANN)
    customer = app.get("customers/u1/attributes")["customer"]

    assert customer["attributes"] == {
        "email": "Ann@example.com",
        "id": "u1",
        "cio_id": "000000000001",
        "plan": "free",
        "bets": "3",
        "vip": "true",
    }
    assert set(customer) == {"id", "identifiers", "attributes", "timestamps", "unsubscribed", "devices"}
    assert set(customer["timestamps"]) == set(customer["attributes"])
    assert {type(at) for at in customer["timestamps"].values()} == {int}


def test_what_was_identified_through_the_track_api_is_there(app: App, track: Track) -> None:
    track.batch(identify("u1", timestamp=1_700_000_000, odds=2.5, slip={"team": "Ajax"}, none=None))
    customer = app.get("customers/u1/attributes")["customer"]

    assert (customer["attributes"]["odds"], customer["attributes"]["slip"]) == ("2.5", '{"team":"Ajax"}')
    assert (customer["timestamps"]["odds"], customer["identifiers"]["email"]) == (1_700_000_000, None)


@pytest.mark.parametrize("path", ["u1", "Ann%40example.com?id_type=email", "cio_000000000001?id_type=cio_id"])
def test_person_is_asked_for_by_each_kind_of_identifier(app: App, fake: FakeCustomerIO, path: str) -> None:
    fake.remember(ANN)
    person, _, query = path.partition("?")

    assert app.get(f"customers/{person}/attributes?{query}")["customer"]["id"] == "u1"


@pytest.mark.parametrize(
    "path", ["ann%40example.com", "000000000001?id_type=cio_id", "u2", "Ann@example.com?id_type=email"]
)
@pytest.mark.parametrize("what", ["attributes", "segments", "messages", "activities", "subscription_preferences"])
def test_nobody_is_404(app: App, fake: FakeCustomerIO, path: str, what: str) -> None:
    fake.remember(ANN)
    person, _, query = path.partition("?")

    assert app.refusal(f"customers/{person}/{what}?{query}") == (404, {"detail": "customer not found", "status": "404"})


@pytest.mark.parametrize("kind", ["phone", "name"])
def test_kind_of_identifier_that_is_not_enabled_is_400(app: App, kind: str) -> None:
    assert app.refusal(f"customers/u1/attributes?id_type={kind}")[0] == 400


@pytest.mark.parametrize("person", ["a/b", "a?b#c", "a+b", "a b", "ü", "100%"])
def test_identifier_in_the_path_is_decoded_once(app: App, track: Track, person: str) -> None:
    track.batch(identify(person, plan="free"))
    encoded = "".join(f"%{byte:02X}" for byte in person.encode())

    assert app.get(f"customers/{encoded}/attributes")["customer"]["id"] == person


def test_many_are_asked_for_at_once_and_the_unknown_left_out(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(ANN, PersonHistory(id="u2"))
    found = app.call("POST", "/v1/customers/attributes", {"ids": ["u1", "nobody", "u2"]}).json()

    assert [one["customer"]["id"] for one in found["customers"]] == ["u1", "u2"]
    assert app.refusal("customers/attributes", "POST", {"ids": ["u"] * 101})[0] == 400


@pytest.mark.parametrize("value", [True, "TRUE", 1, "1"])
def test_unsubscribed_is_read_from_its_attribute(app: App, track: Track, value: object) -> None:
    track.batch(identify("u1", unsubscribed=value), identify("u2", unsubscribed="no"))

    assert app.get("customers/u1/attributes")["customer"]["unsubscribed"] is True
    assert app.get("customers/u2/attributes")["customer"]["unsubscribed"] is False


def test_subscriptions_follow_the_person_and_then_the_topic(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.remember(Topic(id=1, name="Offers"), Topic(id=2, name="News", subscribed_by_default=False), ANN)
    track.identify("u1", cio_subscription_preferences={"topics": {"topic_1": False}})
    shown = app.get("customers/u1/subscription_preferences")["customer"]
    computed = app.get("customers/u1/attributes")["customer"]["attributes"]["_cio_subscription_preferences_computed"]

    assert set(shown) == {"id", "identifiers", "topics", "unsubscribed", "header"}
    assert [(one["name"], one["subscribed"]) for one in shown["topics"]] == [("Offers", False), ("News", False)]
    assert json.loads(computed) == {"topics": {"topic_1": False, "topic_2": False}}


def test_subscriptions_refuse_in_a_shape_of_their_own(app: App) -> None:
    answer = app.call("GET", "/v1/customers/u1/subscription_preferences?id_type=phone")

    assert (answer.status_code, list(answer.json()["meta"])) == (400, ["errors"])


def test_segments_of_a_person(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Segment(id=7, name="VIP"), Segment(id=8, name="Other"), PersonHistory(id="u1", segments=(7,)))

    assert app.get("customers/u1/segments") == {"segments": [{"id": 7, "name": "VIP", "description": ""}]}


# --- activities -------------------------------------------------------------------------------------------------------


def test_track_calls_leave_activities_newest_first(app: App, track: Track) -> None:
    track.batch(identify("u1", email="ann@example.com"))
    track.batch(identify("u1", email="ann@example.org", plan="paid"))
    track.batch(event("u1", name="bet_placed", id=ULID, attributes={"amount": 5}))
    found = app.get("customers/u1/activities")

    assert types(found) == ["event", "attribute_change", "attribute_change", "profile_create"]
    first, second = found["activities"][:2]
    assert (first["name"], first["data"], set(first["customer_identifiers"])) == (
        "bet_placed",
        {"amount": 5},
        IDENTIFIERS,
    )
    assert second["data"]["email"] == {"from": "ann@example.com", "to": "ann@example.org"}
    assert len({one["id"] for one in found["activities"]}) == 4
    assert all(len(one["id"]) == 26 for one in found["activities"])


def test_identify_that_changes_nothing_leaves_no_activity(app: App, track: Track) -> None:
    for _ in range(2):
        track.batch(identify("u1", plan="free"))

    assert types(app.get("customers/u1/activities")) == ["attribute_change", "profile_create"]


def test_conflict_that_was_answered_200_is_told_by_an_activity(app: App, track: Track) -> None:
    track.batch(identify("u1", email="ann@example.com"), identify("u2", email="ann@example.com"))
    (failed,) = app.get("customers/u2/activities?type=failed_attribute_change")["activities"]

    assert failed["data"] == {"email": {"from": None, "to": "ann@example.com"}}


def test_update_of_nobody_is_told_by_an_activity_of_the_workspace(app: App, track: Track) -> None:
    track.identify("u1", plan="paid", _update=True)
    (failed,) = app.get("activities")["activities"]

    assert (failed["type"], failed["customer_id"]) == ("failed_attribute_change", "u1")


def test_activities_are_filtered_by_type_and_name(app: App, track: Track) -> None:
    track.batch(identify("u1", plan="a"), event("u1", name="x"), event("u1", name="y"))

    assert types(app.get("customers/u1/activities?type=event")) == ["event", "event"]
    assert len(app.get("customers/u1/activities?type=event&name=x")["activities"]) == 1
    assert types(app.get("customers/u1/activities?name=plan")) == ["attribute_change"]


def test_activities_end_after_thirty_days(app: App, fake: FakeCustomerIO) -> None:
    ages = (29 * DAY, 31 * DAY)
    fake.remember(
        PersonHistory(
            id="u1", identified_ago=60 * DAY, activities=tuple(PastActivity(name="x", ago=ago) for ago in ages)
        )
    )

    assert len(app.get("customers/u1/activities")["activities"]) == 1


def test_activities_come_ten_a_page_and_at_most_a_hundred(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(events(120))
    first = app.get("customers/u1/activities?type=event")
    rest = app.get(f"customers/u1/activities?type=event&limit=100&start={first['next']}")
    last = app.get(f"customers/u1/activities?type=event&limit=100&start={rest['next']}")
    ids = [one["id"] for page in (first, rest, last) for one in page["activities"]]

    assert [len(page["activities"]) for page in (first, rest, last)] == [10, 100, 10]
    assert (len(set(ids)), last["next"]) == (120, "")
    assert app.refusal("customers/u1/activities?limit=101")[0] == 400
    assert app.refusal("customers/u1/activities?start=x")[0] == 400


def test_deleted_person_is_gone_but_for_the_workspace(app: App, track: Track) -> None:
    track.batch(identify("u1", plan="free"))
    track.delete("u1")

    assert app.refusal("customers/u1/activities")[0] == 404
    assert types(app.get("activities?customer_id=u1")) == []
    assert types(app.get("activities?customer_id=u1&deleted=true")) == ["profile_delete"]


def test_merged_person_keeps_what_both_did(app: App, track: Track) -> None:
    track.batch(identify("a"), event("a", name="x"), identify("b"), event("b", name="y"))
    track.call("POST", "/api/v1/merge_customers", {"primary": {"id": "a"}, "secondary": {"id": "b"}})
    found = app.get("customers/a/activities")

    assert sorted(types(found)) == ["event", "event", "profile_create", "profile_create", "profile_merge"]


# --- messages ---------------------------------------------------------------------------------------------------------


def test_message_has_every_documented_field(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(sent(PastMessage(subject="Hi", metrics=("sent", "delivered", "opened", "human_opened"))))
    (message,) = app.get("customers/u1/messages")["messages"]

    assert set(message) == MESSAGE
    assert (message["type"], message["subject"], message["recipient"]) == ("email", "Hi", "ann@example.com")
    assert set(message["customer_identifiers"]) == IDENTIFIERS
    assert message["metrics"]["sent"] == message["created"] + 10
    assert message["metrics"]["human_opened"] == 1


def test_state_of_a_message_is_an_activity_too(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(sent(PastMessage(metrics=("sent", "bounced"), failure_message="550", ago=DAY)))
    (bounced,) = app.get("customers/u1/activities?type=bounced_email")["activities"]
    (message,) = app.get("customers/u1/messages")["messages"]

    assert (bounced["delivery_id"], bounced["delivery_type"]) == (message["id"], "email")
    assert (bounced["timestamp"], message["failure_message"]) == (message["metrics"]["bounced"], "550")


def test_messages_are_of_six_months_unless_asked_for_others(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(sent(PastMessage(subject="new", ago=DAY), PastMessage(subject="old", ago=400 * DAY)))
    (new,) = app.get("customers/u1/messages")["messages"]
    start, end = new["created"] - 410 * 86_400, new["created"] - 300 * 86_400

    assert new["subject"] == "new"
    assert [one["subject"] for one in app.get(f"customers/u1/messages?start_ts={start}&end_ts={end}")["messages"]] == [
        "old"
    ]
    assert [one["subject"] for one in app.get(f"customers/u1/messages?start_ts={start}")["messages"]] == ["new"]
