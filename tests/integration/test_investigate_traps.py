"""What an investigation says when it cannot know everything: nothing that it does not know, and why it does not."""

import time
from datetime import timedelta

import pytest

from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.fake import FakeCustomerIO, PastActivity, PastMessage, Segment, Topic
from tests.factories import Factory
from tests.integration.app_client import FREE, set_app
from tests.integration.investigating import DAY, Detective, app_settings, codes, missing, person, shown

SECOND = timedelta(seconds=1)
FROM_CUSTOMERIO = {
    "profile",
    "segments",
    "activity",
    "activityLog",
    "delivery",
    "subscriptions",
    "suppression",
    "addresses",
}
BAD = PastMessage(metrics=("sent", "bounced"))


@pytest.fixture
def look(fake: FakeCustomerIO, sessions: Sessions) -> Detective:
    fake.scenario = FREE
    fake.remember(Segment(id=7, name="Bettors"))
    return Detective(app_settings(fake), sessions)


@pytest.fixture
def nowhere() -> Sessions:
    """Return sessions of a database that is not there."""
    return make_sessions(make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/nothing"))


# --- forms of the same answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "null", "missing"])
def test_empty_list_is_empty_in_whatever_form(fake: FakeCustomerIO, look: Detective, form: str) -> None:
    set_app(fake, empty_as=form)
    fake.remember(person(segments=(), messages=(), activities=()))
    report = look("u1")

    assert (codes(report), missing(report)) == (["no_segments", "no_messages", "no_events"], {})
    assert shown(report)["profile"]["segments"] == []


@pytest.mark.parametrize("form", ["list", "null", "missing"])
def test_unknown_address_is_an_empty_list_and_no_404(fake: FakeCustomerIO, look: Detective, form: str) -> None:
    set_app(fake, empty_as=form)
    assert codes(look("nobody@example.com")) == ["profile_not_found"]


@pytest.mark.parametrize("form", ["empty_list", "missing", "empty_object", "null"])
def test_clean_address_is_clean_in_whatever_form(fake: FakeCustomerIO, look: Detective, form: str) -> None:
    set_app(fake, clean_address=form)
    fake.remember(person())
    assert (look("u1").suppressed, codes(look("u1"))) == (False, [])


def test_numbers_may_come_as_texts(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, numbers_as_strings=True)
    fake.remember(person(messages=(BAD,)))
    assert codes(look("u1")) == ["bounces"]


@pytest.mark.parametrize("last", ["null", "missing", "live", "same"])
def test_last_page_may_look_like_any(fake: FakeCustomerIO, look: Detective, last: str) -> None:
    set_app(fake, last_page=last)
    fake.remember(person(activities=(PastActivity(name="bet", count=150),)))
    assert shown(look("u1"))["activity"]["read"] == 150


def test_plus_in_an_address_is_not_lost(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(email="ada+x&y@example.com"))
    assert look("ada+x&y@example.com").customerio.exists


# --- parts that cannot be had -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "parts", "kept_back"),
    [
        ("segments", {"segments"}, "no_segments"),
        ("activities", {"activity", "activityLog"}, "no_events"),
        ("messages", {"delivery"}, "no_messages"),
        ("subscription_preferences", {"subscriptions"}, "no_topics"),
        ("search_suppression", {"suppression"}, "suppressed"),
    ],
)
def test_part_that_fails_is_named_and_decides_nothing(
    fake: FakeCustomerIO, look: Detective, word: str, parts: set[str], kept_back: str
) -> None:
    fake.remember(person(segments=(), messages=(), activities=(), provider_suppression="bounces"))
    fake.remember(Topic(id=1, name="News", subscribed_by_default=False))
    assert kept_back in codes(look("u1"))

    for status in (400, 403, 503):
        set_app(fake, failing={word: status})
        report = look("u1")
        assert missing(report) == dict.fromkeys(parts, f"http_{status}")
        assert kept_back not in codes(report)


def test_profile_that_fails_leaves_the_other_parts(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, failing={"attributes": 503})
    fake.remember(person(email=None, messages=(BAD,)))
    report = look("u1")

    assert (shown(report)["profile"]["exists"], codes(report)) == (None, ["bounces"])
    assert missing(report) == {"profile": "http_503"}


@pytest.mark.parametrize(
    ("knobs", "code"),
    [
        ({"wrong_region": "unauthorized"}, "http_401"),
        ({"wrong_region": "redirect"}, "redirected"),
        ({"not_json": True}, "not_customerio"),
        ({"truncated_json": True}, "not_http"),
        ({"outage": "503"}, "http_503"),
        ({"outage": "refuse"}, None),
        ({"outage": "reset"}, "connection_reset"),
    ],
    ids=str,
)
def test_app_api_that_is_no_help_leaves_our_own_side(
    fake: FakeCustomerIO, look: Detective, make: Factory, knobs: dict[str, object], code: str | None
) -> None:
    signup = make.signup()
    fake.remember(person(id=str(signup.customer_id), email=None))
    set_app(fake, **knobs)
    report = look(str(signup.id))

    assert report.is_ours
    assert set(missing(report)) == FROM_CUSTOMERIO
    assert codes(report) == []
    assert code is None or set(missing(report).values()) <= {code, "not_customerio"}


