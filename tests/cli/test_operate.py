"""Operating from the command line: counts, failures, retries, jobs and the gate."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry, DeadLetter, SyncJob
from cio_tasks.settings import Settings
from cio_tasks.states import Phase
from tests.cli.conftest import CommandLine
from tests.conftest import API_KEY, SITE_ID
from tests.factories import Factory
from tests.integration.buried import bury


@pytest.fixture
def ciosync(settings: Settings, fake: FakeCustomerIO) -> CommandLine:
    """Return `ciosync` with database, broker and a Customer.io."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    return CommandLine(
        {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "CUSTOMERIO_SITE_ID": SITE_ID,
            "CUSTOMERIO_API_KEY": API_KEY,
            "CUSTOMERIO_TRACK_URL": fake.url,
        }
    )


@pytest.fixture
def failed(make: Factory) -> list[SyncJob]:
    """Three failed jobs, those with the most retries first."""
    kinds = {"network": 5, "rate_limit": 4, "other": 0}
    return [
        bury(make, make.signup(f"{kind}@example.com"), error_type=kind, attempt_count=count)
        for kind, count in kinds.items()
    ]


def statuses(make: Factory) -> list[str]:
    return sorted(job.status for job in make.all(SyncJob))


# --- looking ----------------------------------------------------------------------------------------------------------


def test_stats_have_the_shape_of_the_api(ciosync: CommandLine, make: Factory, failed: list[SyncJob]) -> None:
    make.signup()
    counted = ciosync("stats", "--json").json
    assert counted.pop("oldestDueSeconds") >= 0
    assert counted == {
        "pending": 1,
        "processing": 0,
        "completed": 0,
        "failed": 3,
        "stuck": 0,
        "deadLetters": 3,
        "byPhase": {
            "initial": {"pending": 1, "processing": 0, "completed": 0, "failed": 3},
            "enriched": {"pending": 0, "processing": 0, "completed": 0, "failed": 0},
        },
        "gate": {"open": True, "reasons": []},
    }


def test_stats_are_a_table_for_people(ciosync: CommandLine, failed: list[SyncJob]) -> None:
    assert "dead letters 3" in ciosync("stats").out


def test_failures_are_masked_until_revealed(ciosync: CommandLine, failed: list[SyncJob]) -> None:
    masked, revealed = ciosync("failures", "list"), ciosync("failures", "list", "--reveal")
    assert "n•••@ex•••.com" in masked.out
    assert not {"Lovelace", "network@example.com"} & set(masked.out.split())
    assert "network@example.com" in revealed.out


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ([], ["network", "rate_limit", "other"]),
        (["--filter", "errorType=other"], ["other"]),
        (["--filter", "syncPhase=enriched"], []),
        (["--filter", "syncPhase=initial,errorType=network"], ["network"]),
        (["--search", "RATE_"], ["rate_limit"]),
        (["--search", "%"], []),
        (["--limit", "1", "--offset", "1"], ["rate_limit"]),
    ],
)
def test_failures_can_be_chosen(
    options: list[str], kinds: list[str], ciosync: CommandLine, failed: list[SyncJob]
) -> None:
    answer = ciosync("failures", "list", *options, "--json")
    assert [failure["errorType"] for failure in answer.json["failures"]] == kinds


def test_groups_have_one_line_for_a_cause(ciosync: CommandLine, make: Factory) -> None:
    for n in range(3):
        bury(make, make.signup(), error_message=f"no answer from host{n} after {n}1 s")
    (group,) = ciosync("failures", "groups", "--json").json["groups"]
    assert (group["total"], group["lastHour"], group["errorType"], group["httpStatus"]) == (3, 3, "server_error", 503)
    assert "#" in group["message"]


@pytest.mark.parametrize("by", ["id", "signup_id"])
def test_a_failure_is_shown_by_its_own_id_or_its_signups(by: str, ciosync: CommandLine, failed: list[SyncJob]) -> None:
    answer = ciosync("failures", "show", str(getattr(failed[0], by)), "--json")
    assert (answer.json["id"], len(answer.json["deadLetters"])) == (str(failed[0].id), 1)


