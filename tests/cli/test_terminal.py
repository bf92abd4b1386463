"""What people get on a terminal, and nobody else: colour, and that something is going on."""

import re
from collections.abc import Iterator

import pytest

from cio_tasks.fake import FakeCustomerIO, PersonHistory
from tests.cli.conftest import CommandLine
from tests.cli.terminal import on_terminal
from tests.conftest import API_KEY, SITE_ID
from tests.integration.app_client import FREE, KEY

INVESTIGATE = ("investigate", "u_1042", "--id")
SEVERITY = ("incident", "severity", "--timeout", "10")


@pytest.fixture
def near(fake: FakeCustomerIO, database_url: str) -> CommandLine:
    """Return `ciosync` that finds a person without an address, which is an issue, and credentials that are refused."""
    fake.scenario = FREE
    fake.remember(PersonHistory(id="u_1042", email=None))
    fake.rotate(site_id=f"{SITE_ID}2", api_key=f"{API_KEY}2")
    addresses = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), fake.url)
    keys = {"CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY, "CUSTOMERIO_APP_API_KEY": KEY}
    return CommandLine({"DATABASE_URL": database_url, **keys, **addresses})


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY, app_api_key=KEY) as fake:
        yield fake


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (INVESTIGATE, "\x1b[31mHIGH    \x1b[0mthe profile has no e-mail address"),
        (SEVERITY, "\x1b[31mP1 Outage\x1b[0m"),
        (("incident", "runbook", "P1", "--timeout", "10"), "\x1b[31m✗\x1b[0m P1.2 Credentials"),
        (("debug", "auth"), "\x1b[31m✗\x1b[0m the credentials are refused"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_how_bad_it_is_has_a_colour(near: CommandLine, command: tuple[str, ...], told: str) -> None:
    assert told in on_terminal(near, *command, stream="stdout").text


@pytest.mark.parametrize("how", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colour_is_left_out_where_it_is_not_wanted(near: CommandLine, how: dict[str, str]) -> None:
    shown = on_terminal(near, *INVESTIGATE, stream="stdout", **how).text

    assert "HIGH    the profile has no e-mail address" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("columns", "between"), [("60", r"\r?\n {10}→ "), ("400", "  → ")])
def test_next_step_goes_below_where_the_terminal_is_narrow(near: CommandLine, columns: str, between: str) -> None:
    shown = on_terminal(near, *INVESTIGATE, stream="stdout", COLUMNS=columns, NO_COLOR="1").text

    assert re.search(rf"HIGH    the profile has no e-mail address[^→]*{between}", shown)


def test_pipe_gets_no_colour(near: CommandLine) -> None:
    assert "\x1b" not in CommandLine({**near.environment, "FORCE_COLOR": "1"}).process(*INVESTIGATE).out


@pytest.mark.parametrize(
    ("command", "told"),
    [(INVESTIGATE, "asking Customer.io and our own database"), (SEVERITY, "gathering evidence")],
    ids=["investigate", "severity"],
)
def test_person_who_waits_sees_what_for(near: CommandLine, command: tuple[str, ...], told: str) -> None:
    assert told in on_terminal(near, *command, stream="stderr").text
    assert told not in on_terminal(near, *command, "--json", stream="stderr").text
    assert told not in near.process(*command).err
