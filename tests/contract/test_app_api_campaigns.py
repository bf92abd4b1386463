import time
from datetime import timedelta
from typing import Any

import pytest

from cio_tasks.fake import Campaign, FakeCustomerIO, PastMessage, PersonHistory, Segment
from tests.contract.app import App, sent

DAY = timedelta(days=1)
ALWAYS = {
    *("id", "deduplicate_id", "name", "description", "type", "created", "updated", "active", "state", "actions"),
    *("first_started", "tags", "filter_segment_ids", "msg_templates"),
}


def counted(found: dict[str, Any], name: str) -> int:
    return sum(found["metric"]["series"][name])


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_event_campaign_names_its_event(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="Welcome", event_name="signup_submitted", filter_segment_ids=(7,)))
    shown = app.get("campaigns/5")["campaign"]

    assert set(shown) == {*ALWAYS, "event_name"}
    assert (shown["type"], shown["event_name"], shown["active"], shown["state"]) == (
        "event",
        "signup_submitted",
        True,
        "running",
    )
    assert shown["actions"] == [{"id": 500, "type": "email"}]


def test_segment_campaign_names_its_segments(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="VIPs", type="segment", trigger_segment_ids=(7, 8)))

    assert app.get("campaigns/5")["campaign"]["trigger_segment_ids"] == [7, 8]


@pytest.mark.parametrize(("state", "active", "started"), [("draft", False, 0), ("stopped", False, 1_700_000_000)])
def test_campaign_that_does_not_run_is_not_active(
    app: App, fake: FakeCustomerIO, state: Any, active: bool, started: int
) -> None:
    fake.remember(Campaign(id=5, name="Old", state=state))
    shown = app.get("campaigns")["campaigns"][0]

    assert (shown["state"], shown["active"], shown["first_started"]) == (state, active, started)


def test_unknown_campaign_is_404_and_no_number_is_400(app: App) -> None:
    assert app.refusal("campaigns/5")[1]["detail"] == "campaign with id 5 does not exist"
    assert app.refusal("campaigns/five")[0] == 400
    for what in ("actions", "metrics", "messages"):
        assert app.refusal(f"campaigns/5/{what}")[0] == 404


def test_actions_come_ten_a_page_with_ids_that_are_text(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="Long", actions=("email",) * 12))
    first = app.get("campaigns/5/actions")
    rest = app.get(f"campaigns/5/actions?start={first['next']}")

    assert [one["id"] for one in first["actions"] + rest["actions"]] == [str(500 + n) for n in range(12)]


def test_campaign_lists_its_own_messages_by_metric_and_type(app: App, fake: FakeCustomerIO) -> None:
    mine = [PastMessage(campaign_id=5, metrics=("sent", "bounced")), PastMessage(campaign_id=5, type="push")]
    fake.remember(Campaign(id=5, name="Welcome"), sent(*mine, PastMessage(newsletter_id=9)))

    assert len(app.get("campaigns/5/messages")["messages"]) == 2
    assert len(app.get("campaigns/5/messages?metric=bounced")["messages"]) == 1
    assert len(app.get("campaigns/5/messages?type=push")["messages"]) == 1
    assert {one["action_id"] for one in app.get("campaigns/5/messages")["messages"]} == {500}


def test_drafts_are_listed_only_when_asked_for(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="Welcome"), sent(PastMessage(campaign_id=5, metrics=("drafted",))))

    assert app.get("campaigns/5/messages")["messages"] == []
    assert len(app.get("campaigns/5/messages?drafts=true")["messages"]) == 1


def test_metrics_count_messages_by_period_oldest_first(app: App, fake: FakeCustomerIO) -> None:
    messages = PastMessage(campaign_id=5, metrics=("sent", "delivered"), count=2, every=3 * DAY)
    fake.remember(Campaign(id=5, name="Welcome"), sent(messages))
    found = app.get("campaigns/5/metrics?version=2&res=days&tz=UTC")
    series = found["metric"]["series"]

    assert (counted(found, "created"), counted(found, "sent"), counted(found, "bounced")) == (2, 2, 0)
    assert [day for day, count in enumerate(reversed(series["created"])) if count] == [0, 3]


def test_metrics_have_one_number_for_each_period_asked_for(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="Welcome"))
    start = 1_704_067_200  # 2024-01-01, UTC
    asked = {"hours": 24, "days": 1, "weeks": 1, "months": 1}

    for res, periods in asked.items():
        path = f"campaigns/5/metrics?version=2&tz=UTC&res={res}&start={start}&end={start + 86_399}"
        assert len(app.get(path)["metric"]["series"]["sent"]) == periods
    assert len(app.get("campaigns/5/metrics?version=1&period=weeks&steps=3")["metric"]["series"]["sent"]) == 3


def test_metrics_between_two_times_run_from_the_oldest(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Campaign(id=5, name="Welcome"), sent(PastMessage(campaign_id=5, ago=2 * DAY)))
    end = int(time.time())
    query = f"version=2&tz=UTC&res=days&start={end - 9 * 86_400}&end={end}"
    days = app.get(f"campaigns/5/metrics?{query}")["metric"]["series"]["created"]

    assert [day for day, count in enumerate(reversed(days)) if count] == [2]