def test_jobs_are_listed_page_by_page(ciosync: CommandLine, make: Factory) -> None:
    jobs = [make.job(make.signup()) for _ in range(3)]
    first = ciosync("jobs", "list", "--limit", "2", "--json").json
    second = ciosync("jobs", "list", "--limit", "2", "--cursor", first["nextCursor"], "--json").json
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == [str(job.id) for job in reversed(jobs)]
    assert second["nextCursor"] is None


@pytest.mark.parametrize(
    "command",
    [
        ["failures", "list"],
        ["failures", "groups"],
        ["jobs", "list"],
        ["failures", "export"],
        ["gate", "show"],
        ["stats"],
    ],
)
def test_nothing_is_an_answer_too(command: list[str], ciosync: CommandLine) -> None:
    assert ciosync(*command).code == 0


# --- export -----------------------------------------------------------------------------------------------------------


def test_an_export_holds_no_formula(ciosync: CommandLine, make: Factory) -> None:
    bury(make, make.signup(first_name="=cmd|' /C calc'!A0", last_name="@SUM(1)"), error_message="+1")
    text = ciosync("failures", "export", "--reveal").out
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["firstName"], row["lastName"], row["errorMessage"]) == ("'=cmd|' /C calc'!A0", "'@SUM(1)", "'+1")


def test_an_export_as_lines_has_one_failure_a_line(ciosync: CommandLine, failed: list[SyncJob]) -> None:
    lines = ciosync("failures", "export", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(job.id) for job in failed]


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_chosen_failure_runs_again_and_the_audit_names_who_asked(
    ciosync: CommandLine, failed: list[SyncJob], make: Factory
) -> None:
    answer = ciosync("failures", "retry", str(failed[0].signup_id), "--json")
    assert answer.json == {"matched": 1, "retried": 1, "skipped": 0, "dryRun": False}
    assert statuses(make) == ["failed", "failed", "pending"]
    assert {entry.actor[:4] for entry in make.all(AuditEntry, action="manual_retry")} == {"cli:"}
    assert make.all(DeadLetter, job_id=failed[0].id)[0].resolution == "manual_retry"


def test_many_need_a_yes(ciosync: CommandLine, failed: list[SyncJob], make: Factory) -> None:
    answer = ciosync("failures", "retry", "--filter", "syncPhase=initial")
    assert (answer.code, "--yes" in answer.err) == (2, True)
    assert statuses(make) == ["failed"] * 3
    done = ciosync("failures", "retry", "--filter", "syncPhase=initial", "--yes", "--json")
    assert done.json["retried"] == 3


def test_a_dry_run_counts_and_changes_nothing(ciosync: CommandLine, failed: list[SyncJob], make: Factory) -> None:
    answer = ciosync("failures", "retry", "--all", "--dry-run", "--json")
    assert answer.json == {"matched": 3, "retried": 0, "skipped": 0, "dryRun": True}
    assert statuses(make) == ["failed"] * 3
    assert make.all(AuditEntry, action="bulk_retry") == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["failures", "retry"], 2),
        (["failures", "retry", "x"], 2),
        (["failures", "retry", str(uuid4())], 7),
        (["failures", "retry", "--filter", "phase=initial"], 2),
        (["failures", "retry", "--filter", "syncPhase=both"], 2),
        (["failures", "retry", "--filter", "syncPhase=initial,syncPhase=enriched"], 2),
        (["failures", "retry", "--filter", "syncPhase"], 2),
        (["failures", "retry", "--search", " "], 2),
        (["failures", "list", "--limit", "0"], 2),
        (["failures", "list", "--limit", "1e3"], 2),
        (["failures", "show", str(uuid4())], 7),
        (["jobs", "show", str(uuid4())], 7),
        (["jobs", "list", "--cursor", "x"], 2),
        (["jobs", "list", "--status", "retrying"], 2),
        (["jobs", "process", "--limit", "0"], 2),
        (["gate", "close"], 2),
        (["gate", "close", "--reason", " "], 2),
        (["gate", "close", "--reason", "x", "--seconds", "-1"], 2),
        (["gate", "open", "--reason", "weather"], 2),
        (["stats", "--watch", "0"], 2),
    ],
)
def test_bad_input_is_told_and_changes_nothing(
    arguments: list[str], code: int, ciosync: CommandLine, failed: list[SyncJob], make: Factory
) -> None:
    answer = ciosync(*arguments)
    assert answer.code == code, answer.err
    assert answer.err.startswith("error: ")
    assert statuses(make) == ["failed"] * 3


