"""`ciosync debug`: exactly one real call, all of it shown, and nothing that must not be."""

import json
import re
from collections.abc import Iterator
from uuid import UUID

import pytest

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.cli.conftest import Answer, CommandLine
from tests.conftest import API_KEY, SITE_ID

SHAPE = {"success", "latency", "requestId", "request", "response", "error"}
IDENTIFY = ("debug", "identify", "u_1042", "-a", "email=ada@example.com", "-a", "plan=pro")
TRACK = ("debug", "track", "u_1042", "bought", "-d", "email=ada@example.com")
AUTH = ("debug", "auth")
COMMANDS = [IDENTIFY, TRACK, AUTH]
ODD_PEOPLE = ["../../x", "a/b", "a?b=c", "a#b", "%2F", "..%2F..", "\x00", "ü 🏉", "a+b", "...", "~a!*'()"]
each_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[1])


@pytest.fixture
def near(fake: FakeCustomerIO) -> CommandLine:
    """Return `ciosync` with credentials for the stand-in."""
    return CommandLine({"CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY, "CUSTOMERIO_TRACK_URL": fake.url})


def asked(fake: FakeCustomerIO) -> list[tuple[str, str]]:
    return [(entry["method"], entry["path"]) for entry in fake.ledger.entries()]


def assert_private(answer: Answer) -> None:
    told = answer.out + answer.err
    assert "SECRETCANARY" not in told.replace("SECR…", "")
    assert "ada@" not in told
    assert "ada%40" not in told
    assert "Traceback" not in told


def assert_three_lines(answer: Answer) -> None:
    assert [line.split()[0] for line in answer.err.splitlines()] == ["error:", "cause:", "hint:"]


# --- one call, shown whole --------------------------------------------------------------------------------------------


@pytest.mark.row("K1", "K2", "K3", "K6")
@pytest.mark.parametrize(
    ("command", "call"),
    [
        (IDENTIFY, ("PUT", "/api/v1/customers/u_1042")),
        (TRACK, ("POST", "/api/v1/customers/u_1042/events")),
        (AUTH, ("GET", "/api/v1/accounts/region")),
    ],
    ids=lambda value: value[1],
)
def test_exactly_one_call_is_made_and_told_in_full(
    near: CommandLine, fake: FakeCustomerIO, command: tuple[str, ...], call: tuple[str, str]
) -> None:
    answer = near(*command, "--json")
    told = answer.json

    assert answer.code == 0
    assert asked(fake) == [call]
    assert told.keys() >= SHAPE
    assert (told["success"], told["error"], told["response"]["status"]) == (True, None, 200)
    assert 0 < told["latency"] < 5_000
    assert UUID(told["requestId"]).version == 7
    assert (told["request"]["method"], told["request"]["url"]) == (call[0], fake.url + call[1])


@pytest.mark.row("K1", "K6")
def test_identify_sends_the_attributes_as_they_were_given(near: CommandLine, fake: FakeCustomerIO) -> None:
    near(*IDENTIFY)
    (operation,) = fake.ledger.entries()[0]["operations"]

    assert (operation["action"], operation["person"]) == ("identify", {"id": "u_1042"})
    assert operation["attributes"] == {"email": "ada@example.com", "plan": "pro"}
    assert operation["applied"]


@pytest.mark.row("K1", "K6")
def test_track_sends_the_event_with_its_data(near: CommandLine, fake: FakeCustomerIO) -> None:
    near("debug", "track", "u_1042", "bought", "-d", "amount=25.50")
    (operation,) = fake.ledger.entries()[0]["operations"]

    assert (operation["action"], operation["name"], operation["attributes"]) == ("event", "bought", {"amount": 25.5})


@pytest.mark.row("K3")
def test_request_id_is_the_one_in_the_header(near: CommandLine) -> None:
    told = near(*IDENTIFY, "--json").json

    assert told["request"]["headers"]["x-request-id"] == told["requestId"]


@pytest.mark.row("K2", "O4")
def test_time_is_told_by_its_parts(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(latency_seconds=0.2)
    told = near(*TRACK, "--json").json

    assert told["timings"].keys() == {"dnsMs", "connectMs", "tlsMs", "firstByteMs", "totalMs"}
    assert 200 <= told["timings"]["firstByteMs"] <= told["timings"]["totalMs"] == told["latency"]


@pytest.mark.row("K5", "K6", "K7")
def test_person_reads_request_answer_and_times(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near(*IDENTIFY)

    assert f"PUT {fake.url}/api/v1/customers/u_1042   (region us)" in answer.out
    assert '{"email":"a•••@ex•••.com","plan":"pro"}' in answer.out
    assert re.search(r"^200 OK in [0-9.]+ ms\n\{\}$", answer.out, re.MULTILINE)
    assert re.search(r"dns [0-9.]+ .*total [0-9.]+ ms", answer.out)
    assert "not done" in answer.out


@pytest.mark.row("K7")
@pytest.mark.parametrize("region", ["us", "eu"])
def test_region_is_told(near: CommandLine, region: str) -> None:
    assert near(*IDENTIFY, "--json", "--dry-run", CUSTOMERIO_REGION=region).json["region"] == region


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=str)
def test_personal_data_is_shown_only_when_asked_for(near: CommandLine, flags: list[str], reveal: bool) -> None:
    answer = near("debug", "identify", "ada@example.com", "-a", "first_name=Ada", *flags, *["--reveal"] * reveal)

    assert ("ada%40example.com" in answer.out) is reveal
    assert ("Ada" in answer.out) is reveal
    assert "SECRETCANARY" not in answer.out.replace("SECR…", "")


def test_secret_in_the_data_is_never_shown(near: CommandLine) -> None:
    assert_private(near("debug", "identify", "u1", "-a", f"note=it is {API_KEY}", "--reveal"))


# --- trying without sending -------------------------------------------------------------------------------------------


@each_command
def test_dry_run_shows_the_request_and_sends_nothing(
    near: CommandLine, fake: FakeCustomerIO, command: tuple[str, ...]
) -> None:
    answer = near(*command, "--dry-run")
    told = near(*command, "--dry-run", "--json").json

    assert (answer.code, fake.ledger.count()) == (0, 0)
    assert "dry run: not sent" in answer.out
    assert (told["success"], told["latency"], told["error"], told["dryRun"]) == (None, None, None, True)
    assert told["response"] == {"status": None, "body": None, "headers": {}}


@each_command
def test_without_credentials_there_is_nothing_to_debug(cli: CommandLine, command: tuple[str, ...]) -> None:
    answer = cli(*command)

    assert answer.code == 3
    assert_three_lines(answer)
    assert "--dry-run" in answer.err


@each_command
def test_dry_run_needs_no_credentials(cli: CommandLine, command: tuple[str, ...]) -> None:
    answer = cli(*command, "--dry-run")

    assert answer.code == 0
    assert "authorization: none" in answer.out


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.row("K4", "K5")
@each_command
@pytest.mark.parametrize(
    ("scenario", "ending"),
    [
        (Scenario(error_rate=1, error_status=400), (5, "http_400")),
        (Scenario(error_rate=1, error_status=403), (4, "http_403")),
        (Scenario(error_rate=1, error_status=404), (5, "http_404")),
        (Scenario(error_rate=1, error_status=429), (6, "http_429")),
        (Scenario(error_rate=1, error_status=503, html_5xx=True), (6, "http_503")),
        (Scenario(redirect_to="https://track-eu.customer.io"), (3, "redirected")),
        (Scenario(truncated_json=True), (6, "not_customerio")),
        (Scenario(outage="reset"), (6, "connection_reset")),
        (Scenario(outage="hang"), (6, "timeout")),
        (Scenario(drip_seconds_per_byte=0.05), (6, "timeout")),
        (Scenario(wrong_region="unauthorized"), (4, "http_401")),
    ],
    ids=lambda value: str(value.model_dump(exclude_defaults=True)) if isinstance(value, Scenario) else str(value),
)
def test_outcome_decides_the_exit_code(
    near: CommandLine, fake: FakeCustomerIO, command: tuple[str, ...], scenario: Scenario, ending: tuple[int, str]
) -> None:
    fake.scenario = scenario
    answer = near(*command, "--timeout", "0.5")
    told = near(*command, "--timeout", "0.5", "--json")

    assert (answer.code, told.code) == (ending[0], ending[0])
    assert_three_lines(answer)
    assert (told.json["success"], told.json["error"]["code"]) == (False, ending[1])
    assert (told.fault["requestId"], told.fault["retryable"]) == (told.json["requestId"], ending[0] == 6)
    assert_private(answer)
    assert_private(told)


@pytest.mark.row("K4")
def test_wait_that_a_rate_limit_asks_for_is_told(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=429, retry_after="7")
    answer = near(*IDENTIFY, "--json")

    assert answer.json["error"]["details"]["retryAfter"] == 7
    assert "wait 7 s" in answer.err


@pytest.mark.row("K5")
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=str)
def test_answer_that_is_no_json_is_shown_as_it_is(near: CommandLine, fake: FakeCustomerIO, flags: list[str]) -> None:
    fake.scenario = Scenario(error_rate=1, error_status=503, html_5xx=True)
    answer = near(*IDENTIFY, *flags)

    assert "<h1>Error: Server Error</h1>" in answer.out
    assert_private(answer)


@each_command
def test_process_ends_well_and_says_nothing_on_stderr(near: CommandLine, command: tuple[str, ...]) -> None:
    answer = near.process(*command)

    assert (answer.code, answer.err) == (0, "")
    assert_private(answer)


# --- what is given ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("a=text", "text"),
        ("a=", ""),
        ("a=x=y", "x=y"),
        ("a= spaced ", " spaced "),
        ("a=7", 7),
        ("a=-7", -7),
        ("a=25.50", 25.5),
        ("a=0", 0),
        ("a=true", True),
        ("a=false", False),
        ("a=null", None),
        ("a=True", "True"),
        ("a=01234", "01234"),
        ("a=+49170", "+49170"),
        ("a=1e5", "1e5"),
        ("a=.5", ".5"),
        ("a=4111111111111111", "4111111111111111"),
        ("a=NaN", "NaN"),
        ('a:="7"', "7"),
        ('a:=["x",{"y":1}]', ["x", {"y": 1}]),
        ("a:=1e5", 1e5),
    ],
)
def test_value_is_read_as_what_it_looks_like(
    near: CommandLine, fake: FakeCustomerIO, given: str, value: object
) -> None:
    near("debug", "identify", "u1", "-a", given)
    sent = fake.ledger.entries()[0]["operations"][0]["attributes"]

    assert json.dumps(sent) == json.dumps({"a": value})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["-a", "plan"], "'plan'"),
        (["-a", "=pro"], "'=pro'"),
        (["-a", ":=1"], "':=1'"),
        (["-a", "plan=1", "-a", "plan=2"], "'plan' is given twice"),
        (["-a", "plan:=nope"], "'plan'"),
        (["-a", "plan:=NaN"], "'plan'"),
        (["-a", "plan:=" + "[" * 100_000], "'plan'"),
        (["-a", "plan=\udcff"], "'plan'"),
        (["-a", "a=1", "-a", "b"], "number 2"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_value_is_a_wrong_argument_and_is_named(
    near: CommandLine, fake: FakeCustomerIO, given: list[str], named: str
) -> None:
    answer = near("debug", "identify", "u1", *given)

    assert (answer.code, fake.ledger.count()) == (2, 0)
    assert named in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["identify", ""],
        ["identify", " "],
        ["identify", "\udcff"],
        ["track", "", "e"],
        ["track", "u1", ""],
        ["track", "u1"],
    ],
    ids=ascii,
)
def test_missing_person_or_event_is_a_wrong_argument(
    near: CommandLine, fake: FakeCustomerIO, arguments: list[str]
) -> None:
    assert (near("debug", *arguments).code, fake.ledger.count()) == (2, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["identify", "u1", "-a", "plan=" + "x" * 1_001],
        ["identify", "u" * 151],
        ["identify", ".."],
        ["identify", "."],
        ["track", "u1", "e" * 101],
        ["track", "..", "bought"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[1][:5]}",
)
def test_certain_refusal_is_not_even_sent(near: CommandLine, fake: FakeCustomerIO, arguments: list[str]) -> None:
    answer = near("debug", *arguments)
    told = near("debug", *arguments, "--json")

    assert (answer.code, told.code, fake.ledger.count()) == (5, 5, 0)
    assert_three_lines(answer)
    assert (told.json["error"]["code"], told.json["response"]["status"]) == ("invalid_input", None)
    assert told.json["issues"][0]["severity"] == "high"


