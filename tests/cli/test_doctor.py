"""`ciosync doctor`: what is printed, and how the command ends."""

import json
import re
import signal
import subprocess
import time

import pytest

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.gate import Reason, close
from cio_tasks.heartbeats import note_tick, report
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from tests.checking import black_hole, nobody
from tests.cli.conftest import CIOSYNC, Answer, CommandLine
from tests.cli.terminal import on_terminal
from tests.conftest import API_KEY, SITE_ID

DATABASE = "postgresql://SECRETCANARY-user:SECRETCANARY-password@127.0.0.1:{}/SECRETCANARY"
REDIS = "redis://:SECRETCANARY-password@127.0.0.1:{}/0"
STORED = "config,database,redis,beat,queue,gate,customerio,webhook,clock"
"""What is well without a process that could answer."""


@pytest.fixture
def near(settings: Settings, fake: FakeCustomerIO) -> CommandLine:
    """Return `ciosync` with all that it needs on this machine, of which nothing is wrong."""
    addresses = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), fake.url)
    return CommandLine(
        {
            "DATABASE_URL": settings.required_database_url(),
            "REDIS_URL": settings.required_redis_url(),
            "CUSTOMERIO_SITE_ID": SITE_ID,
            "CUSTOMERIO_API_KEY": API_KEY,
            "CUSTOMERIO_APP_API_KEY": "app-key",
            "CUSTOMERIO_WEBHOOK_SECRET": "SECRETCANARY-webhook",
            "CIO_API_TOKENS": f"ops:operator:SECRETCANARY{'x' * 32}",
            **addresses,
        }
    )


@pytest.fixture
def processes(runtime: Runtime) -> None:
    """Let a worker have been seen, and beat have ticked."""
    note_tick(runtime)
    report(runtime)


def statuses(answer: Answer) -> dict[str, str]:
    return {check["id"]: check["status"] for check in answer.json["checks"]}


def assert_private(answer: Answer) -> None:
    assert "SECRETCANARY" not in answer.out + answer.err
    assert "127.0.0.1" not in answer.out + answer.err
    assert "Traceback" not in answer.out + answer.err


