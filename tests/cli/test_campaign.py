"""`ciosync debug campaign`: what people and scripts get, and how it ends."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cio_tasks.fake import AppScenario, Campaign, FakeCustomerIO, PastMessage, PersonHistory, Scenario, Segment
from tests.cli.conftest import Answer, CommandLine

KEY = "SECRETCANARY-app-key"
EMAIL = "ada.canary@example.com"
SHAPE = {"campaignId", "name", "status", "trigger", "audience", "recentSends", "issues"}
HOUR = timedelta(hours=1)


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(app_api_key=KEY, scenario=Scenario(app=AppScenario(rate_limit=100_000))) as fake:
        fake.remember(
            Segment(id=7, name="Bettors"),
            Campaign(id=17, name="Welcome", event_name="signup_submitted", filter_segment_ids=(7,)),
            Campaign(id=18, name="Reminder", state="draft", event_name="Signup-Submitted"),
            PersonHistory(email=EMAIL, segments=(7,), messages=(PastMessage(campaign_id=17, ago=HOUR),)),
        )
        yield fake


@pytest.fixture
def near(fake: FakeCustomerIO, database_url: str) -> CommandLine:
    return CommandLine({"CUSTOMERIO_APP_API_KEY": KEY, "CUSTOMERIO_APP_URL": fake.url, "DATABASE_URL": database_url})


def assert_private(answer: Answer) -> None:
    told = answer.out + answer.err
    assert "SECRETCANARY" not in told
    assert "ada.canary" not in told
    assert "Traceback" not in told


def assert_three_lines(answer: Answer) -> None:
    assert [line.split()[0] for line in answer.err.splitlines()] == ["error:", "cause:", "hint:"]


@pytest.mark.row("M1", "M2", "M3", "M4", "M5", "M6")
def test_shape_for_scripts(near: CommandLine) -> None:
    answer = near.process("debug", "campaign", "17", "--json")
    told = answer.json

    assert (answer.code, answer.err) == (0, "")
    assert told.keys() >= SHAPE
    assert (told["campaignId"], told["status"]) == (17, "running")
    assert told["trigger"].keys() >= {"type", "conditions"}
    assert (told["audience"]["segmentId"], told["audience"]["estimatedSize"]) == (7, 1)
    assert told["recentSends"][0].keys() == {"userId", "timestamp", "status"}
    assert [issue["code"] for issue in told["issues"]] == ["trigger_never_sent"]


@pytest.mark.row("M7")
def test_person_reads_state_trigger_audience_and_what_next(near: CommandLine) -> None:
    running, draft = near("debug", "campaign", "17").out, near("debug", "campaign", "18").out

    assert running.startswith("campaign 17 'Welcome'   running ✓\n")
    assert "trigger   event · signup_submitted · never delivered by us · 0 times in 7 days\n" in running
    assert "audience  at most 1 · segment 7 'Bettors': 1\n" in running
    assert "7 days    sent 1 · delivered 1 · opened 0 · bounced 0 · failed 0 · spammed 0\n" in running
    assert (
        "  HIGH    the campaign is not active, its state is draft; it never was: it sends nothing  → start it" in draft
    )
    assert "did you mean 'signup_submitted'?" in draft


def test_one_person_in_it(near: CommandLine) -> None:
    answer = near("debug", "campaign", "17", "--user", EMAIL)

    assert "user      a•••@ex•••.com · has a profile · sent it 1 time\n" in answer.out
    assert "was sent it 1 time" in answer.out
    assert_private(answer)
    assert_private(near("debug", "campaign", "17", "--user", EMAIL, "--json"))


@pytest.mark.parametrize(("level", "code"), [("high", 1), ("medium", 1), ("low", 1)])
def test_issues_fail_a_run_only_when_asked(near: CommandLine, level: str, code: int) -> None:
    assert (near("debug", "campaign", "18").code, near("debug", "campaign", "18", "--fail-on", level).code) == (0, code)


def test_unknown_campaign_ends_with_seven_and_names_those_that_there_are(near: CommandLine) -> None:
    answer = near.process("debug", "campaign", "99")

    assert answer.code == 7
    assert "17 'Welcome', 18 'Reminder'" in answer.err
    assert_three_lines(answer)


@pytest.mark.parametrize("given", ["x", "0", "-1", "1.5", "", "1e3", "Welcome"])
def test_what_is_no_number_is_a_wrong_argument(near: CommandLine, fake: FakeCustomerIO, given: str) -> None:
    assert (near("debug", "campaign", given).code, fake.ledger.count()) == (2, 0)


@pytest.mark.parametrize("number", ["99999999999999999999", str(2**63)])
def test_enormous_number_is_just_unknown(near: CommandLine, number: str) -> None:
    assert near("debug", "campaign", number).code == 7


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"CUSTOMERIO_APP_API_KEY": ""}, 3),
        ({"CUSTOMERIO_APP_API_KEY": "SECRETCANARY-wrong"}, 4),
        ({"CUSTOMERIO_APP_URL": "http://127.0.0.1:1"}, 6),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, 0),
        ({"DATABASE_URL": ""}, 0),
    ],
    ids=str,
)
def test_outcome_decides_the_exit_code(near: CommandLine, environment: dict[str, str], code: int) -> None:
    answer = near("debug", "campaign", "17", **environment)
    told = near("debug", "campaign", "17", "--json", **environment)

    assert (answer.code, told.code) == (code, code)
    assert code == 0 or told.fault["retryable"] is (code == 6)
    assert_private(answer)


@pytest.mark.parametrize(
    ("knobs", "code"),
    [
        ({"not_json": True}, 6),
        ({"outage": "hang"}, 6),
        ({"wrong_region": "redirect"}, 3),
        ({"failing": {"campaigns": 429}, "retry_after": "60"}, 6),
    ],
    ids=str,
)
def test_app_api_that_does_not_answer(
    near: CommandLine, fake: FakeCustomerIO, knobs: dict[str, object], code: int
) -> None:
    fake.scenario = Scenario(app=AppScenario.model_validate({"rate_limit": 100_000, **knobs}))
    answer = near("debug", "campaign", "17", "--within", "2")

    assert answer.code == code
    assert_three_lines(answer)
