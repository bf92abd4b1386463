"""`ciosync incident severity` and `runbook`: against a real database and the stand-in Customer.io."""

import re
import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from cio_tasks import gate
from cio_tasks.fake import FakeCustomerIO, IncidentScenario, Scenario, StatusScenario
from cio_tasks.gate import Reason
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.cli.conftest import Answer, CommandLine
from tests.conftest import API_KEY, SITE_ID
from tests.factories import Factory
from tests.integration.incidents import LIMITED, Past

SEVERITY = ("incident", "severity")
RUNBOOK = ("incident", "runbook")
QUICK = ("--timeout", "1")
SHAPE = {"severity", "reasons", "evidence", "whyNotWorse"}
PARTS = {"statusPage", "credentials", "attempts", "queue", "deadLetters", "mail", "webhooks", "deployments"}
NOWHERE = "http://127.0.0.1:9"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def near(database_url: str, redis_url: str, fake: FakeCustomerIO) -> CommandLine:
    """Return `ciosync` with a database and the stand-in as its Customer.io."""
    addresses = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), fake.url)
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return CommandLine({**stores, **addresses, "CUSTOMERIO_SITE_ID": SITE_ID, "CUSTOMERIO_API_KEY": API_KEY})


@pytest.fixture
def past(make: Factory) -> Past:
    return Past(make)


def assert_private(answer: Answer) -> None:
    told = answer.out + answer.err
    assert "SECRETCANARY" not in told
    assert "@example.com" not in told
    assert "Traceback" not in told


def assert_three_lines(answer: Answer) -> None:
    assert [line.split()[0] for line in answer.err.splitlines()[-3:]] == ["error:", "cause:", "hint:"]


def steps(answer: Answer) -> dict[str, str]:
    return {step["id"]: step["status"] for step in answer.json["steps"]}


def step(answer: Answer, step_id: str) -> dict[str, str]:
    (found,) = [step for step in answer.json["steps"] if step["id"] == step_id]
    return dict(found)


# --- severity ---------------------------------------------------------------------------------------------------------


def test_nothing_wrong_is_no_incident_and_says_why_not(near: CommandLine) -> None:
    answer = near(*SEVERITY, "--json")
    told = answer.json

    assert (answer.code, answer.err) == (0, "")
    assert told.keys() == SHAPE
    assert (told["severity"], told["reasons"]) == ("none", ["no rule of P1 to P4 is met"])
    assert told["evidence"].keys() == PARTS
    assert {part["state"] for part in told["evidence"].values()} == {"known"}
    assert "not P1: gate open" in told["whyNotWorse"]
    assert "credentials accepted, status page: operational" in told["whyNotWorse"]


