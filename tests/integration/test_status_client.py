"""The status page's client: what it says is told, and what it does not say is unknown."""

import socket
import time

import pytest

from cio_tasks.customerio import status_page
from cio_tasks.customerio.status_page import Component, Incident, Indicator, StatusPage
from cio_tasks.fake import FakeCustomerIO, IncidentScenario, Scenario, StatusScenario
from cio_tasks.settings import Settings

pytestmark = pytest.mark.row("Q1")


def read(url: str) -> StatusPage:
    return status_page.read(Settings.from_env({"CUSTOMERIO_STATUS_URL": url}))


def set_page(fake: FakeCustomerIO, **knobs: object) -> None:
    fake.scenario = Scenario(status_page=StatusScenario.model_validate(knobs))


@pytest.mark.parametrize("indicator", ["none", "minor", "major", "critical"])
def test_indicator_is_told(fake: FakeCustomerIO, indicator: str) -> None:
    set_page(fake, indicator=indicator)
    page = read(fake.url)

    assert (page.indicator, page.known, page.operational) == (indicator, True, indicator == "none")
    assert page.description


def test_components_incidents_and_maintenances_are_told(fake: FakeCustomerIO) -> None:
    incidents = [IncidentScenario(name="Late", impact="major"), IncidentScenario(name="Old", status="resolved")]
    set_page(
        fake,
        indicator="major",
        components={"Data Processing": "partial_outage", "Third-Party Services": "degraded_performance"},
        incidents=incidents,
        maintenances=["Saturday"],
    )
    page = read(fake.url)

    assert page.degraded == (Component("Data Processing", "partial_outage"),)
    assert page.incidents == (Incident("Late", "investigating", "major"),)
    assert (page.maintenances, page.status_of(status_page.COLLECTION)) == (("Saturday",), None)
    assert page.status_of(status_page.PROCESSING) == "partial_outage"


def test_degraded_component_is_not_operational_whatever_the_indicator_says(fake: FakeCustomerIO) -> None:
    set_page(fake, components={"Data Collection": "degraded_performance"})

    assert (read(fake.url).indicator, read(fake.url).operational) == (Indicator.NONE, False)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"outage": "503"}, "http 503"),
        ({"outage": "reset"}, "connection reset"),
        ({"not_json": True}, "something else answered"),
        ({"moved_to": "https://status.customerio.com"}, "CUSTOMERIO_STATUS_URL should be"),
    ],
)
def test_page_that_cannot_be_read_is_unknown(fake: FakeCustomerIO, knobs: dict[str, object], words: str) -> None:
    set_page(fake, **knobs)
    page = read(fake.url)

    assert (page.indicator, page.known, page.operational) == (Indicator.UNKNOWN, False, False)
    assert words in page.description
    assert page.failure is not None


def test_nobody_there_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert read(f"http://127.0.0.1:{port}").indicator == Indicator.UNKNOWN


def test_page_that_hangs_is_unknown_soon(fake: FakeCustomerIO) -> None:
    set_page(fake, outage="hang")
    started = time.monotonic()

    assert (read(fake.url).indicator, time.monotonic() - started < 30) == (Indicator.UNKNOWN, True)


def test_other_json_is_unknown(fake: FakeCustomerIO) -> None:
    page = read(f"{fake.url}/_fake/health?")

    assert (page.indicator, page.known) == (Indicator.UNKNOWN, False)
    assert page.description == "the status page could not be read: something else answered"


def test_description_is_one_line_without_control_signs(fake: FakeCustomerIO) -> None:
    set_page(fake, description="All\x1b[31m is\nwell" + "x" * 999)
    page = read(fake.url)

    assert page.description.startswith("All [31m is well")
    assert len(page.description) == status_page.SHOWN


def test_page_is_asked_without_credentials_and_once(fake: FakeCustomerIO) -> None:
    read(f"{fake.url}/")
    (entry,) = fake.ledger.entries()

    assert (entry["path"], entry["user"]) == ("/api/v2/summary.json", None)
