"""The client against the stand-in over real HTTP: what each answer means, and that one call is one request."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cio_tasks.customerio import BatchResult, CustomerIO, Operation
from cio_tasks.customerio.limits import BATCH_BYTES, encode
from cio_tasks.customerio.pace import Pace
from cio_tasks.customerio.track import event, identify
from cio_tasks.customerio.transport import Transport
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.outcomes import Deferred, Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.settings import Settings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ULID = "01HF0000000000000000000000"
CREDENTIALS = ("SECRETCANARY-site", "SECRETCANARY-key")
PAIR = [
    identify("u1", {"email": "ada@example.com"}, at=NOON),
    event("u1", "signup_submitted", {"n": 1}, event_id=ULID, at=NOON),
]

Connect = Callable[..., CustomerIO]


@pytest.fixture
def connect(fake: FakeCustomerIO) -> Connect:
    """Make a client of the stand-in, or of another address."""

    def make(url: str | None = None, auth: tuple[str, str] = CREDENTIALS, pace: Pace | None = None) -> CustomerIO:
        transport = Transport(url or fake.url, auth=auth, total=timedelta(seconds=5), user_agent="ciosync tests")
        return CustomerIO(transport, pace or Pace(1000, redis_url=None))

    return make


def summary(scenario: Scenario) -> str:
    return str(scenario.model_dump(exclude_defaults=True))


def send(client: CustomerIO, *operations: Operation) -> BatchResult:
    return client.batch(operations or PAIR)[1]


def bad(person: str) -> Operation:
    return identify(person, {"plan": "x" * 1_001}, at=NOON)


# --- an accepted batch ------------------------------------------------------------------------------------------------


def test_accepted_batch_is_delivered_in_one_request(fake: FakeCustomerIO, connect: Connect) -> None:
    reply, result = connect().batch(PAIR)
    (entry,) = fake.ledger.entries()

    assert (result.outcome, result.items) == (Delivered(200), {})
    assert (reply.status, reply.failure, reply.body) == (200, None, b"{}\n")
    assert (entry["method"], entry["path"], entry["user"]) == ("POST", "/api/v2/batch", "SECRETCANARY-site")
    assert [operation["applied"] for operation in entry["operations"]] == [True, True]


def test_text_arrives_as_it_was_sent(fake: FakeCustomerIO, connect: Connect) -> None:
    name = "Zoë 🏉 <O'Brien> \\ \" \u2028 \x00"
    send(connect(), identify("u1", {"last_name": name}, at=NOON))

    assert fake.ledger.entries()[0]["operations"][0]["attributes"]["last_name"] == name


def test_batch_of_the_largest_size_is_accepted(connect: Connect) -> None:
    operations = [identify(f"u{number}", {"plan": "x" * 900}, at=NOON) for number in range(493)]
    size = len(encode({"batch": operations}))

    assert BATCH_BYTES - 1_100 < size <= BATCH_BYTES
    assert send(connect(), *operations).outcome == Delivered(200)


def test_repeat_of_an_event_is_dropped_by_its_id(fake: FakeCustomerIO, connect: Connect) -> None:
    client = connect()
    fake.scenario = Scenario(reset_after_rate=1)
    first = send(client)
    fake.scenario = Scenario()

    assert isinstance(first.outcome, RetryLater)
    assert send(client).outcome == Delivered(200)
    assert (fake.people.count_events(), fake.people.count_duplicates_dropped()) == (1, 1)


def test_region_is_asked_without_writing_anything(fake: FakeCustomerIO, connect: Connect) -> None:
    reply, result = connect().region()

    assert (result.outcome, reply.status) == (Delivered(200), 200)
    assert [(entry["method"], entry["path"]) for entry in fake.ledger.entries()] == [("GET", "/api/v1/accounts/region")]
    assert fake.people.count() == 0


# --- mock mode --------------------------------------------------------------------------------------------------------


@pytest.mark.row("A1")
def test_without_credentials_nothing_is_sent_and_success_is_marked_as_mock(fake: FakeCustomerIO) -> None:
    client = CustomerIO.from_settings(Settings.from_env({"CUSTOMERIO_TRACK_URL": fake.url}))

    assert client.mock
    assert send(client).outcome == Delivered(mock=True)
    assert client.region()[1].outcome == Delivered(mock=True)
    assert fake.ledger.count() == 0


@pytest.mark.row("A1")
def test_with_credentials_a_success_is_not_marked_as_mock(settings: Settings) -> None:
    client = CustomerIO.from_settings(settings)

    assert not client.mock
    assert send(client).outcome == Delivered(200, mock=False)


# --- a refused or failed batch ----------------------------------------------------------------------------------------


@pytest.mark.row("A3")
@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0", 1), ("86400", 900), ("soon", 5), (None, 5)])
@pytest.mark.parametrize("body", ["json", "text", "empty"])
def test_429_is_retryable_and_says_for_how_long(
    fake: FakeCustomerIO, connect: Connect, header: str | None, seconds: int, body: Any
) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429, retry_after=header, rate_limit_body=body)
    outcome = send(connect()).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.code) == (ErrorType.RATE_LIMIT, "http_429")
    assert outcome.retry_after == timedelta(seconds=seconds)


@pytest.mark.row("A4")
@pytest.mark.parametrize(
    ("status", "error_type"),
    [(status, ErrorType.SERVER_ERROR) for status in (500, 502, 503, 504, 522, 524)] + [(408, ErrorType.NETWORK)],
)
@pytest.mark.parametrize("html", [False, True])
def test_server_errors_are_retryable(
    fake: FakeCustomerIO, connect: Connect, status: int, error_type: ErrorType, html: bool
) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=status, html_5xx=html)
    outcome = send(connect()).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.http_status, outcome.retry_after) == (error_type, status, None)


@pytest.mark.row("A5")
@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_other_4xx_are_permanent(fake: FakeCustomerIO, connect: Connect, status: int) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=status)
    outcome = send(connect()).outcome

    assert isinstance(outcome, Rejected)
    assert (outcome.error_type, outcome.code) == (ErrorType.OTHER, f"http_{status}")


@pytest.mark.row("A5")
@pytest.mark.parametrize("body", ["json", "text"])
def test_wrong_credentials_are_permanent_for_the_job(fake: FakeCustomerIO, connect: Connect, body: Any) -> None:
    fake.scenario = Scenario(unauthorized_as=body)
    client = connect(auth=("site", "wrong"))

    for result in (send(client), client.region()[1]):
        assert isinstance(result.outcome, Rejected)
        assert result.outcome.code == "http_401"
    assert fake.people.count() == 0


@pytest.mark.row("A5")
def test_rotated_credentials_work_with_a_client_that_has_them(fake: FakeCustomerIO, connect: Connect) -> None:
    old = connect()
    before = send(old).outcome
    fake.rotate(site_id="new", api_key="newer")

    assert before == Delivered(200)
    assert isinstance(send(old).outcome, Rejected)
    assert send(connect(auth=("new", "newer"))).outcome == Delivered(200)


@pytest.mark.row("A5")
def test_whitespace_around_pasted_credentials_does_no_harm(fake: FakeCustomerIO) -> None:
    site_id, api_key = CREDENTIALS
    pasted = {"CUSTOMERIO_SITE_ID": f" {site_id}\n", "CUSTOMERIO_API_KEY": f"{api_key}\t"}
    client = CustomerIO.from_settings(Settings.from_env({**pasted, "CUSTOMERIO_TRACK_URL": f"{fake.url}/ "}))

    assert send(client).outcome == Delivered(200)


@pytest.mark.row("A7")
@pytest.mark.parametrize(
    ("scenario", "error_type"),
    [
        (Scenario(error_rate=1, error_status=429), "rate_limit"),
        (Scenario(error_rate=1, error_status=503), "server_error"),
        (Scenario(outage="reset"), "network"),
        (Scenario(error_rate=1, error_status=403), "other"),
        (Scenario(wrong_region="unauthorized"), "other"),
        (Scenario(wrong_region="redirect"), "other"),
    ],
)
def test_every_failure_has_one_of_four_types(
    fake: FakeCustomerIO, connect: Connect, scenario: Scenario, error_type: str
) -> None:
    fake.scenario = scenario
    outcome = send(connect()).outcome

    assert isinstance(outcome, (RetryLater, Rejected))
    assert outcome.error_type == error_type


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(fake: FakeCustomerIO, connect: Connect, status: Any) -> None:
    with FakeCustomerIO(site_id=CREDENTIALS[0], api_key=CREDENTIALS[1]) as elsewhere:
        fake.scenario = Scenario(redirect_to=elsewhere.url, redirect_status=status)
        outcome = send(connect()).outcome

    assert isinstance(outcome, Rejected)
    assert outcome.code == "redirected"
    assert (fake.ledger.count(), elsewhere.ledger.count()) == (1, 0)


@pytest.mark.parametrize(
    "scenario",
    [
        *(Scenario(error_rate=1, error_status=status) for status in (400, 408, 413, 429, 500, 503)),
        *(Scenario(outage=outage) for outage in ("503", "reset", "refuse")),
        Scenario(truncated_json=True),
        Scenario(reset_after_rate=1),
    ],
    ids=summary,
)
def test_client_itself_retries_nothing(fake: FakeCustomerIO, connect: Connect, scenario: Scenario) -> None:
    fake.scenario = scenario
    connect().batch(PAIR)
    connect().region()

    assert [entry["method"] for entry in fake.ledger.entries()] == ["POST", "GET"]


# --- single items -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_200", [False, True])
def test_only_the_refused_items_of_a_batch_fail(fake: FakeCustomerIO, connect: Connect, with_200: bool) -> None:
    fake.scenario = Scenario(body_error_200=with_200)
    result = send(connect(), PAIR[0], bad("u2"), PAIR[1], bad("u3"))
    status = 200 if with_200 else 207

    assert [type(result.of(index)) for index in range(4)] == [Delivered, Rejected, Delivered, Rejected]
    assert result.items[1] == Rejected(
        "item_invalid", "attributes.plan: value for attribute 'plan' cannot be longer than 1000 bytes", status
    )
    assert fake.people.find("u2") is None


def test_item_with_several_faults_is_refused_once(connect: Connect) -> None:
    worse = identify("u2", {"plan": "x" * 1_001, "odds": "x" * 1_001}, at=NOON)
    result = send(connect(), PAIR[0], worse)

    assert list(result.items) == [1]
    assert "'plan'" in result.items[1].detail


@pytest.mark.parametrize("form", ["string", "out_of_range", "missing"])
def test_index_that_names_no_item_fails_the_batch_and_lets_it_be_split(
    fake: FakeCustomerIO, connect: Connect, form: Any
) -> None:
    fake.scenario = Scenario(batch_index_as=form)
    result = send(connect(), PAIR[0], bad("u2"))

    assert isinstance(result.outcome, Rejected)
    assert result.splittable


# --- our own pace -----------------------------------------------------------------------------------------------------


class NoTurn(Pace):
    """A pace whose turns are all used up."""

    def wait_for_turn(self) -> bool:
        return False


def test_nothing_is_sent_when_our_own_pace_allows_none(fake: FakeCustomerIO, connect: Connect) -> None:
    result = send(connect(pace=NoTurn(1, redis_url=None)))

    assert isinstance(result.outcome, Deferred)
    assert result.outcome.code == "own_rate_limit"
    assert fake.ledger.count() == 0