@pytest.mark.parametrize("query", ["version=3", "version=2&res=years", "version=2&tz=Mars", "version=2&start=9&end=8"])
def test_malformed_metrics_are_400(app: App, fake: FakeCustomerIO, query: str) -> None:
    fake.remember(Campaign(id=5, name="Welcome"))

    assert app.refusal(f"campaigns/5/metrics?{query}")[0] == 400


# --- segments ---------------------------------------------------------------------------------------------------------


def test_segment_has_its_documented_fields(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Segment(id=7, name="VIP", state="build", progress=40))
    (listed,) = app.get("segments")["segments"]

    assert listed == app.get("segments/7")["segment"]
    assert set(listed) == {
        *(
            "id",
            "deduplicate_id",
            "name",
            "description",
            "state",
            "progress",
            "type",
            "tags",
            "created_at",
            "updated_at",
        )
    }
    assert (listed["type"], listed["state"], listed["progress"]) == ("dynamic", "build", 40)


def test_members_of_a_segment_have_an_empty_id_when_they_have_none(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(
        Segment(id=7, name="VIP"),
        PersonHistory(id="u1", segments=(7,)),
        PersonHistory(email="bob@example.com", segments=(7,)),
    )
    found = app.get("segments/7/membership")

    assert (found["segment_id"], found["ids"]) == (7, ["u1", ""])
    assert [one["email"] for one in found["identifiers"]] == [None, "bob@example.com"]
    assert app.get("segments/7/customer_count") == {"segment_id": 7, "count": 2}


def test_large_audience_need_not_be_made_up(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Segment(id=7, name="Abroad", count=48_213))

    assert app.get("segments/7/customer_count")["count"] == 48_213


def test_unknown_segment_is_404(app: App) -> None:
    for path in ("segments/7", "segments/7/customer_count", "segments/7/membership"):
        assert app.refusal(path) == (404, {"detail": "segment with id 7 does not exist", "status": "404"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"segment": {"id": 7}}, ["u1"]),
        ({"attribute": {"field": "plan", "operator": "exists"}}, ["u1", "u2"]),
        ({"attribute": {"field": "plan", "operator": "eq", "value": "paid"}}, ["u2"]),
        ({"and": [{"segment": {"id": 7}}, {"attribute": {"field": "plan", "operator": "eq", "value": "paid"}}]}, []),
        ({"not": {"segment": {"id": 7}}}, ["u2"]),
    ],
)
def test_people_are_searched_by_a_filter(app: App, fake: FakeCustomerIO, condition: Any, expected: list[str]) -> None:
    free, paid = {"plan": "free"}, {"plan": "paid"}
    fake.remember(
        Segment(id=7, name="VIP"),
        PersonHistory(id="u1", attributes=free, segments=(7,)),
        PersonHistory(id="u2", attributes=paid),
    )
    found = app.call("POST", "/v1/customers?limit=50", {"filter": condition}).json()

    assert (found["ids"], set(found)) == (expected, {"identifiers", "ids", "next"})


def test_malformed_filter_is_400(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(PersonHistory(id="u1"))

    assert app.refusal("customers", "POST", {"filter": {"like": "x"}})[0] == 400


# --- suppressed addresses and the workspace ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "category"), [("bounces", "bounces"), ("spam_reports", "spam")])
def test_suppressed_address_is_found_and_listed(app: App, fake: FakeCustomerIO, name: Any, category: str) -> None:
    fake.remember(PersonHistory(id="u1", email="Ann+1@example.com", provider_suppression=name))
    found = app.get("esp/search_suppression/ann%2B1%40example.com")
    (entry,) = found["suppressions"]

    assert found == app.get(f"esp/suppression/{name}")
    assert (found["category"], set(entry)) == (category, {"created", "email", "reason", "status"})
    assert entry["status"] == "550"


def test_suppressed_address_that_is_not_encoded_is_not_found(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(PersonHistory(id="u1", email="ann+1@example.com", provider_suppression="bounces"))

    assert app.get("esp/search_suppression/ann+1@example.com")["suppressions"] == []


def test_address_is_put_on_a_list_and_taken_off(app: App) -> None:
    path = "/v1/esp/suppression/bounces/ann%40example.com"
    put = app.call("POST", path)
    found = app.get("esp/search_suppression/ann%40example.com")
    taken = app.call("DELETE", path)

    assert (put.status_code, put.json(), taken.status_code) == (200, {}, 204)
    assert len(found["suppressions"]) == 1
    assert app.get("esp/suppression/bounces")["suppressions"] == []


def test_lists_have_an_offset_and_no_next(app: App, fake: FakeCustomerIO) -> None:
    addresses = [f"a{n}@example.com" for n in range(3)]
    fake.remember(*(PersonHistory(email=one, provider_suppression="bounces") for one in addresses))
    page = app.get("esp/suppression/bounces?limit=2&offset=2")

    assert ([one["email"] for one in page["suppressions"]], "next" in page) == (["a2@example.com"], False)
    assert app.refusal("esp/suppression/nonsense")[0] == 400


def test_workspace_is_told(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(sent(PastMessage()))
    (workspace,) = app.get("workspaces")["workspaces"]

    assert set(workspace) == {
        *("id", "name", "messages_sent", "billable_messages_sent", "people", "object_types", "objects")
    }
    assert (workspace["people"], workspace["messages_sent"]) == (1, 1)