def test_outage_of_real_deliveries_is_p1(
    near: CommandLine, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    for _ in range(20):
        make.signup()
    fake.scenario = Scenario(error_rate=1, error_status=503, status_page=StatusScenario(indicator="major"))
    process_due(runtime, limit=100)
    answer = near(*SEVERITY, "--json")
    told = answer.json

    assert (answer.code, told["severity"], told["whyNotWorse"]) == (0, "P1", None)
    assert any("the gate is closed: outage" in reason for reason in told["reasons"])
    assert told["evidence"]["attempts"]["byStatus"] == {"503": told["evidence"]["attempts"]["failed"]}
    assert_private(answer)


def test_refused_credentials_are_p1(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.rotate(site_id="another", api_key="another")
    answer = near(*SEVERITY, "--json")

    assert answer.json["severity"] == "P1"
    assert answer.json["evidence"]["credentials"]["verdict"] == "refused"
    assert "Customer.io refuses the credentials" in answer.json["reasons"][0]
    assert_private(answer)


def test_high_error_rate_is_p2_and_says_why_it_is_no_outage(near: CommandLine, past: Past) -> None:
    past.delivered(92)
    past.failed(8, outcome="retry_later", **LIMITED)
    told = near(*SEVERITY, "--json").json

    assert told["severity"] == "P2"
    assert told["reasons"][:2] == ["8 % of 100 attempts failed in 5 min (limit 5 %)", "8 of 8 failures are 429"]
    assert told["whyNotWorse"].startswith("not P1: gate open, 92 of 100 attempts got through, credentials accepted")
    assert told["evidence"]["attempts"]["byType"] == {"rate_limit": 8}
    assert told["evidence"]["attempts"]["byPhase"] == {"initial": {"total": 100, "failed": 8}}
    assert [minute["total"] for minute in told["evidence"]["attempts"]["perMinute"]] == [0] * 14 + [100]


def test_mocked_and_released_attempts_and_those_of_long_ago_do_not_count(near: CommandLine, past: Past) -> None:
    past.delivered(50, mock=True)
    past.failed(30, outcome="released")
    past.failed(30, outcome="rejected", error_type="other", error_code="initial_failed", http_status=None)
    past.failed(30, ago=6 * MINUTE)
    told = near(*SEVERITY, "--json").json

    assert (told["severity"], told["evidence"]["attempts"]["total"]) == ("none", 0)
    assert sum(minute["failed"] for minute in told["evidence"]["attempts"]["perMinute"]) == 30


def test_person_reads_a_level_a_picture_and_what_to_do(near: CommandLine, past: Past) -> None:
    past.delivered(90, ago=3 * MINUTE)
    past.failed(10, ago=3 * MINUTE)
    past.failed(10)
    past.delivered(90)
    answer = near(*SEVERITY, "--explain")

    assert answer.code == 0
    assert re.match(r"P2 High error rate   since \d\d:\d\d UTC \(\d min\)\n", answer.out)
    assert re.search(r"^  errors +[·▁▂▃▄▅▆▇█]{15} per minute, 15 min to now, highest 10 %$", answer.out, re.MULTILINE)
    assert re.search(r"^  not P1 +gate open", answer.out, re.MULTILINE)
    assert answer.out.endswith("ciosync incident runbook P2\n")
    assert "by status" in answer.out
    assert "by status" not in near(*SEVERITY).out


@pytest.mark.parametrize(("level", "code"), [("P1", 0), ("P2", 1), ("P3", 1)])
def test_fail_on_ends_with_one_from_that_level_on(near: CommandLine, past: Past, level: str, code: int) -> None:
    past.failed(20, outcome="rejected")
    past.delivered(80)
    answer = near(*SEVERITY, "--fail-on", level)

    assert answer.code == code
    if code:
        assert_three_lines(answer)


def test_what_is_away_is_unknown_and_never_fine(near: CommandLine) -> None:
    addresses = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_STATUS_URL"), NOWHERE)
    told = near(*SEVERITY, *QUICK, "--json", **addresses).json

    assert told["severity"] == "none"
    assert told["evidence"]["statusPage"]["state"] == "unknown"
    assert told["evidence"]["credentials"]["verdict"] == "trouble"
    assert "not known: status page (the status page could not be read" in told["reasons"][1]
    assert "status page unknown" in told["whyNotWorse"]
    assert "operational" not in told["whyNotWorse"]


def test_nothing_is_said_to_be_fine_without_a_database(near: CommandLine) -> None:
    answer = near(*SEVERITY, "--json", DATABASE_URL="")

    assert (answer.code, answer.json["severity"]) == (0, "none")
    assert answer.json["evidence"]["attempts"] == {
        "state": "unknown",
        "code": "not_set",
        "reason": "DATABASE_URL is not set",
    }
    assert "DATABASE_URL is not set" in answer.json["reasons"][1]


def test_mock_mode_asks_nobody_and_says_so(near: CommandLine, fake: FakeCustomerIO) -> None:
    told = near(*SEVERITY, "--json", CUSTOMERIO_SITE_ID="").json

    assert told["evidence"]["credentials"]["verdict"] == "not_set"
    assert "no credentials are set (mock mode)" in told["whyNotWorse"]
    assert {entry["path"] for entry in fake.ledger.entries()} == {"/api/v2/summary.json"}
    assert steps(near(*RUNBOOK, "P1", "--json", CUSTOMERIO_SITE_ID=""))["P1.2"] == "fail"


def test_database_without_the_tables_is_unknown_and_what_to_do_is_named(near: CommandLine, make: Factory) -> None:
    with make.sessions.begin() as session:
        session.execute(text("DROP TABLE customerio_sync_attempts"))
    told = near(*SEVERITY, "--json").json["evidence"]

    assert told["attempts"]["code"] == "schema"
    assert "ciosync db check" in told["attempts"]["reason"]
    assert told["mail"]["state"] == "known"


def test_table_that_is_locked_keeps_nobody_waiting(near: CommandLine, make: Factory) -> None:
    with make.sessions.begin() as session:
        session.execute(text("LOCK TABLE customerio_sync_attempts"))
        told = near(*SEVERITY, *QUICK, "--json").json["evidence"]

    assert told["attempts"]["code"] == "timeout"
    assert told["mail"]["state"] == "known"


def test_process_whose_database_is_down_tells_what_it_learnt_and_takes_it_for_an_outage(near: CommandLine) -> None:
    down = {**near.environment, "DATABASE_URL": "postgresql://user:SECRETCANARY-pw@127.0.0.1:9/db"}
    answer = CommandLine(down).process(*SEVERITY, "--json")

    assert (answer.code, answer.json["severity"]) == (0, "P1")
    assert "the database cannot be reached from here" in answer.json["reasons"][0]
    assert answer.json["evidence"]["queue"]["code"] == "unreachable"
    assert answer.json["evidence"]["statusPage"]["state"] == "known"
    assert_private(answer)


def test_process_that_learns_nothing_at_all_ends_with_six_and_soon(near: CommandLine) -> None:
    away = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), NOWHERE)
    began = time.monotonic()
    down = {**near.environment, **away, "DATABASE_URL": "postgresql://user:SECRETCANARY-pw@127.0.0.1:9/db"}
    answer = CommandLine(down).process(*SEVERITY, *QUICK)

    assert (answer.code, answer.out, time.monotonic() - began < 40) == (6, "", True)
    assert_three_lines(answer)
    assert_private(answer)


