import pytest
import requests
from pydantic import ValidationError

from cio_tasks.fake import FakeCustomerIO, IncidentScenario, Scenario, StatusScenario
from tests.contract.app import App


@pytest.fixture
def page(fake: FakeCustomerIO) -> App:
    return App(fake.url, None)


def test_page_asks_for_no_credentials_and_says_all_is_well(page: App) -> None:
    shown = page.call("GET", "/api/v2/status.json").json()

    assert set(shown["page"]) == {"id", "name", "url", "time_zone", "updated_at"}
    assert shown["status"] == {"indicator": "none", "description": "All Systems Operational"}


@pytest.mark.parametrize("indicator", ["none", "minor", "major", "critical"])
def test_page_has_four_indicators(page: App, fake: FakeCustomerIO, indicator: str) -> None:
    fake.scenario = Scenario(status_page=StatusScenario.model_validate({"indicator": indicator}))

    assert page.call("GET", "/api/v2/status.json").json()["status"]["indicator"] == indicator


def test_there_is_no_fifth_indicator() -> None:
    with pytest.raises(ValidationError):
        StatusScenario.model_validate({"indicator": "fine"})


def test_summary_adds_nine_components_two_of_them_in_a_group(page: App, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(status_page=StatusScenario(components={"Data Processing": "degraded_performance"}))
    shown = page.call("GET", "/api/v2/summary.json").json()
    components = shown["components"]
    (group,) = [one["id"] for one in components if one["group"]]

    assert set(shown) == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert (len(components), sum(one["group_id"] == group for one in components)) == (9, 2)
    assert [one["name"] for one in components if one["status"] != "operational"] == ["Data Processing"]


def test_summary_lists_incidents_and_maintenances(page: App, fake: FakeCustomerIO) -> None:
    incident = IncidentScenario(name="Late profiles", impact="major", components=["Data Processing"])
    fake.scenario = Scenario(status_page=StatusScenario(incidents=[incident], maintenances=["Saturday"]))
    shown = page.call("GET", "/api/v2/summary.json").json()

    assert [(one["name"], one["status"], one["impact"]) for one in shown["incidents"]] == [
        ("Late profiles", "investigating", "major")
    ]
    assert [one["name"] for one in shown["scheduled_maintenances"]] == ["Saturday"]


def test_old_host_sends_on_with_a_301(page: App, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(status_page=StatusScenario(moved_to="https://status.customerio.com"))
    moved = page.call("GET", "/api/v2/summary.json")

    assert (moved.status_code, moved.headers["location"]) == (301, "https://status.customerio.com/api/v2/summary.json")


@pytest.mark.parametrize("outage", ["reset", "refuse"])
def test_page_may_be_away_by_itself(page: App, fake: FakeCustomerIO, outage: str) -> None:
    fake.scenario = Scenario(status_page=StatusScenario.model_validate({"outage": outage}))

    with pytest.raises(requests.ConnectionError):
        page.call("GET", "/api/v2/status.json")
    assert App(fake.url).call("GET", "/v1/workspaces").status_code == 200


def test_page_may_be_something_else(page: App, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(status_page=StatusScenario(not_json=True))

    assert page.call("GET", "/api/v2/status.json").text.startswith("<html>")


def test_visits_are_in_the_ledger(page: App, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(status_page=StatusScenario(outage="503"))
    page.call("GET", "/api/v2/status.json")

    assert fake.ledger.entries()[0]["answer"] == {"status": 503, "errors": [], "fault": "status_outage:503"}
