"""`ciosync incident`: mail that comes back (P3) and reports that do not come in (P4)."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from sqlalchemy import text

from cio_tasks.fake import Campaign, FakeCustomerIO, Segment
from tests.cli.conftest import CommandLine
from tests.cli.test_incident import RUNBOOK, SEVERITY, assert_private, near, past, step, steps
from tests.factories import Factory
from tests.integration.incidents import Past

__all__ = ["near", "past"]
APP_KEY = {"CUSTOMERIO_APP_API_KEY": "app-key"}
SECRET = {"CUSTOMERIO_WEBHOOK_SECRET": "SECRETCANARY-signing-key"}
DAY = timedelta(days=1)
DROP_RULE = "ALTER TABLE customerio_webhook_events DROP CONSTRAINT uq_customerio_webhook_events_event_id"


def suppress(fake: FakeCustomerIO, email: str) -> None:
    """Put an address on the e-mail provider's list."""
    address = f"{fake.url}/v1/esp/suppression/bounces/{quote(email, safe='')}"
    requests.post(address, headers={"Authorization": "Bearer app-key"}, timeout=5).raise_for_status()


def bounce(past: Past, make: Factory, email: str, *, campaign: str | None = "17") -> None:
    """Let an e-mail to a customer of this address have bounced."""
    past.reported(1, "bounced", person_id=str(make.signup(email).customer_id), campaign_id=campaign)


# --- P3 ---------------------------------------------------------------------------------------------------------------


def test_bounces_are_p3_and_say_why_it_is_no_error_rate(near: CommandLine, past: Past) -> None:
    past.reported(94, "delivered")
    past.reported(6, "bounced")
    told = near(*SEVERITY, "--json").json

    assert (told["severity"], told["reasons"]) == ("P3", ["6 % of 100 e-mails bounced in 24 h (limit 5 %)"])
    assert told["whyNotWorse"] == "not P2: 0 of 0 attempts failed in 5 min, 20 make a rate"


def test_complaints_are_p3_from_two_on(near: CommandLine, past: Past) -> None:
    past.reported(100, "delivered")
    past.reported(1, "spammed")
    assert near(*SEVERITY, "--json").json["severity"] == "none"
    past.reported(1, "spammed")
    assert near(*SEVERITY, "--json").json["reasons"] == ["2 % of 100 e-mails were called spam in 24 h (limit 0.1 %)"]


def test_reports_of_other_channels_and_of_yesterday_do_not_count(near: CommandLine, past: Past) -> None:
    past.reported(60, "delivered")
    past.reported(30, "bounced", object_type="sms")
    past.reported(30, "bounced", ago=DAY + timedelta(minutes=1))

    assert near(*SEVERITY, "--json").json["severity"] == "none"


@pytest.mark.row("P3.1", "P3.2", "P3.3", "P3.4", "P3.5")
def test_delivery_runbook_finds_addresses_campaign_and_segment(
    near: CommandLine, past: Past, make: Factory, fake: FakeCustomerIO
) -> None:
    fake.remember(
        Segment(id=7, name="Everybody"), Campaign(id=17, name="Welcome", type="segment", trigger_segment_ids=(7,))
    )
    past.reported(50, "delivered")
    for number in range(4):
        bounce(past, make, f"bounced{number}@example.com")
        suppress(fake, f"bounced{number}@example.com")
    answer = near(*RUNBOOK, "P3", "--json", **APP_KEY)

    assert answer.code == 1
    assert steps(answer) == {"P3.1": "fail", "P3.2": "fail", "P3.3": "human", "P3.4": "fail", "P3.5": "fail"}
    assert "of 54 e-mails reported in 24 h, 4 bounced (7.4 %)" in step(answer, "P3.1")["evidence"]
    assert (
        "of 4 sampled addresses 4 are suppressed by the e-mail provider (4 bounces)" in step(answer, "P3.2")["evidence"]
    )
    assert "b•••@ex•••.com" in step(answer, "P3.2")["evidence"]
    assert "4 of campaign 17" in step(answer, "P3.4")["evidence"]
    assert "ciosync debug campaign 17" in step(answer, "P3.4")["next"]
    assert "segment 7: 0 people" in step(answer, "P3.5")["evidence"]
    assert_private(answer)


@pytest.mark.row("P3.1", "P3.2", "P3.4", "P3.5")
def test_delivery_runbook_passes_when_nothing_comes_back(near: CommandLine, past: Past) -> None:
    past.reported(60, "delivered")
    answer = near(*RUNBOOK, "P3", "--json")

    assert answer.code == 0
    assert steps(answer) == {"P3.1": "pass", "P3.2": "pass", "P3.3": "human", "P3.4": "pass", "P3.5": "pass"}


@pytest.mark.row("P3.2", "P3.5")
@pytest.mark.parametrize("key", [{}, {"CUSTOMERIO_APP_API_KEY": "SECRETCANARY-wrong"}], ids=["none", "wrong"])
def test_without_a_good_key_a_person_has_to_look(
    near: CommandLine, past: Past, make: Factory, key: dict[str, Any]
) -> None:
    for number in range(3):
        bounce(past, make, f"bounced{number}@example.com")
    answer = near(*RUNBOOK, "P3", "--json", **key)

    assert (steps(answer)["P3.2"], steps(answer)["P3.5"]) == ("human", "human")
    assert_private(answer)


