"""What an issue says to do next can be typed as it stands: it names whom the report knows, and nobody's address."""

from collections.abc import Iterator

import pytest

from cio_tasks.diagnostics.own_side import Kind
from cio_tasks.fake import Campaign, FakeCustomerIO, PastMessage
from tests.factories import Factory
from tests.integration.app_client import FREE, KEY
from tests.integration.investigating import HOUR, Detective, app_settings, complete, only, person, shown


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(app_api_key=KEY, scenario=FREE) as fake:
        yield fake


@pytest.fixture
def look(fake: FakeCustomerIO, make: Factory) -> Detective:
    return Detective(app_settings(fake), make.sessions)


@pytest.mark.row("L15")
def test_missing_address_is_given_to_the_person_by_id(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(person(email=None))
    assert look.issue("u1", "no_email").next == "ciosync debug identify u1 -a email=…"


@pytest.mark.row("Q4")
@pytest.mark.parametrize("code", ["no_segments", "no_messages"])
def test_campaign_is_debugged_for_this_person(fake: FakeCustomerIO, look: Detective, code: str) -> None:
    fake.remember(person(segments=(), messages=()))
    assert look.issue("u1", code).next.endswith("ciosync debug campaign ID --user u1")


@pytest.mark.row("Q5")
def test_event_that_is_missing_is_named_in_the_command(fake: FakeCustomerIO, look: Detective, make: Factory) -> None:
    signup = make.signup("ada@example.com")
    complete(make, signup, ago=HOUR)
    fake.remember(person(id=str(signup.customer_id), activities=()))
    command = f"ciosync debug track {signup.customer_id} signup_submitted --dry-run"
    assert look.issue(str(signup.id), "events_missing").next.startswith(command)


@pytest.mark.parametrize(
    ("id_", "shown_as"), [("two words", "'two words'"), ("$(x)", "'$(x)'"), ("eve@example.com", "cio_"), ("-a", "cio_")]
)
def test_id_that_a_shell_or_a_reader_must_not_see_is_quoted_or_replaced(
    fake: FakeCustomerIO, look: Detective, id_: str, shown_as: str
) -> None:
    fake.remember(person(id=id_, email=None))
    report = look(id_, kind=Kind.ID)

    assert report.handle.startswith(shown_as)
    assert only(report, "no_email").next.startswith(f"ciosync debug identify {shown_as}")


def test_person_who_is_only_an_address_is_not_named(look: Detective) -> None:
    assert look("nobody@example.com").handle == "USER"


@pytest.mark.row("M5")
def test_campaign_that_passes_somebody_over_leads_to_them(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(Campaign(id=5, name="Late", event_name="bet_placed", filter_segment_ids=(9,)), person())
    report = look.campaign(5, user="u1")

    assert only(report, "not_in_segment").next.endswith("ciosync investigate u1")
    assert only(report, "trigger_not_done").next.endswith("ciosync investigate u1")


def test_receiver_without_an_id_is_told_by_the_one_that_customerio_gave(fake: FakeCustomerIO, look: Detective) -> None:
    fake.remember(Campaign(id=5, name="Late"), person(id=None, messages=(PastMessage(campaign_id=5),)))
    (sent,) = shown(look.campaign(5))["recentSends"]

    assert sent["userId"].startswith("cio_")
    assert look(sent["userId"]).is_known