def test_customer_io_that_hangs_keeps_nobody_waiting(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="hang", status_page=StatusScenario(outage="hang"))
    began = time.monotonic()
    answer = near(*SEVERITY, "--timeout", "0.5", "--json")

    assert time.monotonic() - began < 30, "they would hang for a minute"
    assert answer.json["evidence"]["statusPage"]["state"] == "unknown"


@pytest.mark.parametrize(("trouble", "code"), [("locked", 6), ("no database", 3)])
def test_level_that_cannot_be_ruled_out_is_no_success(
    near: CommandLine, make: Factory, trouble: str, code: int
) -> None:
    environment = {"DATABASE_URL": ""} if trouble == "no database" else {}
    with make.sessions() as session:
        session.execute(text("LOCK TABLE customerio_sync_attempts"))
        answer = near(*SEVERITY, *QUICK, "--fail-on", "P2", **environment)

    assert answer.code == code
    assert "not known whether it is as bad as P2" in answer.err
    assert_three_lines(answer)


def test_level_that_hangs_on_other_evidence_may_be_asked_about(near: CommandLine, make: Factory) -> None:
    with make.sessions() as session:
        session.execute(text("LOCK TABLE customerio_webhook_events"))
        codes = [near(*SEVERITY, *QUICK, "--fail-on", level).code for level in ("P2", "P4")]

    assert codes == [0, 6]


# --- the runbooks -----------------------------------------------------------------------------------------------------