@pytest.mark.usefixtures("processes")
def test_shape_for_scripts(near: CommandLine) -> None:
    answer = near("doctor", "--only", STORED, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json.keys() == {"checks", "ok"}
    assert answer.json["ok"] is True
    assert {tuple(check) for check in answer.json["checks"]} == {("id", "group", "status", "message", "fix")}
    assert {check["group"] for check in answer.json["checks"]} == set(STORED.split(","))
    assert set(statuses(answer).values()) == {"ok", "skip"}
    assert_private(answer)


@pytest.mark.usefixtures("processes")
def test_person_reads_marks_by_title(near: CommandLine) -> None:
    answer = near("doctor", "--only", STORED)
    titles = [line for line in answer.out.splitlines() if not line.startswith(" ")]
    assert titles == [
        "Configuration",
        "Stores",
        "Celery",
        "Deliveries",
        "Customer.io (us)",
        "Webhooks",
        "Clocks",
        "everything that was looked at is well",
    ]
    assert re.search(r"^  \[✓\] Postgres 18[0-9.]*, \d+ ms$", answer.out, re.MULTILINE)
    assert "  [✓] beat: the last tick was 0 s ago" in answer.out
    assert_private(answer)


def test_a_problem_is_told_with_its_fix(near: CommandLine) -> None:
    answer = near("doctor", "--only", "beat,celery", "--timeout", "3")
    assert answer.code == 1
    assert re.search(r"^  \[✗\] no worker .* → celery -A cio_tasks\.celery_app worker$", answer.out, re.MULTILINE)
    assert re.search(r"^  \[✗\] beat: .* → .*celery -A cio_tasks\.celery_app beat$", answer.out, re.MULTILINE)
    assert answer.out.splitlines()[-1] == "2 failures"


@pytest.mark.row("A1")
def test_a_warning_counts_only_when_strict(near: CommandLine) -> None:
    mock = {"CUSTOMERIO_API_KEY": ""}
    lenient = near("doctor", "--only", "config", "--json", **mock)
    strict = near("doctor", "--only", "config", "--json", "--strict", **mock)
    assert statuses(lenient)["config.mode"] == "warn"
    assert (lenient.code, lenient.json["ok"]) == (0, True)
    assert (strict.code, strict.json["ok"]) == (1, False)
    assert "[!] mock mode: CUSTOMERIO_API_KEY is not set" in near("doctor", "--only", "config", **mock).out


def test_nothing_set_is_told_part_by_part(cli: CommandLine) -> None:
    answer = cli("doctor", "--json", CUSTOMERIO_STATUS_URL="http://127.0.0.1:1")
    assert answer.code == 1
    failed = {id_ for id_, status in statuses(answer).items() if status == "fail"}
    assert failed == {"database.reachable", "redis.reachable"}


def test_settings_that_cannot_be_read_are_told_with_all_faults(cli: CommandLine) -> None:
    answer = cli("doctor", "--json", CIO_BATCH_SIZE="0", REDIS_URL="SECRETCANARY", CIO_STUCK_AFTER="1")
    assert (answer.code, answer.out) == (3, "")
    for name in ("CIO_BATCH_SIZE", "REDIS_URL", "CIO_STUCK_AFTER"):
        assert name in answer.fault["message"]
    assert_private(answer)


@pytest.mark.parametrize(
    ("trouble", "failed"),
    [
        ("database down", "database.reachable"),
        ("redis down", "redis.reachable"),
        ("credentials refused", "customerio.credentials"),
        ("another region", "customerio.credentials"),
        ("gate closed", "gate.auth"),
        ("worker killed", "celery.workers"),
    ],
)
def test_trouble_ends_a_process_with_one(
    near: CommandLine, fake: FakeCustomerIO, runtime: Runtime, trouble: str, failed: str
) -> None:
    environment = dict(near.environment)
    with nobody() as port:
        match trouble:
            case "database down":
                environment["DATABASE_URL"] = DATABASE.format(port)
            case "redis down":
                environment["REDIS_URL"] = REDIS.format(port)
            case "credentials refused":
                fake.rotate(site_id="another", api_key="another")
            case "another region":
                environment["CUSTOMERIO_REGION"] = "eu"
            case "gate closed":
                with runtime.sessions.begin() as session:
                    close(session, Reason.AUTH, wait=runtime.settings.stuck_after, note="http_401")
        answer = CommandLine(environment).process("doctor", "--json", "--timeout", "2")
    assert answer.code == 1
    assert statuses(answer)[failed] == "fail"
    assert_private(answer)


def test_when_all_hang_a_process_ends_in_time(near: CommandLine) -> None:
    with black_hole() as port:
        address = f"http://127.0.0.1:{port}"
        places = dict.fromkeys(("CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"), address)
        stores = {"DATABASE_URL": DATABASE.format(port), "REDIS_URL": REDIS.format(port)}
        began = time.monotonic()
        answer = CommandLine({**near.environment, **places, **stores}).process("doctor", "--json")
    assert time.monotonic() - began < 30, "3.5 s for the checks, the rest is the start of Python on a busy machine"
    failed = {id_ for id_, status in statuses(answer).items() if status == "fail"}
    assert failed == {"database.reachable", "redis.reachable", "customerio.credentials"}
    assert (answer.code, answer.err) == (1, "")
    assert_private(answer)


@pytest.mark.parametrize("names", ["config,redis", "config, REDIS", "settings,broker"])
def test_groups_are_named_with_commas(near: CommandLine, names: str) -> None:
    answer = near("doctor", "--only", names, "--json")
    assert {check["group"] for check in answer.json["checks"]} == {"config", "redis"}


def test_groups_may_be_named_one_by_one(near: CommandLine) -> None:
    answer = near("doctor", "--only", "webhook", "--only", "db", "--json")
    assert {check["group"] for check in answer.json["checks"]} == {"webhook", "database"}


@pytest.mark.parametrize(("name", "told"), [("dtabase", "did you mean 'database'?"), ("x", "one of config, database")])
def test_a_group_that_does_not_exist_is_refused(cli: CommandLine, name: str, told: str) -> None:
    answer = cli("doctor", "--only", name)
    assert (answer.code, told in answer.err) == (2, True)


def test_watching_goes_on_until_it_is_interrupted(near: CommandLine) -> None:
    with near.running("doctor", "--only", "config", "--json", "--watch", "0.5") as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert [report["ok"] for report in seen] == [True, True]


def webhook_on_terminal(cli: CommandLine, **environment: str) -> str:
    return on_terminal(cli, "doctor", "--only", "webhook", stream="stdout", **environment).text


def test_a_terminal_is_given_colour(cli: CommandLine) -> None:
    shown = webhook_on_terminal(cli)
    assert "\x1b[33m!" in shown
    assert "\x1b[32m✓" in shown


@pytest.mark.parametrize("how", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_turned_off(cli: CommandLine, how: dict[str, str]) -> None:
    assert "\x1b" not in webhook_on_terminal(cli, **how)


def test_what_is_piped_has_no_colour(cli: CommandLine) -> None:
    answer = CommandLine({"FORCE_COLOR": "1"}).process("doctor", "--only", "webhook")
    assert "[!] CUSTOMERIO_WEBHOOK_SECRET is not set" in answer.out
    assert "\x1b" not in answer.out


def test_a_terminal_without_such_characters_reads_words(cli: CommandLine) -> None:
    answer = CommandLine({"PYTHONIOENCODING": "ascii"}).process("doctor", "--only", "webhook,database")
    assert "[ok] webhooks signed" in answer.out
    assert "[FAIL] DATABASE_URL is not set" in answer.out


def test_a_reader_who_goes_away_is_no_error(near: CommandLine) -> None:
    with near.running("doctor", "--only", "config") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_help_loads_nothing_that_it_does_not_need(cli: CommandLine) -> None:
    script = (
        "import sys\nfrom cio_tasks.cli.tree import root\n"
        "try: root.main(['doctor', '-h'])\nexcept SystemExit: pass\n"
        "print(sorted({'celery', 'sqlalchemy', 'redis', 'requests', 'rich', 'alembic'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [CIOSYNC.replace("ciosync", "python"), "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_is_listed_first_among_what_diagnoses(cli: CommandLine) -> None:
    panel = cli("-h").out.split("Diagnose:")[1]
    assert panel.split()[0] == "doctor"


def test_a_closed_gate_is_told_with_who_and_why(near: CommandLine, runtime: Runtime) -> None:
    with runtime.sessions.begin() as session:
        close(session, Reason.OPERATOR, wait=None, note="a migration of ada@example.com", actor="cli:ops")
    told = near("doctor", "--only", "gate").out
    assert "[!] gate: closed by operator (cli:ops) for 0 s, until somebody opens it: a migration of a•••@ex" in told
