"""What an investigation finds out about one person, and what it makes of it."""

from datetime import timedelta

import pytest

from cio_tasks.db import Sessions
from cio_tasks.diagnostics.own_side import Kind
from cio_tasks.fake import FakeCustomerIO, PastActivity, PastMessage, PersonHistory, Segment, Topic
from cio_tasks.findings import Severity
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.factories import Factory
from tests.integration.app_client import FREE
from tests.integration.investigating import DAY, HOUR, Detective, app_settings, codes, complete, missing, person, shown

BOUNCED = PastMessage(metrics=("sent", "bounced"), failure_message="550 5.1.1 no such user", ago=2 * DAY)


@pytest.fixture
def look(fake: FakeCustomerIO, sessions: Sessions) -> Detective:
    fake.scenario = FREE
    fake.remember(Segment(id=7, name="Bettors"))
    return Detective(app_settings(fake), sessions)


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.row("L1", "L2", "L3")
def test_profile_has_its_attributes_and_segments(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(attributes={"plan": "pro", "bets": 3}))
    profile = shown(look("u1"))["profile"]

    assert profile["exists"] is True
    assert (profile["attributes"]["plan"], profile["attributes"]["bets"]) == ("pro", "3")
    assert profile["segments"] == [{"id": 7, "name": "Bettors"}]


@pytest.mark.row("L4", "L5", "L6", "L7")
def test_activity_tells_last_identify_last_event_and_those_of_a_day(fake: FakeCustomerIO, look: Detective) -> None:
    bets = PastActivity(name="bet_placed", data={"amount": 5}, count=30, every=HOUR, ago=HOUR / 2)
    fake.remember(person(identified_ago=3 * HOUR, activities=(bets,)))
    activity = shown(report := look("u1"))["activity"]

    assert (activity["eventCount24h"], activity["eventCountIsWhole"], activity["lastEventName"]) == (
        24,
        True,
        "bet_placed",
    )
    assert (activity["recentEvents"][0]["name"], len(activity["recentEvents"])) == ("bet_placed", 20)
    assert activity["recentEvents"][0]["data"] == {"amount": 5}
    assert activity["lastEvent"] == activity["recentEvents"][0]["timestamp"] > activity["recentEvents"][1]["timestamp"]
    assert report.last_identify is not None
    assert abs(report.at - report.last_identify - 3 * HOUR) < timedelta(minutes=1)


@pytest.mark.row("L8", "L9", "L10", "L11", "L12", "L13")
def test_delivery_counts_the_emails_by_what_became_of_them(fake: FakeCustomerIO, look: Detective) -> None:
    fine, opened = PastMessage(), PastMessage(metrics=("sent", "delivered", "opened"))
    complained = PastMessage(metrics=("sent", "delivered", "spammed"))
    push = PastMessage(type="push", metrics=("sent", "bounced"))
    fake.remember(person(messages=(fine, opened, complained, BOUNCED, push), provider_suppression="bounces"))
    delivery = shown(look("u1"))["delivery"]

    counts = {"emailsSent": 4, "emailsDelivered": 3, "emailsOpened": 1, "bounces": 1, "complaints": 1}
    assert {name: delivery[name] for name in counts} == counts
    assert delivery["suppressed"] is True
    assert delivery["suppression"]["provider"]["category"] == "bounces"


@pytest.mark.row("L13")
def test_only_the_providers_suppression_is_read_and_the_other_is_inferred(
    fake: FakeCustomerIO, look: Detective
) -> None:
    fake.remember(person())
    known, unknown = (shown(look(user))["delivery"]["suppression"]["customerio"] for user in ("u1", "u2"))

    assert (known["suppressed"], known["basis"].split(":")[0]) == (False, "inferred")
    assert (unknown["suppressed"], unknown["basis"].split(":")[0]) == (None, "unknown")


@pytest.mark.parametrize("user", ["u1", "ada@example.com", "ADA@EXAMPLE.COM", " u1 "])
def test_person_is_found_by_id_and_by_address(fake: FakeCustomerIO, look: Detective, user: str) -> None:
    fake.remember(person())
    assert shown(look(user))["userId"] == "u1"


def test_person_is_found_by_customerios_own_id(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person())
    record = fake.people.find("u1")
    assert record is not None
    assert shown(look(f"cio_{record['cio_id']}"))["userId"] == "u1"


def test_person_without_id_is_found_by_address(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(id=None))
    report = look("ada@example.com")

    assert (report.customerio.exists, missing(report)) == (True, {})
    assert shown(report, reveal=False)["userId"] == "a•••@ex•••.com"


# --- everything together ----------------------------------------------------------------------------------------------


@pytest.mark.row("Q3")
def test_person_whom_we_delivered_has_nothing_wrong(
    fake: FakeCustomerIO, look: Detective, runtime: Runtime, make: Factory
) -> None:
    signup = make.signup("ada@example.com", phone="+4917012345")
    make.confirm(signup)
    process_due(runtime, limit=10)
    process_due(runtime, limit=10)
    report = look(str(signup.customer_id))

    assert report.is_known
    assert [job["status"] for job in shown(report)["sync"]["jobs"]] == ["completed", "completed"]
    assert (codes(report), missing(report)) == (["no_segments", "no_messages"], {})