@pytest.mark.row("P1.1", "P1.2", "P1.3", "P1.4", "P1.5", "P1.6", "Q1", "Q2")
def test_outage_runbook_passes_where_all_is_well(near: CommandLine) -> None:
    answer = near(*RUNBOOK, "P1", "--json")

    assert (answer.code, answer.json["severity"]) == (0, "P1")
    passing = dict.fromkeys(("P1.1", "P1.2", "P1.3", "P1.4", "P1.5"), "pass")
    assert steps(answer) == {**passing, "P1.6": "human"}
    assert all(one.keys() == {"id", "title", "status", "evidence", "next"} for one in answer.json["steps"])
    assert all(all(one.values()) for one in answer.json["steps"])
    assert "3 of 3 reads of 127.0.0.1 answered, median" in step(answer, "P1.3")["evidence"]
    assert_private(answer)


@pytest.mark.row("P1.1", "Q1")
@pytest.mark.parametrize(
    ("page", "status"),
    [
        (StatusScenario(indicator="critical"), "fail"),
        (StatusScenario(indicator="minor", components={"Data Collection": "partial_outage"}), "fail"),
        (StatusScenario(indicator="minor", components={"Knowledge Base": "partial_outage"}), "human"),
        (StatusScenario(components={"Data Processing": "degraded_performance"}), "human"),
        (StatusScenario(incidents=[IncidentScenario(name="Late e-mail")]), "human"),
        (StatusScenario(outage="503"), "human"),
    ],
    ids=["critical", "collection", "elsewhere", "processing", "incident", "unreadable"],
)
def test_status_page_is_judged_by_what_it_says_of_us(
    near: CommandLine, fake: FakeCustomerIO, page: StatusScenario, status: str
) -> None:
    fake.scenario = Scenario(status_page=page)

    assert steps(near(*RUNBOOK, "P1", "--json"))["P1.1"] == status


@pytest.mark.row("P1.2", "P1.3", "Q2")
def test_refused_credentials_fail_two_steps_and_the_run(near: CommandLine, fake: FakeCustomerIO) -> None:
    fake.rotate(site_id="another", api_key="another")
    answer = near(*RUNBOOK, "P1", "--json")

    assert answer.code == 1
    assert (steps(answer)["P1.2"], steps(answer)["P1.3"]) == ("fail", "fail")
    assert answer.fault["code"] == "incident.step_failed"
    assert {entry["method"] for entry in fake.ledger.entries()} == {"GET"}
    assert_private(answer)


@pytest.mark.row("P1.4", "P1.5", "P1.6")
def test_closed_gate_is_told_with_reason_and_what_waits(
    near: CommandLine, runtime: Runtime, make: Factory, past: Past
) -> None:
    make.signup()
    past.worker("w1", release=None)
    with runtime.sessions.begin() as session:
        gate.close(session, Reason.OPERATOR, wait=None, note="call bob@example.com", actor="cli:ann")
    answer = near(*RUNBOOK, "P1", "--json")

    assert step(answer, "P1.4")["status"] == "fail"
    assert "operator since" in step(answer, "P1.4")["evidence"]
    assert step(answer, "P1.4")["next"] == "when it is over: ciosync gate open"
    assert step(answer, "P1.5")["status"] == "pass"
    assert "1 pending" in step(answer, "P1.5")["evidence"]
    assert "spend no retry" in step(answer, "P1.5")["evidence"]
    assert "Waiting, and kept: 1 message." in step(answer, "P1.6")["evidence"]
    assert_private(answer)


@pytest.mark.row("P1.5")
def test_queue_without_a_worker_fails(near: CommandLine, make: Factory) -> None:
    make.signup()

    assert step(near(*RUNBOOK, "P1", "--json"), "P1.5")["next"].startswith("start a worker")