@pytest.mark.parametrize(
    "person", ["../../x", "a/b", "a?b=c", "a#b", "%2F", "..%2F..", "\x00", "ü 🏉", "a+b", "...", "~a!*'()"]
)
@pytest.mark.parametrize("command", ["identify", "track"])
def test_person_of_any_letters_stays_one_part_of_the_path(
    near: CommandLine, fake: FakeCustomerIO, command: str, person: str
) -> None:
    answer = near("debug", command, person, *(["bought"] if command == "track" else ["-a", "plan=pro"]))
    (entry,) = fake.ledger.entries()

    assert answer.code == 0
    assert entry["operations"][0]["person"] == {"id": person}
    assert entry["path"].removesuffix("/events").startswith("/api/v1/customers/")
    assert entry["path"].removesuffix("/events").count("/") == 4


@pytest.mark.parametrize("person", ["u1", "ada@example.com", "cio_03", "..", "../x"])
def test_v2_names_the_person_in_the_body(near: CommandLine, fake: FakeCustomerIO, person: str) -> None:
    answer = near("debug", "identify", person, "-a", "plan=pro", "--api", "v2")

    assert answer.code == 0
    assert asked(fake) == [("POST", "/api/v2/batch")]
    assert next(iter((fake.ledger.entries()[0]["operations"][0]["person"] or {}).values())) == person.removeprefix(
        "cio_"
    )