@pytest.mark.parametrize("named", ["customer", "signup", "email", "cio_id"])
def test_both_sides_are_found_whichever_way_somebody_is_named(
    fake: FakeCustomerIO, look: Detective, make: Factory, named: str
) -> None:
    signup = make.signup("ada@example.com")
    fake.remember(person(id=str(signup.customer_id), email="Ada@Example.com"))
    record = fake.people.find("ada@example.com")
    assert record is not None
    names = {
        "customer": str(signup.customer_id),
        "signup": str(signup.id),
        "email": "ADA@example.com",
        "cio_id": f"cio_{record['cio_id']}",
    }
    report = look(names[named])

    assert (report.is_ours, report.customerio.exists) == (True, True)
    assert report.user_id == str(signup.customer_id)


def test_kind_that_is_forced_is_the_only_one_tried(look: Detective, make: Factory) -> None:
    signup = make.signup()

    assert look(str(signup.id), kind=Kind.SIGNUP).is_ours
    assert not look(str(signup.id), kind=Kind.ID).is_ours
    assert not look(str(signup.customer_id), kind=Kind.SIGNUP).is_ours


@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "01a20108-be89-7174-b70d-f10de0b8ada0",
        "x@example.com",
        "cio_99",
        "..",
        ".",
        "a/b",
        "\x00",
        "a\x00@b.c",
        "%2e",
    ],
)
def test_somebody_whom_nobody_knows(look: Detective, user: str) -> None:
    report = look(user)

    assert not report.is_known
    assert codes(report) in (["profile_not_found"], [])


# --- no profile -------------------------------------------------------------------------------------------------------


@pytest.mark.row("L14")
def test_without_a_profile_no_more_is_asked_about_it(fake: FakeCustomerIO, look: Detective) -> None:
    report = look("u1")
    asked = [entry["path"].split("?")[0] for entry in fake.ledger.entries()]

    assert asked == ["/v1/customers/u1/attributes"]
    assert (codes(report), report.findings[0].severity) == (["profile_not_found"], Severity.HIGH)
    assert (shown(report)["profile"]["exists"], shown(report)["delivery"]["emailsSent"]) == (False, None)


@pytest.mark.row("L14")
def test_missing_profile_of_somebody_who_was_never_sent(look: Detective, make: Factory) -> None:
    signup = make.signup(enqueue=False)
    assert "we never sent them" in look.issue(str(signup.id), "profile_not_found").message


@pytest.mark.row("L14")
def test_missing_profile_of_somebody_whose_job_waits(look: Detective, make: Factory) -> None:
    signup = make.signup()
    found = look.issue(str(signup.id), "profile_not_found")

    assert "not sent them yet" in found.message
    assert found.next == f"ciosync jobs show {make.job(signup).id}"


@pytest.mark.row("L14")
def test_missing_profile_of_somebody_who_was_only_pretended_to_be_sent(look: Detective, make: Factory) -> None:
    signup = make.signup()
    complete(make, signup, mock=True)
    report = look(str(signup.id))

    assert "mock mode" in report.findings[0].message
    assert codes(report) == ["profile_not_found", "mock"]


@pytest.mark.row("L14")
@pytest.mark.parametrize(
    ("ago", "why"), [(timedelta(minutes=2), "on their way"), (2 * HOUR, "suppressed in Customer.io")]
)
def test_missing_profile_of_somebody_who_was_sent(look: Detective, make: Factory, ago: timedelta, why: str) -> None:
    signup = make.signup()
    complete(make, signup, ago=ago)
    assert why in look.issue(str(signup.id), "profile_not_found").message


@pytest.mark.row("L14", "Q3")
def test_person_suppressed_in_customerio_has_no_profile_although_we_sent_them(
    fake: FakeCustomerIO, look: Detective, make: Factory
) -> None:
    signup = make.signup("ada@example.com")
    complete(make, signup, ago=2 * HOUR)
    fake.remember(person(id=str(signup.customer_id), suppressed=True))
    report = look("ada@example.com")

    assert codes(report) == ["profile_not_found"]
    assert shown(report)["delivery"]["suppression"]["customerio"]["suppressed"] is None


def test_address_that_belongs_to_somebody_else_explains_a_missing_profile(
    fake: FakeCustomerIO, look: Detective, make: Factory
) -> None:
    signup = make.signup("ada@example.com")
    fake.remember(person(id="old-id"))
    assert codes(look(str(signup.customer_id)))[:2] == ["profile_not_found", "address_taken"]


# --- verdicts on a profile --------------------------------------------------------------------------------------------


@pytest.mark.row("L15")
def test_profile_without_an_address(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(email=None))
    report = look("u1")

    assert (codes(report), report.findings[0].severity) == (["no_email"], Severity.HIGH)
    assert shown(report)["delivery"]["suppressed"] is None


