"""The App API's client against the stand-in over real HTTP: what each question brings home."""

from datetime import UTC, datetime, timedelta

import pytest

from cio_tasks.customerio import CustomerIO
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.app_people import Identifiers, Who
from cio_tasks.customerio.track import event, identify
from cio_tasks.fake import (
    Campaign,
    FakeCustomerIO,
    PastActivity,
    PastMessage,
    PersonHistory,
    Segment,
    Topic,
)
from cio_tasks.settings import Settings
from tests.integration.app_client import FREE, connect, got

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ANN = PersonHistory(
    id="u1", email="ann@example.com", attributes={"bets": 3}, identified_ago=2 * DAY, segments=(7,), unsubscribed=True
)
U1 = Who("id", "u1")
AWKWARD = ["a/b", "a?b#c", "a+b", "a b", "a&b=c", "ü", "100%", "a%2Fb", "…"]


@pytest.fixture
def api(fake: FakeCustomerIO) -> AppAPI:
    fake.scenario = FREE
    return connect(fake.url)


def ago(moment: datetime | None) -> timedelta:
    assert moment is not None
    return datetime.now(UTC) - moment


# --- people -----------------------------------------------------------------------------------------------------------


def test_what_was_delivered_is_read_back(fake: FakeCustomerIO, api: AppAPI, settings: Settings) -> None:
    sent = [
        identify("u1", {"email": "ann@example.com", "odds": 2.5}, at=NOON),
        event("u1", "x", {}, event_id=26 * "0", at=NOON),
    ]
    CustomerIO.from_settings(settings).batch(sent)
    person = got(api.person(U1))

    assert (person.email, person.attributes["odds"]) == ("ann@example.com", "2.5")
    assert person.last_identified_at == NOON