# --- jobs and the gate ------------------------------------------------------------------------------------------------


def test_due_jobs_are_delivered_without_broker_and_worker(ciosync: CommandLine, make: Factory) -> None:
    for _ in range(3):
        make.signup()
    assert ciosync("jobs", "process", "--dry-run", "--json").json == {"due": 3, "dryRun": True}
    answer = ciosync("jobs", "process", "--limit", "2", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert answer.json == {
        "processed": 2,
        "succeeded": 2,
        "failed": 0,
        "retrying": 0,
        "deferred": 0,
        "mock": False,
    }


def test_a_mocked_delivery_says_so(stored_cli: CommandLine, make: Factory) -> None:
    make.signup()
    answer = stored_cli("jobs", "process")
    assert (answer.code, "mock mode" in answer.err) == (0, True)


def test_a_closed_gate_is_a_reason_to_try_again(ciosync: CommandLine, make: Factory) -> None:
    make.signup()
    ciosync("gate", "close", "--reason", "a migration")
    answer = ciosync("jobs", "process")
    assert (answer.code, "a migration" in answer.err) == (6, True)
    assert ciosync("gate", "open", "--json").json == {"open": True, "reasons": []}
    assert ciosync("jobs", "process", "--json").json["succeeded"] == 1


def test_the_gate_is_closed_for_a_time(ciosync: CommandLine) -> None:
    (reason,) = ciosync("gate", "close", "--reason", "night", "--seconds", "60", "--json").json["reasons"]
    assert (reason["reason"], reason["note"], reason["actor"][:4]) == ("operator", "night", "cli:")
    assert reason["closedUntil"] is not None


def test_jobs_of_one_status_and_phase_are_listed(ciosync: CommandLine, make: Factory, failed: list[SyncJob]) -> None:
    make.signup()
    listed = ciosync("jobs", "list", "--status", "pending", "--phase", "initial", "--json").json["jobs"]
    assert [job["status"] for job in listed] == ["pending"]


def test_one_reason_is_opened_and_others_stay_closed(ciosync: CommandLine) -> None:
    ciosync("gate", "close", "--reason", "night")
    assert ciosync("gate", "open", "--reason", "auth", "--json").json["open"] is False


@pytest.mark.parametrize("command", [["close", "--reason", "x"], ["open"]])
def test_a_dry_run_leaves_the_gate_as_it_is(command: list[str], ciosync: CommandLine) -> None:
    before: Any = ciosync("gate", "show", "--json").json
    assert ciosync("gate", *command, "--dry-run", "--json").json == before


def test_stuck_jobs_are_taken_back(ciosync: CommandLine, make: Factory) -> None:
    make.signup()
    assert ciosync("jobs", "cleanup", "--dry-run", "--json").json == {"stuck": 0, "dryRun": True}
    assert ciosync("jobs", "cleanup", "--json").json == {"resetCount": 0}


@pytest.mark.parametrize("command", [["stats"], ["failures", "list"], ["gate", "show"], ["jobs", "process"]])
def test_a_database_that_is_away_is_a_reason_to_try_again(command: list[str], cli: CommandLine) -> None:
    answer = cli(*command, DATABASE_URL="postgresql://u:SECRETCANARY@127.0.0.1:1/x", REDIS_URL="redis://127.0.0.1:1")
    assert (answer.code, len(answer.err.splitlines()[-3:])) == (6, 3)
    assert "SECRETCANARY" not in answer.out + answer.err


def test_without_a_database_the_configuration_is_at_fault(cli: CommandLine) -> None:
    assert cli("stats").code == 3


def test_a_job_is_shown_as_a_ladder(ciosync: CommandLine, make: Factory) -> None:
    signup = make.signup("bob+400@example.com")
    ciosync("jobs", "process")
    shown = ciosync("jobs", "show", str(make.job(signup, Phase.INITIAL).id)).out
    assert [word for word in ("try 1", "rejected", "customerio_sync_failed", "unresolved") if word not in shown] == []