def test_address_that_cannot_be_looked_up_leaves_our_id_to_ask_by(
    fake: FakeCustomerIO, look: Detective, make: Factory
) -> None:
    signup = make.signup("ada@example.com")
    fake.remember(person(id=str(signup.customer_id), email=None))
    set_app(fake, failing={"customers": 503})
    report = look("ada@example.com")

    assert (report.customerio.exists, missing(report)) == (True, {"addresses": "http_503"})


def test_refused_key_is_asked_only_once(fake: FakeCustomerIO, look: Detective) -> None:
    fake.rotate_app("another")
    report = look("u1")

    assert fake.ledger.count() == 1
    assert missing(report) == dict.fromkeys(FROM_CUSTOMERIO, "http_401")


def test_stopped_server(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    signup = make.signup()
    fake.stop()
    report = look(str(signup.id))

    assert (report.is_ours, set(missing(report).values())) == (True, {"connection_refused"})


def test_database_that_is_away_leaves_customerios_side(fake: FakeCustomerIO, nowhere: Sessions) -> None:
    fake.scenario = FREE
    fake.remember(Segment(id=7, name="Bettors"), person(messages=(BAD,)))
    report = Detective(app_settings(fake), nowhere)("u1")

    assert (missing(report), codes(report)) == ({"sync": "database_unavailable"}, ["bounces"])
    assert shown(report)["sync"] is None


def test_database_without_tables_says_so(postgres: object, fake: FakeCustomerIO) -> None:
    fake.scenario = FREE
    sessions = make_sessions(make_engine(str(getattr(postgres, "url", ""))))
    report = Detective(app_settings(fake), sessions)("u1")

    assert missing(report) == {"sync": "database_schema"}


def test_missing_profile_is_not_explained_by_a_database_that_is_away(fake: FakeCustomerIO, nowhere: Sessions) -> None:
    fake.scenario = FREE
    report = Detective(app_settings(fake), nowhere)("u1")

    assert "could not be asked" in report.findings[0].message
    assert codes(report) == ["profile_not_found"]


def test_nothing_at_all_to_ask(fake: FakeCustomerIO) -> None:
    report = Detective(app_settings(fake, CUSTOMERIO_APP_API_KEY=""))("u1")

    assert set(missing(report)) == FROM_CUSTOMERIO | {"sync"}
    assert shown(report)["subscription"] == {"unsubscribed": None, "topics": None}
    assert (report.is_known, codes(report)) == (False, [])


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "knobs",
    [{"outage": "hang"}, {"latency_seconds": 30}, {"drip_seconds_per_byte": 1}],
    ids=lambda knobs: next(iter(knobs)),
)
def test_slow_customerio_costs_no_more_than_the_budget(
    fake: FakeCustomerIO, look: Detective, make: Factory, knobs: dict[str, object]
) -> None:
    signup = make.signup()
    set_app(fake, **knobs)
    started = time.monotonic()
    report = look(str(signup.id), within=2 * SECOND)

    assert time.monotonic() - started < 9, "two rounds of questions could take 5 s each"
    assert (report.is_ours, set(missing(report))) == (True, FROM_CUSTOMERIO)
    assert set(missing(report).values()) <= {"timeout", "time_used_up"}


def test_questions_are_asked_side_by_side(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, latency_seconds=1.2)
    fake.remember(person())
    started = time.monotonic()

    assert missing(look("u1")) == {}
    assert time.monotonic() - started < 6 * 1.2
    assert fake.ledger.count() == 8


def test_pages_that_were_read_in_time_are_kept(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, latency_seconds=0.3)
    fake.remember(person(activities=(PastActivity(name="bet", count=3_000),)))
    report = look("u1", within=6 * SECOND, limit=3_000)
    activity = shown(report)["activity"]

    assert 100 <= activity["read"] < 3_000
    assert (activity["leftOut"], missing(report)["activity"]) == ("time", "rest_time")


def test_ten_thousand_activities_end_in_time_and_say_what_was_left_out(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(activities=(PastActivity(name="bet", count=10_000, every=timedelta(minutes=1)),)))
    started = time.monotonic()
    activity = shown(look("u1"))["activity"]

    assert time.monotonic() - started < 20
    assert (activity["read"], activity["leftOut"], activity["eventCountIsWhole"]) == (500, "limit", False)


def test_event_older_than_what_was_read_is_not_missed(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(activities=(PastActivity(name="bet", count=300, every=DAY / 100),)))
    report = look("u1", limit=50)

    assert not report.has_events_since(report.at - DAY)
    assert report.has_events_since(report.at - DAY / 4)


def test_rate_limit_is_obeyed_once_and_then_told(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, failing={"segments": 429}, retry_after="1")
    fake.remember(person())
    started = time.monotonic()
    report = look("u1")
    asked = [entry for entry in fake.ledger.entries() if "/segments" in entry["path"]]

    assert (missing(report), len(asked)) == ({"segments": "http_429"}, 2)
    assert time.monotonic() - started >= 1


def test_rate_limit_that_asks_for_more_than_there_is_time_is_not_waited_for(
    fake: FakeCustomerIO, look: Detective
) -> None:
    set_app(fake, failing={"segments": 429}, retry_after="60")
    fake.remember(person())
    started = time.monotonic()

    assert missing(look("u1")) == {"segments": "http_429"}
    assert time.monotonic() - started < 15


def test_limit_of_ten_a_second_is_kept(fake: FakeCustomerIO, look: Detective) -> None:
    set_app(fake, rate_limit=10)
    fake.remember(person())
    assert missing(look("u1")) == {}
