"""`ciosync investigate`: what people and scripts get, how it ends, and what must never be shown."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cio_tasks.fake import AppScenario, FakeCustomerIO, PastActivity, PastMessage, PersonHistory, Scenario, Segment
from cio_tasks.fake.knobs import Outage
from cio_tasks.runtime import Runtime
from tests.cli.conftest import Answer, CommandLine
from tests.factories import Factory
from tests.integration.buried import bury

KEY = "SECRETCANARY-app-key"
EMAIL = "ada.canary@example.com"
SHAPE = {"userId", "profile", "activity", "delivery", "sync", "issues", "unavailable"}
HOUR = timedelta(hours=1)
CANARIES = ("SECRETCANARY", "ada.canary", "example.com", "Adelheid", "Lovelace", "12345")


@pytest.fixture
def fake() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(app_api_key=KEY, scenario=Scenario(app=AppScenario(rate_limit=100_000))) as fake:
        fake.remember(Segment(id=7, name="Bettors"))
        yield fake


@pytest.fixture
def near(fake: FakeCustomerIO, database_url: str) -> CommandLine:
    """Return `ciosync` with a key for the stand-in, and a database."""
    return CommandLine({"CUSTOMERIO_APP_API_KEY": KEY, "CUSTOMERIO_APP_URL": fake.url, "DATABASE_URL": database_url})


def give(fake: FakeCustomerIO, **fields: object) -> None:
    usual = {
        "id": "u_1042",
        "email": EMAIL,
        "attributes": {"first_name": "Adelheid", "last_name": "Lovelace", "phone": "+49 170 12345", "plan": "pro"},
        "identified_ago": 26 * HOUR,
        "segments": (7,),
        "activities": (PastActivity(name="bought", data={"email": EMAIL, "note": EMAIL}, ago=26 * HOUR),),
        "messages": (PastMessage(metrics=("sent", "bounced"), failure_message=f"550 {EMAIL}: no", ago=30 * HOUR),),
    }
    fake.remember(PersonHistory.model_validate({**usual, **fields}))


def assert_private(answer: Answer) -> None:
    told = answer.out + answer.err
    assert [canary for canary in CANARIES if canary in told] == []
    assert "Traceback" not in told


def assert_three_lines(answer: Answer) -> None:
    assert [line.split()[0] for line in answer.err.splitlines()] == ["error:", "cause:", "hint:"]


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.row("L1", "Q3")
def test_shape_for_scripts(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake)
    answer = near.process("investigate", "u_1042", "--json")
    told = answer.json

    assert (answer.code, answer.err) == (0, "")
    assert told.keys() >= SHAPE
    assert told["profile"].keys() >= {"exists", "attributes", "segments"}
    assert told["activity"].keys() >= {"lastIdentify", "lastEvent", "eventCount24h", "recentEvents"}
    assert [issue["code"] for issue in told["issues"]] == ["bounces", "stale_profile"]
    assert told["issues"][0].keys() == {"severity", "code", "message", "next"}
    assert told["unavailable"] == []


def test_person_reads_who_what_when_and_what_next(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake)
    out = near("investigate", "u_1042").out

    assert "u_1042 · a•••@ex•••.com · exists · 7 attributes · 1 segment\n" in out.replace(
        "6 attributes", "7 attributes"
    )
    assert "activity   last identify 26 h ago · last event bought 26 h ago · 0 events in 24 h" in out
    assert "delivery   sent 1 · delivered 0 · opened 0 · bounced 1 · complaints 0 · suppressed no" in out
    assert re.search(r"^  MEDIUM  1 bounce, the last 29 h ago .+  → check the address", out, re.MULTILINE)
    assert re.search(r"^  LOW     the profile was not updated for 24 h", out, re.MULTILINE)


def test_last_days_are_drawn(near: CommandLine, fake: FakeCustomerIO) -> None:
    sent = PastMessage(metrics=("sent",), ago=100 * HOUR)
    give(fake, messages=(sent, PastMessage(metrics=("sent", "bounced"), ago=30 * HOUR)))
    out = near("investigate", "u_1042").out
    line = re.search(r"^7 days     ▕(.*)▏ now$", out, re.MULTILINE)

    assert line is not None
    assert (len(line[1]), line[1].count("┊")) == (7 * 8 + 6, 6)
    assert (line[1].index("↗") < line[1].index("✗") < line[1].index("•")) is True
    assert "• event  ↗ e-mail sent  ✗ bounced" in out


def test_our_queue_is_told_beside_it(near: CommandLine, fake: FakeCustomerIO, make: Factory) -> None:
    signup = make.signup(EMAIL)
    job = bury(make, signup, ago=HOUR, attempt_count=5)
    give(fake, id=str(signup.customer_id))
    answer = near("investigate", str(signup.id))

    assert f"our queue  initial FAILED 5/5 server_error, 1 h ago (job {job.id})" in answer.out
    assert f"→ ciosync failures retry {job.id}" in answer.out


def test_part_that_could_not_be_read_is_named_once(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake)
    fake.scenario = Scenario(app=AppScenario(rate_limit=100_000, failing={"activities": 503, "messages": 503}))
    out = near("investigate", "u_1042").out

    assert "not read   activity, activityLog, delivery: the App API answered 503\n" in out
    assert "events unknown" in out
    assert "e-mails unknown" in out


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=str)
def test_nothing_private_is_shown_unless_asked_for(
    near: CommandLine, fake: FakeCustomerIO, make: Factory, flags: list[str]
) -> None:
    signup = make.signup(EMAIL, first_name="Adelheid", last_name="Lovelace", phone="+4917012345")
    bury(make, signup, error_message=f"refused {EMAIL}")
    give(fake, id=str(signup.customer_id))

    for user in (EMAIL, str(signup.id), f"nobody-{EMAIL}"):
        assert_private(near("investigate", user, *flags))
    revealed = near("investigate", EMAIL, "--reveal", *flags)
    assert EMAIL in revealed.out
    assert "SECRETCANARY" not in revealed.out + revealed.err


def test_secret_in_the_data_is_never_shown(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake, attributes={"note": f"it is {KEY}", "data": "x", "api_key": "hunter2hunter2"})
    for flags in ([], ["--reveal"]):
        answer = near("investigate", "u_1042", "--json", *flags)
        assert "SECRETCANARY" not in answer.out
        assert "hunter2" not in answer.out


def test_attribute_named_data_unmasks_nothing(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake, attributes={"data": "x", "first_name": "Adelheid"})
    assert near("investigate", "u_1042", "--json").json["profile"]["attributes"]["first_name"] == "A."


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "code"), [("high", 0), ("medium", 1), ("low", 1)])
def test_issues_fail_a_run_only_when_asked(near: CommandLine, fake: FakeCustomerIO, level: str, code: int) -> None:
    give(fake)
    answer = near("investigate", "u_1042", "--fail-on", level)

    assert answer.code == code
    assert "bounced 1" in answer.out
    assert code == 0 or "2 of the issues" in answer.err or "1 of the issues" in answer.err


@pytest.mark.row("L14", "Q3")
@pytest.mark.parametrize("user", ["nobody", "nobody@example.net", "cio_77", "01980c1d-0000-7000-8000-000000000000"])
def test_user_whom_nobody_knows_ends_with_seven(near: CommandLine, user: str) -> None:
    answer = near("investigate", user)

    assert answer.code == 7
    assert_three_lines(answer)


def test_customer_of_ours_without_a_profile_is_no_error(near: CommandLine, make: Factory) -> None:
    signup = make.signup()
    answer = near("investigate", str(signup.id), "--json")

    assert (answer.code, answer.json["issues"][0]["code"]) == (0, "profile_not_found")


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"CUSTOMERIO_APP_API_KEY": "SECRETCANARY-wrong"}, 4),
        ({"CUSTOMERIO_APP_API_KEY": "SECRETCANARY-wrong", "DATABASE_URL": ""}, 4),
        ({"CUSTOMERIO_APP_API_KEY": ""}, 3),
        ({"CUSTOMERIO_APP_API_KEY": "", "DATABASE_URL": ""}, 3),
        ({"CUSTOMERIO_APP_API_KEY": "", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, 6),
        ({"CUSTOMERIO_APP_URL": "http://127.0.0.1:1"}, 6),
        ({"CUSTOMERIO_APP_URL": "http://127.0.0.1:1", "DATABASE_URL": ""}, 6),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, 6),
        ({"DATABASE_URL": ""}, 7),
    ],
    ids=str,
)
def test_what_kept_us_from_knowing_decides_the_exit_code(
    near: CommandLine, environment: dict[str, str], code: int
) -> None:
    answer = near("investigate", "u_1042", **environment)
    told = near("investigate", "u_1042", "--json", **environment)

    assert (answer.code, told.code) == (code, code)
    assert_three_lines(answer)
    assert told.fault["retryable"] is (code == 6)
    assert told.json.keys() >= SHAPE
    assert_private(answer)


@pytest.mark.parametrize("trouble", ["wrong key", "no key", "stopped", "rubbish", "slow"])
def test_process_with_our_own_side_alone_still_tells_it(
    near: CommandLine, fake: FakeCustomerIO, make: Factory, trouble: str
) -> None:
    signup = make.signup(EMAIL)
    fake.remember(PersonHistory(id=str(signup.customer_id)))
    keys = {"wrong key": "SECRETCANARY-wrong", "no key": ""}
    outage: Outage | None = "hang" if trouble == "slow" else None
    fake.scenario = Scenario(app=AppScenario(not_json=trouble == "rubbish", outage=outage))
    if trouble == "stopped":
        fake.stop()
    environment = {**near.environment, "CUSTOMERIO_APP_API_KEY": keys.get(trouble, KEY)}
    answer = CommandLine(environment).process("investigate", EMAIL, "--json", "--within", "2")

    assert (answer.code, answer.err) == (0, "")
    assert answer.json["sync"]["jobs"][0]["status"] == "pending"
    assert {one["part"] for one in answer.json["unavailable"]} >= {"profile", "activity", "delivery"}
    assert answer.json["issues"] == []
    assert_private(answer)


@pytest.mark.parametrize(
    "arguments",
    [[], [""], [" "], ["u1", "--within", "0"], ["u1", "--limit", "0"], ["u1", "--fail-on", "worst"], ["\udcff"]],
    ids=ascii,
)
def test_wrong_arguments(cli: CommandLine, arguments: list[str]) -> None:
    assert cli("investigate", *arguments).code == 2


@pytest.mark.parametrize("user", ["../../x", "a/b", "a?b=c", "%2F", "\x00", "ü 🏉", "..", "-", "x" * 5_000, "a@b@c"])
def test_user_of_any_letters_is_only_looked_up(near: CommandLine, fake: FakeCustomerIO, user: str) -> None:
    answer = near("investigate", "--", user)

    assert answer.code in {5, 7}
    assert {entry["method"] for entry in fake.ledger.entries()} <= {"GET"}
    assert "Traceback" not in answer.err


def test_ten_thousand_activities_end_in_time(near: CommandLine, fake: FakeCustomerIO) -> None:
    give(fake, activities=(PastActivity(name="bet", count=10_000, every=timedelta(seconds=5)),))
    answer = near("investigate", "u_1042", "--within", "12", "--limit", "10000")
    said = r"at least [0-9,]+ events in 24 h · only the newest [0-9,]+ events were read \((time|rate_limited|unreachable)\)"

    assert answer.code == 0
    assert re.search(said, answer.out)


def test_nothing_is_written_anywhere(near: CommandLine, fake: FakeCustomerIO, runtime: Runtime, make: Factory) -> None:
    signup = make.signup(EMAIL)
    before = make.job(signup).updated_at
    near("investigate", EMAIL)

    assert make.job(signup).updated_at == before
    assert {entry["method"] for entry in fake.ledger.entries()} == {"GET"}
