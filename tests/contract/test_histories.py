import time
from datetime import timedelta

import pytest
from pydantic import ValidationError

from cio_tasks.fake import (
    CAST,
    AppScenario,
    Campaign,
    FakeCustomerIO,
    PastActivity,
    PastMessage,
    PersonHistory,
    Scenario,
    Segment,
)
from tests.contract.app import KEY, App, events
from tests.contract.track import Track, identify

FAST = Scenario(app=AppScenario(rate_limit=10_000))
HOUR = timedelta(hours=1)


def all_activities(app: App, person: str) -> list[dict[str, int]]:
    found, token = [], ""
    while True:
        page = app.get(f"customers/{person}/activities?limit=100&start={token}")
        found += page["activities"]
        token = page["next"]
        if not token:
            return found


def test_one_person_may_have_ten_thousand_activities(app: App, fake: FakeCustomerIO) -> None:
    fake.scenario = FAST
    fake.remember(events(10_000))
    started = time.monotonic()
    found = all_activities(app, "u1")

    assert (len(found), len({one["id"] for one in found})) == (10_001, 10_001)
    assert time.monotonic() - started < 30


def test_one_person_has_no_more_than_that() -> None:
    with pytest.raises(ValidationError):
        PastActivity(name="x", count=10_001)


def test_times_are_ages(app: App, fake: FakeCustomerIO) -> None:
    activity = PastActivity(name="x", ago=3 * HOUR, count=2, every=HOUR)
    fake.remember(PersonHistory(id="u1", identified_ago=2 * HOUR, created_ago=5 * HOUR, activities=(activity,)))
    now = time.time()
    found = app.get("customers/u1/activities")["activities"]

    assert [(one["type"], round((now - one["timestamp"]) / 3600)) for one in found] == [
        ("event", 3),
        ("event", 4),
        ("profile_create", 5),
    ]


def test_attributes_are_as_old_as_the_last_identify(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(PersonHistory(id="u1", attributes={"plan": "free"}, identified_ago=30 * HOUR))
    set_at = app.get("customers/u1/attributes")["customer"]["timestamps"]["plan"]

    assert round((time.time() - set_at) / 3600) == 30


def test_person_put_in_again_begins_anew(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(PersonHistory(id="u1", attributes={"plan": "free"}, messages=(PastMessage(campaign_id=5),)))
    fake.remember(Campaign(id=5, name="Welcome"), PersonHistory(id="u1", email="ann@example.com"))

    assert set(app.get("customers/u1/attributes")["customer"]["attributes"]) == {"id", "email", "cio_id"}
    assert app.get("customers/u1/messages")["messages"] == []
    assert app.get("campaigns/5/messages")["messages"] == []


def test_person_put_in_after_being_suppressed_is_there(app: App, fake: FakeCustomerIO) -> None:
    for suppressed in (True, False):
        fake.remember(PersonHistory(id="u1", email="ann@example.com", suppressed=suppressed))

    assert app.get("customers/u1/attributes")["customer"]["id"] == "u1"


def test_suppressed_person_is_ignored_from_then_on(fake: FakeCustomerIO, track: Track) -> None:
    fake.remember(PersonHistory(id="u1", email="ann@example.com", suppressed=True))
    track.batch(identify("u1", plan="paid"))

    assert (fake.people.find("u1"), fake.ledger.entries()[0]["operations"][0]["why"]) == (None, "suppressed")


def test_histories_are_put_in_over_http(app: App, fake: FakeCustomerIO, track: Track) -> None:
    person = {"id": "u1", "email": "ann@example.com", "segments": [7], "messages": [{"metrics": ["sent"], "ago": 60}]}
    counts = track.control("PUT", "histories", {"segments": [{"id": 7, "name": "VIP"}], "people": [person]})

    assert counts == {"segments": 1, "campaigns": 0, "topics": 0, "people": 1}
    assert app.get("segments/7/customer_count")["count"] == 1
    assert len(app.get("customers/u1/messages")["messages"]) == 1
    assert fake.ledger.entries()[0]["path"] == "/v1/segments/7/customer_count"


@pytest.mark.parametrize("wrong", [{"people": [{}]}, {"people": [{"id": "u1", "mood": "fine"}]}, {"animals": []}])
def test_history_that_makes_no_sense_is_refused_by_name(track: Track, wrong: object) -> None:
    answer = track.call("PUT", "/_fake/histories", wrong)

    assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)


def test_histories_need_no_credentials_and_are_not_in_the_ledger(fake: FakeCustomerIO) -> None:
    answer = App(fake.url, None).call("PUT", "/_fake/histories", {})

    assert (answer.status_code, fake.ledger.count()) == (200, 0)


def test_reset_forgets_histories(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(Segment(id=7, name="VIP"), Campaign(id=5, name="Welcome"), events(3))
    fake.reset()

    assert (app.get("segments")["segments"], app.get("campaigns")["campaigns"], fake.people.count()) == ([], [], 0)


def test_history_shows_at_once_whatever_is_on_its_way(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(visibility_seconds=30)
    track.identify("u1", plan="free")
    fake.remember(PersonHistory(id="u2"))

    assert app.get("customers/u2/attributes")["customer"]["id"] == "u2"


# --- the ready people -------------------------------------------------------------------------------------------------


def test_cast_has_somebody_for_every_verdict() -> None:
    with FakeCustomerIO(histories=CAST, app_api_key=KEY, scenario=FAST) as fake:
        app = App(fake.url)
        customers = {
            name: app.get(f"customers/cast-{name}/attributes")["customer"]
            for name in ("fine", "noemail", "stale", "unsubscribed", "bounced", "complained", "busy")
        }

        assert app.refusal("customers/cast-missing/attributes")[0] == 404
        assert app.refusal("customers/cast-suppressed/attributes")[0] == 404
        assert "email" not in customers["noemail"]["attributes"]
        assert [name for name, one in customers.items() if one["unsubscribed"]] == ["unsubscribed"]
        ages = {name: time.time() - one["timestamps"]["bets"] for name, one in customers.items()}
        assert [name for name, age in ages.items() if age > 24 * 3600] == ["stale"]


def test_cast_has_bounces_complaints_and_campaigns_of_each_state() -> None:
    with FakeCustomerIO(histories=CAST, app_api_key=KEY, scenario=FAST) as fake:
        app = App(fake.url)
        states = {
            name: [state for one in app.get(f"customers/cast-{name}/messages")["messages"] for state in one["metrics"]]
            for name in ("fine", "bounced", "complained")
        }

        assert (states["bounced"].count("bounced"), states["complained"].count("spammed")) == (2, 1)
        assert not {"bounced", "spammed"} & set(states["fine"])
        assert len(app.get("esp/suppression/bounces")["suppressions"]) == 1
        assert {one["state"] for one in app.get("campaigns")["campaigns"]} == {"running", "draft", "stopped"}
        fake.reset()
        assert app.get("customers/cast-fine/attributes")["customer"]["id"] == "cast-fine"