@pytest.mark.row("L16", "Q4")
@pytest.mark.parametrize(("name", "why"), [("bounces", "after a bounce"), ("spam_reports", "after a complaint")])
def test_address_that_the_provider_suppresses(fake: FakeCustomerIO, look: Detective, name: str, why: str) -> None:
    fake.remember(person(provider_suppression=name))
    found = look.issue("u1", "suppressed")

    assert found.severity == Severity.HIGH
    assert f"the e-mail provider suppresses the address {why}" in found.message


@pytest.mark.row("L17")
@pytest.mark.parametrize(("count", "said"), [(1, "1 bounce,"), (3, "3 bounces,")])
def test_bounces_are_counted(fake: FakeCustomerIO, look: Detective, count: int, said: str) -> None:
    fake.remember(person(messages=(BOUNCED.model_copy(update={"count": count}),)))
    found = look.issue("u1", "bounces")

    assert found.message.startswith(said)
    assert "550 5.1.1 no such user" in found.message


@pytest.mark.row("L18")
def test_complaints_have_high_priority(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(messages=(PastMessage(metrics=("sent", "delivered", "spammed"), count=2),)))
    found = look.issue("u1", "complaints")

    assert (found.severity, found.message[:29]) == (Severity.HIGH, "HIGH PRIORITY: 2 complaints, ")


@pytest.mark.row("L19")
@pytest.mark.parametrize(("ago", "stale"), [(23 * HOUR, False), (25 * HOUR, True)])
def test_profile_not_updated_for_a_day_is_stale(
    fake: FakeCustomerIO, look: Detective, ago: timedelta, stale: bool
) -> None:
    fake.remember(person(attributes={"plan": "pro"}, created_ago=30 * DAY, identified_ago=ago))
    assert codes(look("u1")) == ["stale_profile"] * stale


@pytest.mark.row("Q4")
def test_unsubscribed_person_and_one_without_topics(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(Topic(id=1, name="News", subscribed_by_default=False))
    fake.remember(person(unsubscribed=True), person(id="u2", email="ann@example.com"))

    assert codes(look("u1")) == ["unsubscribed"]
    assert codes(look("u2")) == ["no_topics"]
    assert shown(look("u2"))["subscription"] == {
        "unsubscribed": False,
        "topics": [{"id": "1", "name": "News", "subscribed": False}],
    }


@pytest.mark.row("Q4")
def test_person_in_no_segment_to_whom_nothing_was_sent(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(segments=(), messages=()))
    assert codes(look("u1")) == ["no_segments", "no_messages"]


def test_emails_that_were_not_delivered(fake: FakeCustomerIO, look: Detective) -> None:
    lost = PastMessage(metrics=("dropped",), failure_message="ada@example.com is suppressed")
    fake.remember(person(messages=(lost,)))
    found = look.issue("u1", "undelivered")

    assert "the last dropped" in found.message
    assert "ada@" not in found.message


@pytest.mark.row("Q5")
def test_event_of_ours_that_does_not_show(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    complete(make, signup, ago=HOUR)
    fake.remember(person(id=str(signup.customer_id), activities=()))
    found = look.issue(str(signup.id), "events_missing")

    assert "signup_submitted" in found.message
    assert "the person is identified" in found.message


@pytest.mark.row("Q5")
def test_event_that_was_sent_a_moment_ago_may_still_come(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    complete(make, signup)
    fake.remember(person(id=str(signup.customer_id), activities=()))
    assert "events_missing" not in codes(look(str(signup.id)))


@pytest.mark.row("Q5")
def test_person_without_events_is_said_to_be_identified(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(activities=()))
    assert look.issue("u1", "no_events").message.endswith("the person is identified")


@pytest.mark.row("Q5")
def test_calls_that_customerio_could_not_apply(fake: FakeCustomerIO, look: Detective) -> None:
    failed = PastActivity(type="failed_attribute_change", count=2)
    fake.remember(person(activities=(failed, PastActivity(name="x"))))
    assert "2 calls" in look.issue("u1", "failed_activities").message


# --- who it is --------------------------------------------------------------------------------------------------------


def test_several_people_with_one_address(fake: FakeCustomerIO, look: Detective) -> None:
    fake.scenario = FREE.model_copy(update={"email_identifies": False})
    fake.remember(person(), person(id="u2"))
    report = look("ada@example.com")

    assert look.issue("ada@example.com", "duplicate_address").message.startswith("2 people")
    assert report.customerio.exists is True


def test_address_under_another_id_than_ours(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    make.signup("ada@example.com")
    fake.remember(person(id="old-id"))

    assert look.issue("ada@example.com", "id_conflict").severity == Severity.HIGH
    assert look.issue("old-id", "id_conflict").severity == Severity.HIGH


def test_history_of_a_person_may_be_empty(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(PersonHistory(id="u1"))
    assert look("u1").customerio.exists