@pytest.mark.row("P3.4")
def test_bounces_of_many_campaigns_blame_none(near: CommandLine, past: Past, make: Factory) -> None:
    for number in range(9):
        bounce(past, make, f"bounced{number}@example.com", campaign=str(number % 3))
    past.reported(9, "bounced", object_type="sms", campaign_id="1")
    answer = near(*RUNBOOK, "P3", "--json")

    assert step(answer, "P3.4")["status"] == "pass"
    assert "3 of campaign 0, 3 of campaign 1, 3 of campaign 2; no campaign" in step(answer, "P3.4")["evidence"]


# --- P4 ---------------------------------------------------------------------------------------------------------------


def test_webhooks_that_never_came_are_p4_an_hour_after_the_first_delivery(near: CommandLine, past: Past) -> None:
    past.delivered(1, ago=timedelta(minutes=59))
    assert near(*SEVERITY, "--json", **SECRET).json["severity"] == "none"
    past.delivered(1, ago=timedelta(hours=3))
    told = near(*SEVERITY, "--json", **SECRET).json

    assert (told["severity"], told["reasons"]) == ("P4", ["no webhook has ever come in, 3 h after the first delivery"])
    assert told["whyNotWorse"].startswith("not P3: 0 e-mails reported in 24 h, 50 make a rate")
    assert near(*SEVERITY, "--json").json["severity"] == "none"


def test_webhooks_that_stopped_are_p4_while_deliveries_go_on(near: CommandLine, past: Past) -> None:
    past.reported(1, "sent", ago=timedelta(hours=30))
    assert near(*SEVERITY, "--json", **SECRET).json["severity"] == "none"
    past.delivered(1)

    assert near(*SEVERITY, "--json", **SECRET).json["reasons"] == [
        "no webhook has come in for 30 h, though deliveries go on"
    ]


def test_webhooks_that_are_refused_are_p4_until_one_is_taken(near: CommandLine, past: Past) -> None:
    past.reported(1, "sent", ago=timedelta(minutes=5))
    past.counted(refused_signature=3)
    told = near(*SEVERITY, "--json", **SECRET).json
    assert told["severity"] == "P4"
    assert "webhooks are refused" in told["reasons"][0]
    past.reported(1, "sent", ago=timedelta(0))
    assert near(*SEVERITY, "--json", **SECRET).json["severity"] == "none"


@pytest.mark.row("P4.1", "P4.2", "P4.3", "P4.4", "P4.5")
def test_webhook_runbook_passes_where_all_is_well(near: CommandLine, past: Past) -> None:
    past.counted(stored=30, duplicate=1)
    past.reported(30, "sent")
    answer = near(*RUNBOOK, "P4", "--json", **SECRET)

    assert answer.code == 0
    assert set(steps(answer).values()) == {"pass"}
    assert "the secret is set; the last good signature came 0 min ago" in step(answer, "P4.1")["evidence"]
    assert "1 of 31 webhooks since ever came more than once" in step(answer, "P4.4")["evidence"]
    expected = "30 webhooks within 24 h, 0 of their event ids stored twice; the database refuses a second one"
    assert step(answer, "P4.5")["evidence"] == expected
    assert_private(answer)


@pytest.mark.row("P4.1", "P4.2", "P4.3", "P4.4")
def test_webhook_runbook_fails_where_it_is_broken(near: CommandLine, past: Past) -> None:
    past.reported(18, "sent", ago=timedelta(hours=1))
    past.reported(2, "sent", flags=("unreadable",), ago=timedelta(hours=1))
    past.counted(stored=20, duplicate=10, refused_signature=4)
    answer = near(*RUNBOOK, "P4", "--json", **SECRET)

    assert answer.code == 1
    assert steps(answer) == {"P4.1": "fail", "P4.2": "pass", "P4.3": "fail", "P4.4": "fail", "P4.5": "pass"}
    assert "4 signatures refused since ever" in step(answer, "P4.1")["evidence"]
    assert "2 of 20 within 24 h are unreadable or of an unknown kind (10 %)" in step(answer, "P4.3")["evidence"]


@pytest.mark.row("P4.1", "P4.2")
def test_missing_secret_and_a_day_of_silence_fail(near: CommandLine, past: Past) -> None:
    past.reported(1, "sent", ago=timedelta(hours=30))
    answer = near(*RUNBOOK, "P4", "--json")

    assert (steps(answer)["P4.1"], steps(answer)["P4.2"]) == ("fail", "fail")


def test_webhooks_of_which_nothing_is_known_are_for_a_person(near: CommandLine) -> None:
    answer = near(*RUNBOOK, "P4", "--json", **SECRET)

    assert steps(answer) == {"P4.1": "human", "P4.2": "human", "P4.3": "human", "P4.4": "human", "P4.5": "pass"}


@pytest.mark.row("P4.5")
def test_database_that_would_take_an_event_twice_fails(near: CommandLine, past: Past, make: Factory) -> None:
    past.reported(2, "sent")
    with make.sessions.begin() as session:
        session.execute(text(DROP_RULE))
    answer = near(*RUNBOOK, "P4", "--json", **SECRET)

    assert step(answer, "P4.5")["status"] == "fail"
    assert "nothing in the database refuses a second one" in step(answer, "P4.5")["evidence"]