@pytest.mark.row("K4")
def test_item_that_v2_refuses_is_a_refusal_although_the_status_is_2xx(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near("debug", "identify", "u1", "-a", "email=ann+400@example.com", "--api", "v2", "--json")

    assert answer.json["response"]["status"] in {207, 400}
    assert (answer.code, answer.json["success"]) == (5, False)
    assert "ann+" not in answer.out + answer.err


def test_odd_input_is_sent_and_told(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near("debug", "identify", "u1", "-a", "created_at=1700000000000", "--json")

    assert (answer.code, fake.ledger.count()) == (0, 1)
    assert [issue["code"] for issue in answer.json["issues"]] == ["milliseconds"]
    assert (
        "! 'created_at' looks like milliseconds"
        in near("debug", "track", "u1", "e", "-d", "created_at=1700000000000").out
    )
    assert "✓ nothing odd" in near("debug", "track", "u1", "e", "-d", "created_at=1700000000").out
    assert answer.json["issues"][0].keys() == {"severity", "code", "message", "next"}


# --- debug auth -------------------------------------------------------------------------------------------------------


@pytest.fixture
def european() -> Iterator[FakeCustomerIO]:
    with FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY, region="eu") as fake:
        yield fake


@pytest.mark.row("K7", "Q2")
def test_account_in_the_other_region_is_told(near: CommandLine, european: FakeCustomerIO) -> None:
    answer = near(*AUTH, "--json", CUSTOMERIO_TRACK_URL=european.url)

    assert answer.code == 1
    assert answer.json["region"] == {"configured": "us", "account": "eu"}
    assert answer.json["issues"][0]["code"] == "region_mismatch"
    assert answer.fault["hint"] == "set CUSTOMERIO_REGION=eu"


@pytest.mark.row("Q2")
def test_accepted_credentials_name_region_and_workspace(near: CommandLine) -> None:
    answer = near(*AUTH)

    assert answer.code == 0
    assert "✓ the credentials are accepted: workspace 123456, region us" in answer.out


@pytest.mark.row("Q2")
def test_rejected_credentials_end_with_four_and_say_which_mistake_it_is(
    near: CommandLine, fake: FakeCustomerIO
) -> None:
    fake.rotate(site_id=API_KEY, api_key=SITE_ID)
    answer = near(*AUTH)

    assert answer.code == 4
    assert "swapped" in answer.err
    assert_three_lines(answer)
    assert_private(answer)


def test_rejected_credentials_of_a_write_lead_to_debug_auth(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.rotate(site_id="another", api_key="another")
    answer = near.process(*IDENTIFY)

    assert answer.code == 4
    assert answer.err.endswith("ciosync debug auth\n")
    assert_private(answer)


@pytest.mark.parametrize(("key", "code"), [("app-key", 0), ("SECRETCANARY-wrong", 4)])
def test_key_of_the_app_api_is_tried_when_there_is_one(
    near: CommandLine, fake: FakeCustomerIO, key: str, code: int
) -> None:
    answer = near(*AUTH, "--json", CUSTOMERIO_APP_API_KEY=key, CUSTOMERIO_APP_URL=fake.url)

    assert (answer.code, answer.json["appApi"]) == (code, {"accepted": code == 0})
    assert_private(answer)


def test_misspelt_subcommand_is_guessed(cli: CommandLine) -> None:
    assert "Did you mean 'track'?" in cli("debug", "tracc").err
