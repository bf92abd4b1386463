"""Customer.io: credentials, the App API's key, the status page, our own limit, and the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pydantic import SecretStr

from cio_tasks.checks import Check, Group, Status
from cio_tasks.checks.account import Account
from cio_tasks.checks.clock import judge
from cio_tasks.checks.database import Server
from cio_tasks.checks.readings import Trouble
from cio_tasks.diagnostics.credentials import check_credentials
from cio_tasks.fake import AppScenario, FakeCustomerIO, Scenario
from cio_tasks.fake.status_page import StatusScenario
from cio_tasks.settings import Settings
from tests.checking import changed, look

TROUBLE = Trouble(Group.DATABASE, "away", "start it", is_told=True)


@pytest.fixture
def near(settings: Settings, fake: FakeCustomerIO) -> Settings:
    places = {"customerio_app_url": fake.url, "customerio_status_url": fake.url}
    return changed(settings, customerio_app_api_key=SecretStr("app-key"), **places)


def customerio(settings: Settings) -> dict[str, Check]:
    return look(settings, Group.CUSTOMERIO)


@pytest.mark.row("I2", "Q2")
def test_credentials_that_work_are_told_with_their_region(near: Settings) -> None:
    check = customerio(near)["customerio.credentials"]
    assert check.status is Status.OK
    assert check.message.startswith("Track credentials accepted in ")
    assert check.message.endswith("the region is us")


@pytest.mark.row("I2", "Q2")
def test_credentials_that_are_refused_are_told_with_the_mistake(near: Settings) -> None:
    swapped = {"customerio_site_id": near.customerio_api_key, "customerio_api_key": near.customerio_site_id}
    check = customerio(changed(near, **swapped))["customerio.credentials"]
    assert (check.status, check.fix) == (Status.FAIL, "swap the two values")


@pytest.mark.row("I2")
def test_what_is_odd_about_refused_credentials_is_told_beside(near: Settings) -> None:
    quoted = changed(near, customerio_api_key=SecretStr('"SECRETCANARY-quoted"'))
    checks = customerio(quoted)
    assert checks["customerio.credentials"].status is Status.FAIL
    assert checks["customerio.quoted_credential"].status is Status.WARN


def test_an_account_of_the_other_region_is_a_failure(near: Settings) -> None:
    with FakeCustomerIO(site_id="SECRETCANARY-site", api_key="SECRETCANARY-key", region="eu") as european:
        check = customerio(changed(near, customerio_track_url=european.url))["customerio.credentials"]
    assert (check.status, check.fix) == (Status.FAIL, "set CUSTOMERIO_REGION=eu")


@pytest.mark.parametrize(
    ("scenario", "status", "word"),
    [
        (Scenario(error_rate=1, error_status=429), "warn", "429"),
        (Scenario(error_rate=1, error_status=503), "fail", "http_503"),
        (Scenario(error_rate=1, error_status=403), "fail", "http_403"),
        (Scenario(outage="refuse"), "fail", "could not be checked"),
        (Scenario(truncated_json=True), "fail", ""),
    ],
    ids=["429", "503", "403", "refuse", "truncated"],
)
def test_why_credentials_were_not_checked_is_told(
    near: Settings, fake: FakeCustomerIO, scenario: Scenario, status: str, word: str
) -> None:
    fake.scenario = scenario
    check = customerio(near)["customerio.credentials"]
    assert (check.status, word in check.message) == (status, True)


@pytest.mark.row("A1")
def test_in_mock_mode_nobody_is_asked(near: Settings, fake: FakeCustomerIO) -> None:
    mock = changed(near, customerio_api_key=None, customerio_app_api_key=None)
    checks = look(mock, Group.CUSTOMERIO, Group.CLOCK)
    assert checks["customerio.credentials"].status is checks["customerio.app_key"].status is Status.SKIP
    assert checks["clock.customerio"].status is Status.SKIP
    assert {entry["path"] for entry in fake.ledger.entries()} == {"/api/v2/summary.json"}


def test_an_app_key_that_works_is_told(near: Settings) -> None:
    assert customerio(near)["customerio.app_key"].status is Status.OK


def test_without_an_app_key_it_is_told_what_is_unavailable(near: Settings) -> None:
    check = customerio(changed(near, customerio_app_api_key=None))["customerio.app_key"]
    assert (check.status, "cannot be looked up" in check.message) == (Status.SKIP, True)


def test_an_app_key_that_is_refused_is_a_failure(near: Settings) -> None:
    check = customerio(changed(near, customerio_app_api_key=SecretStr("SECRETCANARY-app")))["customerio.app_key"]
    assert check.status is Status.FAIL


def test_an_app_api_that_is_away_is_a_warning(near: Settings) -> None:
    away = changed(near, customerio_app_url="http://127.0.0.1:1")
    assert customerio(away)["customerio.app_key"].status is Status.WARN


def test_an_app_api_that_answers_rubbish_is_looked_for_on_the_way_there(near: Settings, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(app=AppScenario(not_json=True))
    check = customerio(near)["customerio.app_key"]
    assert (check.status, (check.fix or "").startswith("check CUSTOMERIO_APP_URL")) == (Status.FAIL, True)


@pytest.mark.row("Q1")
@pytest.mark.parametrize(("indicator", "status"), [("none", "ok"), ("minor", "warn"), ("critical", "warn")])
def test_the_status_page_is_told(near: Settings, fake: FakeCustomerIO, indicator: str, status: str) -> None:
    page = StatusScenario.model_validate({"indicator": indicator})
    fake.scenario = Scenario(status_page=page)
    assert customerio(near)["customerio.status"].status == status


@pytest.mark.row("Q1")
def test_a_part_that_is_not_well_is_named(near: Settings, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(status_page=StatusScenario(components={"Data Collection": "major_outage"}))
    assert customerio(near)["customerio.status"].message.endswith("Data Collection major outage")


def test_a_status_page_that_cannot_be_read_says_nothing(near: Settings) -> None:
    away = changed(near, customerio_status_url="http://127.0.0.1:1")
    check = customerio(away)["customerio.status"]
    assert (check.status, "could not be read" in check.message) == (Status.SKIP, True)


def test_our_own_limit_is_told_without_using_it(near: Settings) -> None:
    for _ in range(2):
        assert customerio(near)["customerio.rate_limit"].message == "0 of 100 calls used in the last second"


# --- the clocks -------------------------------------------------------------------------------------------------------


def test_clocks_that_agree_are_well(near: Settings) -> None:
    checks = look(near, Group.CLOCK)
    assert {check.status for check in checks.values()} == {Status.OK}
    assert checks["clock.customerio"].message.startswith("the database and Customer.io agree to ")


@pytest.mark.parametrize(("seconds", "status"), [(50, "ok"), (120, "warn"), (-120, "warn")])
def test_a_host_whose_clock_is_wrong_is_a_warning(near: Settings, seconds: float, status: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)):
        check = look(near, Group.CLOCK)["clock.database"]
    assert check.status == status
    direction = "ahead of" if seconds > 0 else "behind"
    assert status == "ok" or f"s {direction} the database" in check.message


@pytest.mark.parametrize(
    ("database", "theirs", "told"),
    [
        (100, 100, "the database and Customer.io agree to 0.1 s"),
        (100, 0, "the database is 100 s ahead of Customer.io: webhooks may be taken for stale"),
        (0, 100, "the database is 100 s behind Customer.io: webhooks may be taken for stale"),
        (None, 100, "this host is 100 s behind Customer.io: webhooks may be taken for stale"),
        (None, -100, "this host is 100 s ahead of Customer.io: webhooks may be taken for stale"),
    ],
)
def test_customerio_is_compared_with_the_clock_that_judges_webhooks(
    near: Settings, database: float | None, theirs: float, told: str
) -> None:
    report = check_credentials(near, timeout=timedelta(seconds=3))
    ahead = None if database is None else timedelta(seconds=database)
    server = TROUBLE if ahead is None else Server("18", timedelta(0), ahead, 1, 97, False, True, "0002")
    checks = [*judge(server, Account(report, timedelta(seconds=theirs)))]
    assert checks[1].message == told
