"""One call under the magnifying glass, and which mistake it is when credentials are refused."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cio_tasks.diagnostics.bounded import within
from cio_tasks.diagnostics.credentials import CredentialsReport, check_credentials, other_track_url
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.requests import Exchange, make, prepare_identify, refuse, transport_of
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.findings import Severity
from cio_tasks.outcomes import Delivered
from cio_tasks.settings import Settings
from tests.integration.test_client_network import Peer, http, says

SITE_ID, API_KEY = "SECRETCANARY-site", "SECRETCANARY-key"
LIMIT = timedelta(seconds=5)


def settings_for(url: str, **more: str) -> Settings:
    own = {"CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY, "CUSTOMERIO_TRACK_URL": url}
    return Settings.from_env({**own, **more})


def identified(settings: Settings, *, limit: timedelta = LIMIT) -> Exchange:
    transport = transport_of(settings, timeout=limit)
    return make(transport, prepare_identify(transport, "u1", {"email": "ada@example.com"}, "v1"), timeout=limit)


def shown(exchange: Exchange, settings: Settings, *, reveal: bool = False) -> dict[str, Any]:
    return exchange.shown(Mask(settings.secrets, reveal), site_id=SITE_ID)


# --- one call ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("K5")
@pytest.mark.parametrize("reveal", [False, True])
def test_answer_that_repeats_what_was_sent_is_masked(reveal: bool) -> None:
    echo = {"meta": {"errors": ["no: ada@example.com"], "url": "/customers/ada%40example.com", "key": API_KEY}}
    with Peer(says(http(json.dumps(echo).encode(), status="400 Bad Request"))) as peer:
        settings = settings_for(peer.url)
        told = json.dumps(shown(identified(settings), settings, reveal=reveal))

    assert ("ada@example.com" in told) is reveal
    assert ("ada%40" in told) is reveal
    assert API_KEY not in told


@pytest.mark.row("K4")
def test_reason_of_a_refusal_is_the_message(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=400, v1_error_shape="error")
    settings = settings_for(fake.url)
    told = shown(identified(settings), settings)

    assert told["error"]["message"] == "Customer.io answered 400: answered 400 on request"
    assert told["error"]["details"] == {"errorType": "other", "status": 400, "retryable": False, "retryAfter": None}
    assert told["response"]["body"] == {"meta": {"error": "answered 400 on request"}}


def test_call_is_not_repeated_whatever_happens(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(reset_after_rate=1)
    identified(settings_for(fake.url))

    assert fake.ledger.count() == 1


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b"\xff\xfe", b'{"a":' * 9_000], ids=lambda body: repr(body[:9]))
def test_any_body_can_be_shown(body: bytes) -> None:
    with Peer(says(http(body))) as peer:
        settings = settings_for(peer.url)
        assert json.dumps(shown(identified(settings), settings))


def test_exchange_never_prints_its_credentials(fake: FakeCustomerIO) -> None:
    assert "SECRETCANARY" not in repr(identified(settings_for(fake.url)))


def test_check_that_is_certain_makes_the_exchange_a_refusal(fake: FakeCustomerIO) -> None:
    transport = transport_of(settings_for(fake.url), timeout=LIMIT)
    refused = refuse(prepare_identify(transport, "u1", {"plan": "x" * 1_001}, "v1"))

    assert refused is not None
    assert refused.reply is None
    assert refuse(prepare_identify(transport, "u1", {"plan": "pro"}, "v1")) is None


def test_half_a_character_is_no_json(fake: FakeCustomerIO) -> None:
    with pytest.raises(ValueError):
        prepare_identify(transport_of(settings_for(fake.url), timeout=LIMIT), "u1", {"plan": "\ud800"}, "v1")


# --- an end in time ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_interrupted_is_left_behind() -> None:
    forever, began = threading.Event(), time.monotonic()
    with pytest.raises(TimeoutError):
        within(timedelta(seconds=0.05), forever.wait, name="forever")
    forever.set()

    assert time.monotonic() - began < 30


def test_result_and_error_of_what_ends_in_time_are_handed_on() -> None:
    assert within(LIMIT, lambda: 7, name="seven") == 7
    with pytest.raises(ZeroDivisionError):
        within(LIMIT, lambda: 1 // 0, name="nothing")


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.fixture
def european() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY, region="eu") as fake:
        yield fake


def codes(report: CredentialsReport) -> list[str]:
    return [finding.code for finding in report.findings if finding.severity is not Severity.LOW]


@pytest.mark.row("Q2")
def test_working_credentials_cost_one_question(fake: FakeCustomerIO) -> None:
    report = check_credentials(settings_for(fake.url), timeout=LIMIT)

    assert isinstance(report.exchange.outcome, Delivered)
    assert (report.region, report.workspace, codes(report)) == ("us", 123456, [])
    assert fake.ledger.count() == 1


@pytest.mark.row("Q2", "K7")
def test_credentials_that_the_other_region_accepts_are_in_the_wrong_one(
    fake: FakeCustomerIO, european: FakeCustomerIO
) -> None:
    fake.scenario = Scenario(wrong_region="unauthorized")
    report = check_credentials(settings_for(fake.url), timeout=LIMIT, other_url=european.url)

    assert codes(report) == ["wrong_region"]
    assert report.findings[0].next == "set CUSTOMERIO_REGION=eu"
    assert [entry["method"] for entry in european.ledger.entries()] == ["GET"]


@pytest.mark.row("Q2", "K7")
def test_redirect_names_the_region_it_leads_to(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(wrong_region="redirect")

    assert codes(check_credentials(settings_for(fake.url), timeout=LIMIT)) == ["wrong_region"]


def test_redirect_to_elsewhere_is_no_region(fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(redirect_to="https://login.example.com")

    assert codes(check_credentials(settings_for(fake.url), timeout=LIMIT)) == ["redirected"]


@pytest.mark.row("Q2")
def test_swapped_credentials_are_found_out(fake: FakeCustomerIO) -> None:
    fake.rotate(site_id=API_KEY, api_key=SITE_ID)

    assert codes(check_credentials(settings_for(fake.url), timeout=LIMIT)) == ["credentials_swapped"]
    assert fake.ledger.count() == 2


@pytest.mark.row("Q2")
@pytest.mark.parametrize("others", [True, False])
def test_credentials_that_nobody_accepts_are_rejected(
    fake: FakeCustomerIO, european: FakeCustomerIO, others: bool
) -> None:
    for server in (fake, european):
        server.rotate(site_id="another", api_key="another")
    report = check_credentials(settings_for(fake.url), timeout=LIMIT, other_url=european.url if others else None)

    assert codes(report) == ["credentials_rejected"]
    assert ("both regions" in report.findings[0].message) is others
    assert european.ledger.count() == int(others)


@pytest.mark.row("Q2")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("CUSTOMERIO_API_KEY", '"abc"', "quoted_credential"),
        ("CUSTOMERIO_API_KEY", "abc def", "space_in_credential"),
        ("CUSTOMERIO_SITE_ID", "abc\u200bdef", "space_in_credential"),
        ("CUSTOMERIO_API_KEY", "a" * 32, "looks_like_app_key"),
        ("CUSTOMERIO_API_KEY", SITE_ID, "same_credential"),
        ("CUSTOMERIO_APP_API_KEY", API_KEY, "app_key_as_track_key"),
    ],
)
def test_refused_credentials_are_looked_at(fake: FakeCustomerIO, name: str, value: str, code: str) -> None:
    fake.rotate(site_id="another", api_key="another")
    settings = settings_for(fake.url, CUSTOMERIO_APP_URL=fake.url, **{name: value})
    report = check_credentials(settings, timeout=LIMIT)

    assert code in codes(report)
    assert "SECRETCANARY" not in str(report.findings)


def test_credentials_that_work_may_look_as_they_like(fake: FakeCustomerIO) -> None:
    odd = '"' + "a" * 40
    fake.rotate(site_id=SITE_ID, api_key=odd)

    assert codes(check_credentials(settings_for(fake.url, CUSTOMERIO_API_KEY=odd), timeout=LIMIT)) == []


@pytest.mark.parametrize("body", [b"{}", b'{"region":"mars"}', b'{"region":["us"]}'])
def test_answer_without_a_region_is_not_customerios(body: bytes) -> None:
    with Peer(says(http(body))) as peer:
        assert codes(check_credentials(settings_for(peer.url), timeout=LIMIT)) == ["not_customerio"]


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("https://track.customer.io", "https://track-eu.customer.io"),
        ("https://track-eu.customer.io/", "https://track.customer.io"),
        ("http://track.customer.io", None),
        ("https://track.example.com", None),
    ],
)
def test_credentials_go_to_another_region_of_customerio_and_nowhere_else(url: str, other: str | None) -> None:
    assert other_track_url(settings_for(url)) == other


# --- the App API's key ------------------------------------------------------------------------------------------------


def test_missing_key_of_the_app_api_is_only_a_note(fake: FakeCustomerIO) -> None:
    report = check_credentials(settings_for(fake.url), timeout=LIMIT)

    assert [(finding.severity, finding.code) for finding in report.findings] == [(Severity.LOW, "no_app_key")]


@pytest.mark.parametrize(("key", "found"), [("app-key", []), ("SECRETCANARY-wrong", ["app_key_rejected"])])
def test_key_of_the_app_api_is_tried(fake: FakeCustomerIO, key: str, found: list[str]) -> None:
    settings = settings_for(fake.url, CUSTOMERIO_APP_API_KEY=key, CUSTOMERIO_APP_URL=fake.url)

    assert codes(check_credentials(settings, timeout=LIMIT)) == found


def test_app_api_that_does_not_answer_spoils_nothing_else(fake: FakeCustomerIO) -> None:
    with Peer(says(b"nonsense\r\n\r\n", then_close=True)) as peer:
        settings = settings_for(fake.url, CUSTOMERIO_APP_API_KEY="app-key", CUSTOMERIO_APP_URL=peer.url)
        report = check_credentials(settings, timeout=LIMIT)

    assert (report.region, codes(report)) == ("us", ["app_api_unavailable"])
