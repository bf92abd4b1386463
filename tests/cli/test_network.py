"""`ciosync network`: what was measured, what it means, and how the command ends."""

import re
import socket
import time

import pytest

from cio_tasks.fake import FakeCustomerIO, Scenario
from tests.cli.conftest import Answer, CommandLine
from tests.conftest import API_KEY, SITE_ID

NETWORK = ("network", "--host", "track", "--count", "2", "--timeout", "1")


@pytest.fixture
def near(fake: FakeCustomerIO) -> CommandLine:
    """Return `ciosync` whose Customer.io is the stand-in, whatever is asked."""
    addresses = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), fake.url)
    return CommandLine({"CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY, **addresses})


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def assert_private(answer: Answer) -> None:
    told = answer.out + answer.err
    assert "SECRETCANARY" not in told
    assert "Traceback" not in told


def assert_three_lines(answer: Answer) -> None:
    assert [line.split()[0] for line in answer.err.splitlines()] == ["error:", "cause:", "hint:"]


@pytest.mark.row("O1", "O2", "O4")
def test_shape_for_scripts(near: CommandLine) -> None:
    answer = near(*NETWORK, "--json")
    (target,) = answer.json["targets"]

    assert (answer.code, answer.err) == (0, "")
    assert target.keys() >= {"host", "addresses", "dnsMs", "tcpMs", "tls", "http", "verdict"}
    assert target["http"].keys() >= {"method", "path", "status", "ttfbMs", "totalMs", "reused"}
    assert (target["http"]["method"], target["http"]["path"]) == ("GET", "/api/v1/accounts/region")
    assert answer.json["rateLimit"].keys() >= {"limit", "used"}
    assert "probe" not in answer.json["rateLimit"]


def test_person_reads_steps_times_and_a_picture(near: CommandLine) -> None:
    answer = near(*NETWORK)

    assert answer.code == 0
    assert re.search(r"^track 127\.0\.0\.1:\d+   ok$", answer.out, re.MULTILINE)
    assert re.search(
        r"rounds  2 of 2 answered, median [0-9.]+ ms, worst [0-9.]+ ms, [0-9.]+ ms over a kept", answer.out
    )
    assert re.search(r"▕[░▒▓█· ]{40}▏", answer.out)
    assert "our rate limit   100 a second, REDIS_URL is not set" in answer.out


def test_all_servers_of_the_settings_are_measured(near: CommandLine) -> None:
    answer = near("network", "--count", "1", "--json")

    assert [target["name"] for target in answer.json["targets"]] == ["track", "app", "status"]


@pytest.mark.row("O5")
def test_use_of_our_own_limit_is_told(near: CommandLine, redis_url: str) -> None:
    assert near(*NETWORK, "--json", REDIS_URL=redis_url).json["rateLimit"]["used"] == 0
    assert "100 a second, 0 used in the last second" in near(*NETWORK, REDIS_URL=redis_url).out


@pytest.mark.row("O4", "Q2")
@pytest.mark.parametrize(
    ("scenario", "code", "verdict"),
    [
        (Scenario(wrong_region="unauthorized"), 4, "http_401"),
        (Scenario(error_rate=1, error_status=403), 4, "http_403"),
        (Scenario(wrong_region="redirect"), 3, "redirected"),
        (Scenario(error_rate=1, error_status=404), 5, "http_404"),
        (Scenario(error_rate=1, error_status=408), 6, "http_408"),
        (Scenario(error_rate=1, error_status=429), 6, "http_429"),
        (Scenario(error_rate=1, error_status=502), 6, "http_502"),
        (Scenario(truncated_json=True), 6, "not_customerio"),
        (Scenario(outage="hang"), 6, "timeout"),
    ],
    ids=lambda value: str(value.model_dump(exclude_defaults=True)) if isinstance(value, Scenario) else str(value),
)
def test_verdict_decides_the_exit_code(
    near: CommandLine, fake: FakeCustomerIO, scenario: Scenario, code: int, verdict: str
) -> None:
    fake.scenario = scenario
    answer = near(*NETWORK, "--timeout", "0.3", "--json")

    assert (answer.code, answer.json["targets"][0]["verdict"]) == (code, verdict)
    assert answer.fault["code"] == f"network.{verdict}"
    assert_private(answer)


@pytest.mark.row("O3")
def test_what_trying_again_does_not_change_ends_with_one(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near(*NETWORK, CUSTOMERIO_TRACK_URL=fake.url.replace("http:", "https:"))

    assert answer.code == 1
    assert_three_lines(answer)


def test_definite_failure_counts_more_than_a_passing_one(near: CommandLine, closed_port: int) -> None:
    addresses = {
        "CUSTOMERIO_TRACK_URL": f"http://127.0.0.1:{closed_port}",
        "CUSTOMERIO_APP_URL": near.environment["CUSTOMERIO_APP_URL"].replace("http:", "https:"),
    }

    assert near("network", "--host", "track", "--host", "app", "--count", "1", **addresses).code == 1


def test_server_that_nothing_depends_on_does_not_spoil_the_end(near: CommandLine, closed_port: int) -> None:
    answer = near("network", "--count", "1", CUSTOMERIO_STATUS_URL=f"http://127.0.0.1:{closed_port}")

    assert answer.code == 0
    assert "connection_refused" in answer.out


@pytest.mark.row("O1")
def test_name_that_does_not_exist_ends_the_process_soon(near: CommandLine) -> None:
    began = time.monotonic()
    answer = CommandLine({**near.environment, "CUSTOMERIO_TRACK_URL": "https://customerio.invalid"}).process(*NETWORK)

    assert (answer.code, time.monotonic() - began < 40) == (6, True)


# --- what writes ------------------------------------------------------------------------------------------------------


@pytest.mark.row("O5")
def test_probe_needs_a_permission_and_nothing_is_sent_without(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near(*NETWORK, "--probe-limits")

    assert (answer.code, fake.ledger.count()) == (2, 0)
    assert "100 calls" in answer.err
    assert "--allow-writes" in answer.err


@pytest.mark.row("O5")
def test_permission_alone_writes_nothing(near: CommandLine, fake: FakeCustomerIO) -> None:
    near(*NETWORK, "--allow-writes")

    assert {entry["method"] for entry in fake.ledger.entries()} == {"GET"}


@pytest.mark.row("O5")
def test_allowed_probe_tells_what_it_found(near: CommandLine, fake: FakeCustomerIO) -> None:
    probing = (*NETWORK, "--probe-limits", "--allow-writes")
    told = near(*probing, "--json", CIO_RATE_LIMIT="20").json["rateLimit"]["probe"]

    assert (told["requests"], told["limitedAfter"], told["statuses"]) == (20, None, {"200": 20})
    assert "no limit met" in near(*probing, CIO_RATE_LIMIT="20").out
    assert fake.people.count() == 0


@pytest.mark.row("O5")
def test_probe_that_meets_a_limit_says_what_to_set(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(error_rate=0.3, error_status=429, retry_after="7", seed=4)
    answer = near("network", "--host", "status", "--probe-limits", "--allow-writes")

    assert re.search(r"limited at call \d+\n  → set CIO_RATE_LIMIT below .* wait 7 s", answer.out)


def test_probe_without_credentials_is_a_fault_of_the_configuration(cli: CommandLine) -> None:
    assert cli("network", "--probe-limits", "--allow-writes").code == 3


def test_dry_run_names_the_questions_and_asks_none(near: CommandLine, fake: FakeCustomerIO) -> None:
    answer = near(*NETWORK, "--dry-run", "--probe-limits", "--json")

    assert (answer.code, fake.ledger.count()) == (0, 0)
    assert answer.json["requests"] == [f"GET {fake.url}/api/v1/accounts/region"]
    assert answer.json["probeCalls"] == 100


@pytest.mark.parametrize("arguments", [["--host", "mars"], ["--count", "0"], ["--timeout", "0"], ["--count", "1000"]])
def test_wrong_arguments_are_refused(cli: CommandLine, arguments: list[str]) -> None:
    assert cli("network", *arguments).code == 2