@pytest.mark.row("P2.1", "P2.2", "P2.3", "P2.4", "P2.5")
def test_error_runbook_names_types_operations_releases_and_the_way_down(near: CommandLine, past: Past) -> None:
    past.worker("old", release="2026-01", ago=timedelta(days=1))
    past.worker("new", release="2026-02", ago=10 * MINUTE)
    past.delivered(60, worker="old")
    past.delivered(20, worker="new")
    past.failed(20, worker="new", **LIMITED)
    past.buried(2)
    answer = near(*RUNBOOK, "P2", "--json", CIO_RATE_LIMIT="80")

    assert answer.code == 1
    assert steps(answer) == {"P2.1": "fail", "P2.2": "fail", "P2.3": "fail", "P2.4": "fail", "P2.5": "human"}
    assert "20 rate_limit (20 429), 20 %" in step(answer, "P2.1")["evidence"]
    assert "initial 20 of 100" in step(answer, "P2.2")["evidence"]
    assert "2 times server_error · 503 · server error" in step(answer, "P2.2")["evidence"]
    assert "50 % of the attempts of 2026-02 fail, 0 % of the others" in step(answer, "P2.3")["evidence"]
    assert "20 of 100 attempts met a 429; our own limit 80 a second, 0 used" in step(answer, "P2.4")["evidence"]
    assert "set CIO_RATE_LIMIT=40" in step(answer, "P2.5")["next"]
    assert_private(answer)


@pytest.mark.row("P2.1", "P2.2", "P2.3", "P2.4")
def test_error_runbook_passes_when_errors_are_few(near: CommandLine, past: Past) -> None:
    past.worker("old", release="2026-01")
    past.delivered(99)
    past.failed(1)
    answer = near(*RUNBOOK, "P2", "--json")

    assert answer.code == 0
    assert steps(answer) == {"P2.1": "pass", "P2.2": "pass", "P2.3": "pass", "P2.4": "pass", "P2.5": "human"}


@pytest.mark.row("P2.3")
def test_two_releases_at_once_fail_and_a_restart_is_for_a_person(near: CommandLine, past: Past) -> None:
    past.worker("a", release="r1", ago=10 * MINUTE)
    assert step(near(*RUNBOOK, "P2", "--json"), "P2.3")["status"] == "human"
    past.worker("b", release="r2", ago=timedelta(days=1))
    assert "several releases run at once" in step(near(*RUNBOOK, "P2", "--json"), "P2.3")["evidence"]


def test_without_a_level_the_runbook_of_the_severity_is_taken(near: CommandLine, past: Past) -> None:
    past.failed(10)
    past.delivered(90)
    answer = near(*RUNBOOK)

    assert answer.code == 1
    assert answer.out.startswith("P2 High error rate\n")
    assert "P2.4 Rate limiting: pass" in answer.err
    assert_three_lines(answer)


def test_without_an_incident_no_runbook_is_taken(near: CommandLine) -> None:
    assert near(*RUNBOOK, "--json").json == {"severity": "none", "steps": []}
    assert near(*RUNBOOK).out.startswith("No incident")


def test_steps_are_listed_without_asking_anybody(cli: CommandLine) -> None:
    answer = cli(*RUNBOOK, "P4", "--no-check", "--json")

    assert answer.code == 0
    assert set(steps(answer).values()) == {"human"}
    assert [*steps(answer)] == ["P4.1", "P4.2", "P4.3", "P4.4", "P4.5"]


def test_steps_that_are_only_listed_are_a_line_each(cli: CommandLine) -> None:
    lines = cli(*RUNBOOK, "P4", "--no-check").out.splitlines()

    assert lines[0] == "P4 Webhook trouble"
    assert lines[1:3] == ["  P4.1 Secret", "  P4.2 Endpoint availability"]
    assert lines[-1] == "take them: ciosync incident runbook P4"


def test_process_whose_database_is_down_leaves_to_a_person_what_it_could_not_read(near: CommandLine) -> None:
    down = {**near.environment, "DATABASE_URL": "postgresql://user:SECRETCANARY-pw@127.0.0.1:9/db"}
    answer = CommandLine(down).process(*RUNBOOK, "P1", "--json")

    assert answer.code == 0
    assert steps(answer) == {
        "P1.1": "pass",
        "P1.2": "pass",
        "P1.3": "pass",
        "P1.4": "human",
        "P1.5": "human",
        "P1.6": "human",
    }
    assert step(answer, "P1.4")["next"].endswith("ciosync db check")
    assert_private(answer)
