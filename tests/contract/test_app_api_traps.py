import time
from typing import Any

import pytest
import requests

from cio_tasks.fake import AppScenario, FakeCustomerIO, PersonHistory, Scenario
from tests.contract.app import ANN, App, events
from tests.contract.track import Track, action, identify
from tests.eventually import eventually

WORKSPACES = "/v1/workspaces"


def set_app(fake: FakeCustomerIO, **knobs: Any) -> None:
    fake.scenario = Scenario(app=AppScenario(**knobs))


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "wrong", "key"])
def test_other_key_is_401_in_the_app_apis_shape(fake: FakeCustomerIO, key: str | None) -> None:
    status, error = App(fake.url, key).refusal("workspaces")

    assert (status, error) == (401, {"detail": "unauthorized", "status": "401"})


def test_credentials_of_one_api_do_not_open_the_other(fake: FakeCustomerIO, track: Track) -> None:
    assert track.call("GET", WORKSPACES).status_code == 401
    assert App(fake.url).call("GET", "/api/v1/accounts/region").status_code == 401


def test_key_is_rotated(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.rotate_app("new")
    old, new = app.call("GET", WORKSPACES), App(fake.url, "new").call("GET", WORKSPACES)
    track.control("PUT", "credentials", {"site_id": "site", "api_key": "key", "app_api_key": "newer"})

    assert (old.status_code, new.status_code) == (401, 200)
    assert App(fake.url, "newer").call("GET", WORKSPACES).status_code == 200
    fake.reset()
    assert app.call("GET", WORKSPACES).status_code == 200


def test_wrong_region_is_a_redirect_with_a_body_or_a_plain_401(app: App, fake: FakeCustomerIO) -> None:
    set_app(fake, wrong_region="redirect")
    moved = app.call("GET", "/v1/workspaces?x=1")
    set_app(fake, wrong_region="unauthorized")

    assert (moved.status_code, moved.headers["location"]) == (301, "https://api-eu.customer.io/v1/workspaces?x=1")
    assert moved.json() == {"errors": [{"detail": "wrong datacenter", "status": "301"}]}
    assert app.refusal("workspaces")[0] == 401


def test_unknown_path_is_404(app: App) -> None:
    assert app.refusal("nowhere") == (404, {"detail": "not found", "status": "404"})
    assert app.refusal("workspaces", "DELETE")[0] == 404


# --- the limit --------------------------------------------------------------------------------------------------------


def test_eleventh_request_in_a_second_is_429_with_whole_seconds(app: App) -> None:
    answers = [app.call("GET", WORKSPACES) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert answers[-1].json()["errors"][0]["status"] == "429"
    assert not any("rate" in name.lower() for name in answers[0].headers)


def test_limit_recovers_after_a_second(app: App, fake: FakeCustomerIO) -> None:
    set_app(fake, rate_limit=1)
    codes = [app.call("GET", WORKSPACES).status_code for _ in range(2)]

    assert codes == [200, 429]
    assert eventually(lambda: app.call("GET", WORKSPACES).status_code, lambda code: code == 200, seconds=3)


def test_limit_is_not_the_track_apis(app: App, fake: FakeCustomerIO, track: Track) -> None:
    set_app(fake, rate_limit=0)

    assert (app.call("GET", WORKSPACES).status_code, track.identify("u1").status_code) == (429, 200)


def test_429_of_a_daily_quota_has_no_header(app: App, fake: FakeCustomerIO) -> None:
    set_app(fake, rate_limit=0, retry_after=None)

    assert "retry-after" not in app.call("GET", WORKSPACES).headers


# --- empty, endless, late ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "shown"), [("list", {"results": []}), ("null", {"results": None}), ("missing", {})])
def test_empty_collection_has_three_forms(app: App, fake: FakeCustomerIO, form: str, shown: Any) -> None:
    set_app(fake, empty_as=form)

    assert app.get("customers?email=nobody%40example.com") == shown


@pytest.mark.parametrize(("form", "shown"), [("empty", {"next": ""}), ("null", {"next": None}), ("missing", {})])
def test_last_page_has_no_token_in_three_forms(app: App, fake: FakeCustomerIO, form: str, shown: Any) -> None:
    fake.remember(ANN)
    set_app(fake, last_page=form)
    found = app.get("customers/u1/activities?type=event")

    assert {name: value for name, value in found.items() if name == "next"} == shown


def test_live_token_leads_to_empty_pages_with_live_tokens(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(events(5))
    set_app(fake, last_page="live")
    token, pages = "", []
    for _ in range(3):
        page = app.get(f"customers/u1/activities?type=event&start={token}")
        token = page["next"]
        pages.append((len(page["activities"]), token))

    assert [count for count, _ in pages] == [5, 0, 0]
    assert len({token for _, token in pages}) == 3


def test_same_token_leads_to_the_same_page(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(events(5))
    set_app(fake, last_page="same")
    first = app.get("customers/u1/activities?type=event")

    assert app.get(f"customers/u1/activities?type=event&start={first['next']}") == first


@pytest.mark.parametrize("form", ["empty_list", "missing", "empty_object", "null"])
def test_clean_address_has_four_forms(app: App, fake: FakeCustomerIO, form: str) -> None:
    set_app(fake, clean_address=form)

    assert not app.get("esp/search_suppression/ann%40example.com").get("suppressions")


def test_what_was_accepted_shows_only_after_a_while(app: App, fake: FakeCustomerIO, track: Track) -> None:
    track.identify("u1", plan="free")
    fake.scenario = Scenario(visibility_seconds=30)
    track.identify("u1", plan="paid")
    track.identify("u2", plan="free")

    assert app.get("customers/u1/attributes")["customer"]["attributes"]["plan"] == "free"
    assert app.refusal("customers/u2/attributes")[0] == 404
    assert fake.people.count() == 2


def test_what_was_accepted_shows_in_the_end(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(visibility_seconds=1)
    track.identify("u1", plan="free")
    at_once = app.call("GET", "/v1/customers/u1/attributes").status_code

    assert at_once == 404
    eventually(lambda: app.call("GET", "/v1/customers/u1/attributes").status_code == 200, every=0.2)


def test_what_came_first_shows_first(app: App, fake: FakeCustomerIO, track: Track) -> None:
    fake.scenario = Scenario(visibility_seconds=0.2)
    track.identify("u1", plan="free")
    fake.scenario = Scenario(visibility_seconds=1_000)
    track.identify("u2", plan="free")

    eventually(lambda: app.call("GET", "/v1/customers/u1/attributes").status_code == 200, every=0.2)
    assert app.refusal("customers/u2/attributes")[0] == 404


def test_suppressed_person_looks_like_one_who_never_was(app: App, fake: FakeCustomerIO, track: Track) -> None:
    track.batch(identify("u1", email="ann@example.com"))
    track.batch(action("suppress"))
    track.batch(identify("u1", plan="paid"))

    assert app.refusal("customers/u1/attributes")[0] == 404
    assert app.get("customers?email=ann%40example.com") == {"results": []}
    assert app.get("esp/search_suppression/ann%40example.com")["suppressions"] == []


def test_address_on_the_providers_list_still_has_a_profile(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(PersonHistory(id="u1", email="ann@example.com", provider_suppression="bounces"))

    assert app.get("customers/u1/attributes")["customer"]["unsubscribed"] is False


# --- faults -----------------------------------------------------------------------------------------------------------


def test_one_kind_of_question_may_fail_alone(app: App, fake: FakeCustomerIO) -> None:
    fake.remember(ANN)
    set_app(fake, failing={"activities": 503, "customers": 404})

    assert app.refusal("customers/u1/activities")[0] == 503
    assert app.refusal("customers?email=x")[0] == 404
    assert app.get("customers/u1/attributes")["customer"]["id"] == "u1"


@pytest.mark.parametrize("outage", ["reset", "refuse"])
def test_outage_of_the_app_api_leaves_the_track_api_alone(
    app: App, fake: FakeCustomerIO, track: Track, outage: str
) -> None:
    set_app(fake, outage=outage)

    with pytest.raises(requests.ConnectionError):
        app.call("GET", WORKSPACES)
    assert track.identify("u1").status_code == 200


def test_outage_of_the_track_api_leaves_the_app_api_alone(app: App, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503", truncated_json=True)

    assert len(app.get("workspaces")["workspaces"]) == 1


def test_answer_may_be_late_cut_or_not_json(app: App, fake: FakeCustomerIO) -> None:
    set_app(fake, latency_seconds=0.2)
    started = time.monotonic()
    app.get("workspaces")
    took = time.monotonic() - started
    set_app(fake, truncated_json=True)
    cut = app.call("GET", WORKSPACES).text
    set_app(fake, not_json=True)

    assert (took >= 0.2, cut.startswith("{"), cut.rstrip().endswith("}")) == (True, True, False)
    assert app.call("GET", WORKSPACES).text.startswith("<html>")


def test_every_question_is_in_the_ledger_without_the_key(app: App, fake: FakeCustomerIO) -> None:
    set_app(fake, failing={"segments": 503})
    app.call("GET", "/v1/customers?email=ann%40example.com")
    app.call("GET", "/v1/segments")

    first, second = fake.ledger.entries()
    assert (first["method"], first["path"], first["user"]) == ("GET", "/v1/customers?email=ann%40example.com", None)
    assert (first["answer"]["status"], first["operations"]) == (200, [])
    assert second["answer"] == {"status": 503, "errors": [], "fault": "app_failing:segments"}
    assert "app-key" not in str(fake.ledger.entries())
