"""What is found out about one campaign, on both sides, and about one person in it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from cio_tasks.customerio.app_answers import Trouble
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.diagnostics.campaign import examine_campaign, list_campaigns
from cio_tasks.diagnostics.trigger_history import meant
from cio_tasks.fake import Campaign, FakeCustomerIO, PastActivity, PastMessage, Segment
from cio_tasks.findings import Severity
from cio_tasks.models import SyncAttempt
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.factories import Factory
from tests.integration.app_client import FREE, failed, got, set_app
from tests.integration.buried import bury
from tests.integration.investigating import DAY, HOUR, Detective, app_settings, codes, missing, only, person, shown

BETTORS, NOBODY, ABROAD = 7, 8, 9


@pytest.fixture
def look(fake: FakeCustomerIO, sessions: Sessions) -> Detective:
    fake.scenario = FREE
    fake.remember(
        Segment(id=BETTORS, name="Bettors"),
        Segment(id=NOBODY, name="Nobody"),
        Segment(id=ABROAD, name="Abroad", count=48_213),
    )
    return Detective(app_settings(fake), sessions)


def give(fake: FakeCustomerIO, **fields: Any) -> None:
    """Put in campaign 5, which runs and lacks nothing but what `fields` says."""
    usual = {"id": 5, "name": "Welcome", "type": "segment", "trigger_segment_ids": (ABROAD,)}
    fake.remember(Campaign.model_validate({**usual, **fields}))


def of_event(fake: FakeCustomerIO, name: str = "signup_submitted", **fields: Any) -> None:
    give(fake, type="event", event_name=name, trigger_segment_ids=(), **fields)


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.row("M1", "M2", "M3")
def test_campaign_has_its_state_and_its_trigger(fake: FakeCustomerIO, look: Detective) -> None:
    of_event(fake, "bet_placed", filter_segment_ids=(ABROAD,))
    told = shown(look.campaign(5))

    assert (told["campaignId"], told["name"], told["status"]) == (5, "Welcome", "running")
    assert told["trigger"]["type"] == "event"
    assert told["trigger"]["conditions"] == {
        "event": "bet_placed",
        "triggerSegmentIds": [],
        "filterSegmentIds": [ABROAD],
    }


@pytest.mark.row("M4", "M5")
@pytest.mark.parametrize(
    ("fields", "audience"),
    [
        ({}, (ABROAD, 48_213)),
        ({"trigger_segment_ids": (NOBODY,)}, (NOBODY, 0)),
        ({"trigger_segment_ids": (NOBODY, ABROAD)}, (NOBODY, 48_213)),
        ({"filter_segment_ids": (BETTORS,)}, (ABROAD, 1)),
        ({"type": "event", "event_name": "bet_placed", "trigger_segment_ids": ()}, (None, None)),
    ],
    ids=str,
)
def test_audience_is_at_most_what_its_segments_have(
    fake: FakeCustomerIO, look: Detective, fields: dict[str, Any], audience: tuple[int, int]
) -> None:
    fake.remember(person())
    give(fake, **fields)
    told = shown(look.campaign(5))["audience"]

    assert (told["segmentId"], told["estimatedSize"]) == audience


@pytest.mark.row("M6")
def test_recent_sends_tell_whom_when_and_how_it_went(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake)
    sent = PastMessage(campaign_id=5, metrics=("sent", "bounced"), ago=HOUR)
    fake.remember(person(messages=(sent.model_copy(update={"count": 20}),)))
    sends = shown(look.campaign(5, limit=3))["recentSends"]

    assert [(one["userId"], one["status"]) for one in sends] == [("u1", "bounced")] * 3
    assert sends[0]["timestamp"] > sends[1]["timestamp"]


def test_numbers_of_the_last_week(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake)
    recent = PastMessage(campaign_id=5, ago=HOUR, count=2)
    old = PastMessage(campaign_id=5, ago=20 * DAY)
    lost = PastMessage(campaign_id=5, ago=HOUR, metrics=("failed",))
    fake.remember(person(messages=(recent, old, lost)))
    report = look.campaign(5)
    numbers = shown(report)["metrics7Days"]

    assert (numbers["sent"], numbers["delivered"], numbers["failed"]) == (2, 2, 1)
    assert codes(report) == ["failed_sends"]


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("M7")
@pytest.mark.parametrize("state", ["draft", "stopped"])
def test_campaign_that_is_not_active(fake: FakeCustomerIO, look: Detective, state: str) -> None:
    give(fake, state=state)
    found = only(look.campaign(5), "campaign_not_active")

    assert found.severity == Severity.HIGH
    assert state in found.message
    assert ("never was" in found.message) is (state == "draft")


@pytest.mark.row("M8")
def test_audience_that_nobody_matches(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake, trigger_segment_ids=(NOBODY,))
    report = look.campaign(5)

    assert codes(report) == ["empty_audience"]
    assert report.findings[0].severity == Severity.HIGH


def test_segment_that_is_still_built_or_gone(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(Segment(id=10, name="New", state="build", count=5))
    give(fake, trigger_segment_ids=(10, 99))
    report = look.campaign(5)

    assert codes(report) == ["segment_missing", "segment_building"]
    assert report.estimated_size is None


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("Signup_Submitted", "high"),
        ("signup submitted", "high"),
        ("signup-extraction-confirmed", "high"),
        ("signup_submited", "medium"),
        ("bet_placed", "low"),
    ],
)
def test_event_that_is_none_of_ours(fake: FakeCustomerIO, look: Detective, name: str, severity: str) -> None:
    of_event(fake, name)
    found = only(look.campaign(5), "unknown_trigger_event")

    assert found.severity == severity
    assert ("did you mean" in found.next) is (severity != "low")


@pytest.mark.parametrize("name", ["", "___", "signup", "x" * 500])
def test_name_far_from_ours_means_nothing(name: str) -> None:
    assert meant(name) is None


def test_event_with_spaces_around_is_ours(fake: FakeCustomerIO, look: Detective) -> None:
    of_event(fake, " signup_submitted ")
    assert "unknown_trigger_event" not in codes(look.campaign(5))


def test_event_that_we_never_delivered(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    of_event(fake)
    make.signup()
    report = look.campaign(5)

    assert codes(report) == ["trigger_never_sent"]
    assert shown(report)["trigger"]["history"] == {
        "syncPhase": "initial",
        "lastDeliveredAt": None,
        "deliveredIn7Days": 0,
        "owedOlderThan72h": 0,
    }


def test_event_that_we_deliver_and_that_sends_nothing(
    fake: FakeCustomerIO, look: Detective, runtime: Runtime, make: Factory
) -> None:
    of_event(fake)
    make.signup()
    process_due(runtime, limit=1)
    report = look.campaign(5)

    assert codes(report) == ["sends_nothing"]
    assert shown(report)["trigger"]["history"]["deliveredIn7Days"] == 1


def test_event_of_the_other_phase_does_not_count(
    fake: FakeCustomerIO, look: Detective, runtime: Runtime, make: Factory
) -> None:
    of_event(fake, "signup_extraction_confirmed")
    make.signup()
    process_due(runtime, limit=1)
    assert codes(look.campaign(5)) == ["trigger_never_sent"]


def test_delivery_long_ago_and_one_in_mock_mode(
    fake: FakeCustomerIO, look: Detective, runtime: Runtime, make: Factory, sessions: Sessions
) -> None:
    of_event(fake)
    make.signup()
    process_due(runtime, limit=1)
    with sessions.begin() as session:
        session.execute(update(SyncAttempt).values(finished_at=func.now() - 9 * DAY))
    assert codes(look.campaign(5)) == ["trigger_not_sent_lately"]

    with sessions.begin() as session:
        session.execute(update(SyncAttempt).values(mock=True))
    assert codes(look.campaign(5)) == ["trigger_never_sent"]


@pytest.mark.parametrize(("age", "found"), [(2 * DAY, False), (4 * DAY, True)])
def test_backlog_that_triggers_nothing_any_more(
    fake: FakeCustomerIO, look: Detective, make: Factory, age: timedelta, found: bool
) -> None:
    of_event(fake)
    bury(make, make.signup(submitted_at=func.now() - age))
    make.signup(submitted_at=func.now() - age)

    assert ("events_too_old" in codes(look.campaign(5))) is found
    assert not found or only(look.campaign(5), "events_too_old").message.startswith("2 events")


def test_complaints_and_bounces_of_a_week(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake)
    bad = PastMessage(campaign_id=5, ago=HOUR, metrics=("sent", "delivered", "spammed", "bounced"))
    fake.remember(person(messages=(bad,)))
    assert codes(look.campaign(5)) == ["many_complaints", "many_bounces"]


# --- one person in it -------------------------------------------------------------------------------------------------


def of_person(look: Detective) -> list[str]:
    return codes(look.campaign(5, user="u1"))


def test_nothing_keeps_out_who_is_in_the_segment(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake, trigger_segment_ids=(BETTORS,))
    fake.remember(person())
    told = shown(look.campaign(5, user="u1"))

    assert told["user"] == {"userId": "u1", "exists": True, "segmentIds": [BETTORS], "received": 0}
    assert told["issues"] == []


@pytest.mark.row("Q4")
def test_person_outside_the_segments(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake, filter_segment_ids=(BETTORS,))
    fake.remember(person(segments=()))
    assert of_person(look).count("not_in_segment") == 2


@pytest.mark.row("Q4")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": None}, "no_email"),
        ({"provider_suppression": "bounces"}, "suppressed"),
        ({"unsubscribed": True}, "unsubscribed"),
        ({"suppressed": True}, "profile_not_found"),
    ],
)
def test_what_keeps_a_person_out(fake: FakeCustomerIO, look: Detective, fields: dict[str, Any], code: str) -> None:
    give(fake, trigger_segment_ids=(BETTORS,))
    fake.remember(person(id="u2", email="ann@example.com"), person(**fields))
    assert of_person(look) == [code]


def test_person_who_got_it_already(fake: FakeCustomerIO, look: Detective) -> None:
    give(fake, trigger_segment_ids=(BETTORS,))
    fake.remember(person(messages=(PastMessage(campaign_id=5, ago=2 * HOUR), PastMessage(campaign_id=6))))
    assert only(look.campaign(5, user="u1"), "already_sent").message.endswith("1 time, the last 2 h ago: delivered")


@pytest.mark.row("Q5")
def test_person_without_the_event_that_starts_it(fake: FakeCustomerIO, look: Detective) -> None:
    of_event(fake, "bet_placed")
    fake.remember(person(activities=(PastActivity(name="bet_seen"),)))
    assert of_person(look) == ["trigger_not_done", "unknown_trigger_event"]


def test_event_may_be_among_those_that_were_not_read(fake: FakeCustomerIO, look: Detective) -> None:
    of_event(fake, "bet_placed")
    fake.remember(person(activities=(PastActivity(name="bet_seen", count=300),)))
    assert "trigger_not_done" not in of_person(look)


def test_what_is_wrong_with_a_person_and_keeps_nobody_out_is_left_to_investigate(
    fake: FakeCustomerIO, look: Detective
) -> None:
    give(fake, trigger_segment_ids=(BETTORS,))
    fake.remember(person(identified_ago=3 * DAY, messages=(PastMessage(metrics=("sent", "bounced")),)))
    assert of_person(look) == []


def test_person_whose_events_cannot_be_read_is_not_judged_by_them(fake: FakeCustomerIO, look: Detective) -> None:
    of_event(fake, "bet_placed")
    fake.remember(person(activities=()))
    set_app(fake, failing={"activities": 503})
    report = look.campaign(5, user="u1")

    assert codes(report) == ["unknown_trigger_event"]
    assert missing(report) == {"user activity": "http_503", "user activityLog": "http_503"}


# --- what cannot be had -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "part"),
    [("metrics", "metrics"), ("messages", "recentSends"), ("customer_count", f"segment {NOBODY} count")],
)
def test_part_that_fails_is_named_and_decides_nothing(
    fake: FakeCustomerIO, look: Detective, word: str, part: str
) -> None:
    give(fake, trigger_segment_ids=(NOBODY,))
    set_app(fake, failing={word: 503})
    report = look.campaign(5)

    assert missing(report) == {part: "http_503"}
    assert codes(report) == ([] if word == "customer_count" else ["empty_audience"])


@pytest.mark.parametrize("form", ["null", "missing"])
def test_empty_lists_in_any_form(fake: FakeCustomerIO, look: Detective, form: str) -> None:
    set_app(fake, empty_as=form)
    give(fake)
    told = shown(look.campaign(5))

    assert (told["recentSends"], told["issues"], told["unavailable"]) == ([], [], [])


def test_database_that_is_away_leaves_the_campaign(fake: FakeCustomerIO) -> None:
    fake.scenario = FREE
    of_event(fake)
    sessions = make_sessions(make_engine("postgresql+psycopg2://nobody@127.0.0.1:1/nothing"))

    assert missing(Detective(app_settings(fake), sessions).campaign(5)) == {"sync": "database_unavailable"}
    assert missing(Detective(app_settings(fake)).campaign(5)) == {"sync": "no_database"}


def test_campaign_that_is_not_there_is_not_found_and_the_others_are_listed(
    fake: FakeCustomerIO, look: Detective
) -> None:
    give(fake)

    assert failed(examine_campaign(look.settings, None, 6)).trouble == Trouble.NOT_FOUND
    assert [one.name for one in got(list_campaigns(look.settings))] == ["Welcome"]