def test_person_is_read_by_each_kind_of_identifier(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(ANN)
    people = [got(api.person(Who.read(text))) for text in ("u1", "ANN@example.com", "cio_000000000001")]

    assert people[0] == people[1] == people[2]
    assert people[0].identifiers == Identifiers("u1", "ann@example.com", "000000000001")
    assert (people[0].attributes["bets"], people[0].unsubscribed) == ("3", True)
    assert 1.9 * DAY < ago(people[0].last_identified_at) < 2.1 * DAY


def test_person_without_an_address_has_none(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(PersonHistory(id="u1", attributes={"plan": "free"}))

    assert got(api.person(U1)).email is None


def test_person_is_found_by_address(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(PersonHistory(id="u1", email="ann+1@example.com"))

    assert [one.id for one in got(api.find_by_email("Ann+1@example.com"))] == ["u1"]
    assert got(api.find_by_email("bob@example.com")) == ()


@pytest.mark.parametrize("id_", AWKWARD)
def test_identifier_arrives_as_it_is(fake: FakeCustomerIO, api: AppAPI, id_: str) -> None:
    fake.remember(PersonHistory(id=id_))

    assert got(api.person(Who("id", id_))).identifiers.id == id_


def test_many_people_are_read_at_once(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(ANN, PersonHistory(id="u2"))

    assert [one.identifiers.id for one in got(api.people(["u2", "nobody", "u1"]))] == ["u2", "u1"]
    with pytest.raises(ValueError, match="at most 100 ids"):
        api.people(["u"] * 101)


def test_segments_of_a_person_are_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(Segment(id=7, name="VIP", description="Best"), ANN)
    (segment,) = got(api.segments_of(U1))

    assert (segment.id, segment.name, segment.description) == (7, "VIP", "Best")


def test_activities_are_read_by_type_and_name(fake: FakeCustomerIO, api: AppAPI) -> None:
    bets = PastActivity(name="bet", data={"amount": 5}, ago=DAY, count=3)
    fake.remember(PersonHistory(id="u1", activities=(bets, PastActivity(name="other"))))
    found = got(api.activities(U1, type_="event", name="bet"))

    assert (len(found.items), found.left_out, found.requests) == (3, None, 1)
    assert (found.items[0].type, found.items[0].name, found.items[0].data) == ("event", "bet", {"amount": 5})
    assert 0.9 * DAY < ago(found.items[0].at) < 1.1 * DAY


def test_messages_are_read_with_their_states(fake: FakeCustomerIO, api: AppAPI) -> None:
    good = PastMessage(subject="Hi", metrics=("sent", "delivered", "opened", "human_opened"), campaign_id=5)
    bad = PastMessage(metrics=("sent", "bounced"), failure_message="550 no such user", ago=DAY)
    fake.remember(Campaign(id=5, name="Welcome"), PersonHistory(id="u1", email="ann@example.com", messages=(good, bad)))
    first, second = got(api.messages(U1)).items

    assert (first.state, first.has("delivered"), first.counts) == ("opened", True, {"human_opened": 1})
    assert (first.subject, first.recipient, first.campaign_id, first.action_id) == ("Hi", "ann@example.com", 5, "500")
    assert (second.state, second.failure_message, second.to.id) == ("bounced", "550 no such user", "u1")


def test_messages_are_read_between_two_times(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(PersonHistory(id="u1", messages=(PastMessage(ago=DAY), PastMessage(subject="old", ago=9 * DAY))))
    now = datetime.now(UTC)

    assert [one.subject for one in got(api.messages(U1, since=now - 10 * DAY, until=now - 5 * DAY)).items] == ["old"]


def test_subscriptions_are_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(Topic(id=1, name="Offers"), Topic(id=2, name="News", subscribed_by_default=False), ANN)
    found = got(api.subscriptions(U1))

    assert found.unsubscribed is True
    assert [(one.id, one.name, one.subscribed) for one in found.topics] == [("1", "Offers", True), ("2", "News", False)]


@pytest.mark.parametrize(("name", "category"), [("bounces", "bounces"), ("spam_reports", "spam")])
def test_address_on_a_list_of_the_provider_is_suppressed(
    fake: FakeCustomerIO, api: AppAPI, name: str, category: str
) -> None:
    ann = {"id": "u1", "email": "ann+1@example.com", "provider_suppression": name}
    fake.remember(PersonHistory.model_validate(ann))
    found = got(api.suppression("Ann+1@example.com"))

    assert (found.suppressed, found.category, found.status) == (True, category, "550")
    assert got(api.suppression("bob@example.com")).suppressed is False


# --- campaigns and segments -------------------------------------------------------------------------------------------


def test_campaign_is_read_with_what_starts_it(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(Campaign(id=5, name="Welcome", event_name="signup_submitted", filter_segment_ids=(8,), tags=("a",)))
    fake.remember(Campaign(id=6, name="VIPs", type="segment", state="draft", trigger_segment_ids=(7,)))
    welcome, vips = got(api.campaign(5)), got(api.campaigns())[1]

    assert (welcome.type, welcome.event_name, welcome.active, welcome.segment_ids) == (
        "event",
        "signup_submitted",
        True,
        (8,),
    )
    assert (vips.name, vips.state, vips.active, vips.segment_ids, vips.first_started_at) == (
        "VIPs",
        "draft",
        False,
        (7,),
        None,
    )
    assert [(action.id, action.type) for action in welcome.actions] == [("500", "email")]


def test_recent_sends_of_a_campaign_are_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    messages = (PastMessage(campaign_id=5, count=3), PastMessage(campaign_id=5, metrics=("sent", "bounced")))
    fake.remember(Campaign(id=5, name="Welcome"), PersonHistory(id="u1", messages=messages))

    assert len(got(api.campaign_messages(5)).items) == 4
    assert [one.to.id for one in got(api.campaign_messages(5, metric="bounced")).items] == ["u1"]
    assert got(api.campaign_messages(5, limit=2)).left_out == "limit"


def test_metrics_of_a_campaign_are_read_and_summed(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(
        Campaign(id=5, name="Welcome"), PersonHistory(id="u1", messages=(PastMessage(campaign_id=5, count=3),))
    )
    now = datetime.now(UTC)
    found = got(api.campaign_metrics(5, since=now - 7 * DAY, until=now, resolution="hours"))

    assert (found.total("sent"), found.total("bounced"), found.total("nonsense")) == (3, 0, 0)
    assert 168 <= len(found.series["sent"]) <= 170


def test_segment_is_read_with_its_size_and_members(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(
        Segment(id=7, name="VIP", state="build", progress=40), Segment(id=8, name="Abroad", count=48_213), ANN
    )

    assert (got(api.segment(7)).state, got(api.segment(7)).progress) == ("build", 40)
    assert (got(api.customer_count(7)), got(api.customer_count(8))) == (1, 48_213)
    assert [one.id for one in got(api.members(7)).items] == ["u1"]
    assert [one.id for one in got(api.segments())] == [7, 8]


def test_people_are_searched_by_a_filter(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(Segment(id=7, name="VIP"), ANN, PersonHistory(id="u2"))

    assert [one.id for one in got(api.search({"not": {"segment": {"id": 7}}})).items] == ["u2"]


def test_workspace_is_read(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(ANN)
    (workspace,) = got(api.workspaces())

    assert (workspace.name, workspace.people) == ("Stand-in", 1)


# --- how it asks ------------------------------------------------------------------------------------------------------


def test_client_is_made_from_the_settings(fake: FakeCustomerIO, redis_url: str) -> None:
    fake.remember(ANN)
    own = {"CUSTOMERIO_APP_URL": fake.url, "CUSTOMERIO_APP_API_KEY": " app-key\n", "REDIS_URL": redis_url}

    assert got(AppAPI.from_settings(Settings.from_env(own)).person(U1)).email == "ann@example.com"


def test_one_question_is_one_request_with_its_own_id(fake: FakeCustomerIO, api: AppAPI) -> None:
    fake.remember(ANN)
    api.person(Who("email", "ann@example.com"))
    (entry,) = fake.ledger.entries()

    assert entry["path"] == "/v1/customers/ann%40example.com/attributes?id_type=email"


def test_records_show_nobody_in_their_text(fake: FakeCustomerIO, api: AppAPI) -> None:
    message = PastMessage(subject="Hi Ann", failure_message="ann@example.com is unknown")
    secret = PersonHistory(
        id="u1-canary",
        email="ann@example.com",
        attributes={"name": "Ann"},
        messages=(message,),
        activities=(PastActivity(name="x", data={"who": "Ann"}),),
        provider_suppression="bounces",
    )
    fake.remember(secret)
    who = Who("id", "u1-canary")
    text = repr([api.person(who), api.messages(who), api.activities(who), api.find_by_email("ann@example.com")])

    assert "bounced" not in text
    assert not [word for word in ("Ann", "ann@", "canary") if word in text]
