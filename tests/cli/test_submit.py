"""`ciosync signups submit`: from a file into the database."""

import json
import signal
from collections.abc import Callable

import pytest
import redis
from sqlalchemy import Engine

from cio_tasks.celeryconfig import QUEUE
from cio_tasks.cli import signups
from cio_tasks.intake import batches
from cio_tasks.models import Customer, Signup, SyncJob
from cio_tasks.states import Phase
from tests.cli.conftest import CommandLine
from tests.cli.lines import HEADER, SLIP, line, row
from tests.eventually import eventually
from tests.factories import Factory

Write = Callable[..., str]

COUNTS = ("lines", "submitted", "existing", "confirmed", "unchanged", "invalid")


def counts(result: dict[str, int]) -> tuple[int, ...]:
    return tuple(result[name] for name in COUNTS)


def test_the_good_lines_go_in_and_the_bad_ones_are_named(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(line(1), line(2, email="nobody"), line(3, extraction=SLIP), "{")
    answer = stored_cli("signups", "submit", path, "--json")
    assert answer.code == 1
    assert counts(answer.json) == (4, 2, 0, 1, 0, 2)
    assert answer.json["errors"] == [
        {"line": 2, "field": "customer.email", "message": "must be an e-mail address"},
        {"line": 4, "field": "line", "message": "is not JSON"},
    ]
    assert answer.err.splitlines() == [
        "line 2: customer.email: must be an e-mail address",
        "line 4: line: is not JSON",
    ]
    assert len(make.all(Signup)) == 2
    assert {job.sync_phase for job in make.all(SyncJob)} == {Phase.INITIAL, Phase.ENRICHED}


def test_a_file_of_good_lines_ends_well_and_is_told_as_a_table(stored_cli: CommandLine, write: Write) -> None:
    answer = stored_cli("signups", "submit", write(line(1), line(2)))
    assert (answer.code, answer.err) == (0, "")
    assert [text.split() for text in answer.out.splitlines()][:2] == [["lines", "2"], ["submitted", "2"]]


def test_a_second_run_changes_nothing(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(line(1), line(2, extraction=SLIP))
    stored_cli("signups", "submit", path)
    before = make.all(SyncJob)
    answer = stored_cli("signups", "submit", path, "--json")
    assert answer.code == 0
    assert counts(answer.json) == (2, 0, 2, 0, 1, 0)
    assert [job.updated_at for job in make.all(SyncJob)] == [job.updated_at for job in before]


def test_a_second_run_does_not_start_a_failed_job_anew(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(line(1, extraction=SLIP))
    stored_cli("signups", "submit", path)
    [enriched] = make.all(SyncJob, sync_phase=Phase.ENRICHED)
    make.set(enriched.id, attempt_count=3)
    stored_cli("signups", "submit", path)
    assert make.all(SyncJob, sync_phase=Phase.ENRICHED)[0].attempt_count == 3


def test_a_run_that_stopped_before_its_confirmations_makes_up_for_them(
    stored_cli: CommandLine, write: Write, make: Factory
) -> None:
    stored_cli("signups", "submit", write(line(1)))
    answer = stored_cli("signups", "submit", write(line(1, extraction=SLIP)), "--json")
    assert counts(answer.json) == (1, 0, 1, 1, 0, 0)
    assert make.all(Signup)[0].team_bet_on == "Rovers"


def test_a_line_that_is_there_twice_submits_once_and_may_correct_its_bet_slip(
    stored_cli: CommandLine, write: Write, make: Factory
) -> None:
    path = write(line(1, extraction=SLIP), line(1, extraction=SLIP | {"betAmount": 30}))
    answer = stored_cli("signups", "submit", path, "--json")
    assert counts(answer.json) == (2, 1, 1, 2, 0, 0)
    assert (make.all(Signup)[0].extraction_version, make.all(Signup)[0].bet_amount) == (2, 30)


def test_a_customer_may_have_many_lines_of_one_batch(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(*(line(number, email="Ada@example.com" if number % 2 else "ada@EXAMPLE.com") for number in range(9)))
    assert stored_cli("signups", "submit", path).code == 0
    assert (len(make.all(Customer)), len(make.all(Signup))) == (1, 9)


def test_more_lines_than_a_batch_are_all_taken(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    number = 2 * batches.BATCH + 1
    answer = stored_cli("signups", "submit", write(*(line(each) for each in range(number))), "--json")
    assert answer.json["submitted"] == len(make.all(Signup)) == number


def test_the_limit_is_kept(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(*(line(number) for number in range(5)))
    assert stored_cli("signups", "submit", path, "--limit", "3", "--json").json["lines"] == 3
    assert len(make.all(Signup)) == 3


def test_a_dry_run_checks_and_needs_no_database(cli: CommandLine, write: Write) -> None:
    answer = cli("signups", "submit", write(line(1), line(2, operatorId="")), "--dry-run", "--json")
    assert answer.code == 1
    assert counts(answer.json) == (2, 0, 0, 0, 0, 1)
    assert answer.json["dryRun"] is True


def test_a_value_at_fault_is_never_told(cli: CommandLine, write: Write) -> None:
    secret = "SECRETCANARY"
    bad = line(1, email=secret, submittedAt=secret, extraction=SLIP | {"betAmount": secret, "odds": secret * 2})
    answer = cli(
        "signups", "submit", write(bad, {**line(2), secret + " x": 1}, secret), "--dry-run", "--format", "jsonl"
    )
    assert answer.code == 1
    assert secret not in answer.out + answer.err


def test_an_external_id_is_needed_in_a_file(cli: CommandLine, write: Write) -> None:
    without = line(1)
    del without["externalId"]
    assert "line 1: externalId: is missing" in cli("signups", "submit", write(without), "--dry-run").err


def test_the_result_keeps_the_first_faults_and_counts_the_others(cli: CommandLine, write: Write) -> None:
    more = signups.KEPT_FAULTS + 7
    answer = cli("signups", "submit", write(*["{"] * more), "--dry-run", "--json")
    assert (len(answer.json["errors"]), answer.json["errorsLeftOut"]) == (signups.KEPT_FAULTS, 7)
    assert len(answer.err.splitlines()) == more


def test_an_empty_file_is_no_fault(cli: CommandLine, write: Write) -> None:
    assert cli("signups", "submit", write(), "--dry-run").code == 0


def test_a_last_line_that_is_cut_off_is_told_as_such(cli: CommandLine) -> None:
    text = json.dumps(line(1)) + "\n" + json.dumps(line(2))[:40]
    assert "line 2: line: is cut off" in cli("signups", "submit", "-", "--dry-run", stdin=text).err


def test_a_last_line_needs_no_end(cli: CommandLine) -> None:
    assert cli("signups", "submit", "-", "--dry-run", stdin=json.dumps(line(1))).code == 0


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_is_known_by_its_name_or_its_content(cli: CommandLine, write: Write) -> None:
    assert cli("signups", "submit", write(HEADER, row(1), name="a.csv"), "--dry-run").code == 0
    assert cli("signups", "submit", write(HEADER, row(1), name="a.txt"), "--dry-run").code == 0
    assert cli("signups", "submit", write(line(1), name="b.txt"), "--dry-run").code == 0


def test_csv_says_the_same_as_json_lines(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    slip = {name: str(value) for name, value in SLIP.items()}
    path = write(HEADER, row(1, phone="+1 555 0100", **slip), row(2, submittedAt="2026-01-31T12:00:00Z"), name="a.csv")
    answer = stored_cli("signups", "submit", path, "--json")
    assert counts(answer.json) == (2, 2, 0, 1, 0, 0)
    first, second = make.all(Signup)
    assert (first.external_id, float(first.bet_amount), first.odds, first.confidence) == ("ext-1", 25.5, "+150", 0.9)
    assert second.submitted_at.year == 2026
    assert [customer.phone for customer in make.all(Customer)] == ["+1 555 0100", None]


def test_a_spreadsheets_csv_is_read(stored_cli: CommandLine, make: Factory) -> None:
    text = 'externalId;email;firstName;lastName;operatorId\r\nx;ada@example.com;"Ada; ""Countess""";Lovelace;op\r\n'
    answer = stored_cli("signups", "submit", "-", stdin=b"\xef\xbb\xbf" + text.encode())
    assert answer.code == 0
    assert make.all(Customer)[0].first_name == 'Ada; "Countess"'


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (row(1, email="nobody"), "line 2: email: must be an e-mail address"),
        (row(1, betAmount="NaN", teamBetOn="R", odds="2", confidence="1"), "line 2: betAmount: must be a number"),
        (row(1, betAmount="5"), "line 2: confidence: is missing"),
        (row(1, betAmount="1_000", teamBetOn="R", odds="2", confidence="1"), "line 2: betAmount: must be a number"),
        (row(1) + ",more", "line 2: line: has 12 cells, the header has 11"),
        ('x,"not closed', "line 2: line: is not CSV: look at its quotes"),
    ],
)
def test_a_bad_row_is_named_by_its_column(cli: CommandLine, write: Write, bad: str, told: str) -> None:
    answer = cli("signups", "submit", write(HEADER, bad, row(3), name="a.csv"), "--dry-run", "--json")
    assert told in answer.err.splitlines()
    assert answer.json["invalid"] == 1


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER.replace("email", "ada@example.com"), "column 2 of the header"),
        (HEADER.replace("phone", "email"), "column 5 of the header"),
        ("externalId,email,firstName,lastName", "the header lacks operatorId"),
    ],
)
def test_a_wrong_header_is_told_without_repeating_it(cli: CommandLine, write: Write, header: str, told: str) -> None:
    answer = cli("signups", "submit", write(header, row(1), name="a.csv"), "--dry-run")
    assert answer.code == 2
    assert told in answer.err
    assert "ada@example.com" not in answer.err


# --- when things go wrong ---------------------------------------------------------------------------------------------


def test_a_database_that_is_away_asks_for_another_run(cli: CommandLine, write: Write) -> None:
    url = "postgresql://someone:SECRETCANARY@127.0.0.1:1/nowhere"
    answer = cli("signups", "submit", write(line(1)), "--json", DATABASE_URL=url)
    assert answer.code == 6
    assert (answer.json["lines"], answer.json["complete"]) == (0, False)
    assert answer.fault["retryable"]
    assert "after 0 lines" in answer.fault["cause"]
    assert "again" in answer.fault["hint"]
    assert "SECRETCANARY" not in answer.err


@pytest.fixture
def refuse(engine: Engine) -> Callable[[str], None]:
    """Return what makes the database refuse some rows of signups."""

    def add_check(condition: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE signups ADD CONSTRAINT luck CHECK ({condition})")

    return add_check


def test_a_line_that_the_database_refuses_takes_no_other_with_it(
    stored_cli: CommandLine, write: Write, make: Factory, refuse: Callable[[str], None]
) -> None:
    refuse("external_id <> 'ext-1'")
    answer = stored_cli("signups", "submit", write(*(line(number, extraction=SLIP) for number in range(3))), "--json")
    assert answer.code == 1
    assert counts(answer.json) == (3, 2, 0, 2, 0, 1)
    assert answer.json["errors"] == [{"line": 2, "field": "line", "message": "was refused by the database"}]
    assert sorted(signup.external_id for signup in make.all(Signup)) == ["ext-0", "ext-2"]


def test_a_bet_slip_that_the_database_refuses_takes_no_other_with_it(
    stored_cli: CommandLine, write: Write, refuse: Callable[[str], None]
) -> None:
    refuse("bet_amount <> 13")
    path = write(line(1, extraction=SLIP), line(2, extraction=SLIP | {"betAmount": 13}))
    answer = stored_cli("signups", "submit", path, "--json")
    assert counts(answer.json) == (2, 2, 0, 1, 0, 1)


def test_two_addresses_that_only_the_database_takes_for_one_go_in(
    stored_cli: CommandLine, write: Write, make: Factory
) -> None:
    answer = stored_cli("signups", "submit", write(line(1, email="É@example.com"), line(2, email="é@example.com")))
    assert answer.code == 0
    assert len(make.all(Signup)) == 2


def test_redis_is_told_and_not_needed(database_url: str, redis_url: str, write: Write) -> None:
    away = "redis://127.0.0.1:1/0"
    for address in (redis_url, away):
        cli = CommandLine({"DATABASE_URL": database_url, "REDIS_URL": address})
        assert cli.process("signups", "submit", write(line(1 if address == away else 2))).code == 0
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(QUEUE) == 1


def test_a_file_that_does_not_exist_is_a_matter_of_usage(cli: CommandLine) -> None:
    assert cli("signups", "submit", "missing.jsonl").code == 2


def test_ctrl_c_finishes_the_batch_and_says_how_to_go_on(stored_cli: CommandLine, write: Write, make: Factory) -> None:
    path = write(*(line(number) for number in range(5_000)))
    with stored_cli.running("signups", "submit", path, "--json") as process:
        eventually(lambda: make.all(Signup))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    result = json.loads(out)
    assert process.returncode == 130
    assert (result["complete"], result["submitted"]) == (False, len(make.all(Signup)))
    assert result["submitted"] % batches.BATCH == 0
    assert "Traceback" not in err


def test_ctrl_c_while_waiting_for_input_ends_at_once(cli: CommandLine) -> None:
    with cli.running("signups", "submit", "-", "--dry-run", "--format", "jsonl") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("{\n" * batches.BATCH)
        process.stdin.flush()
        assert [process.stderr.readline() for _ in range(batches.BATCH)][-1].startswith(f"line {batches.BATCH}:")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "run the same command again" in process.stderr.read()


def test_a_reader_that_goes_away_is_no_error(cli: CommandLine, write: Write) -> None:
    with cli.running("signups", "submit", write(line(1), "{"), "--dry-run") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "line 2: line: is not JSON\n"


@pytest.mark.parametrize("array", ["[{}]", "[\n  {},\n  {}\n]", "  []"])
def test_a_json_array_is_refused_whole(stored_cli: CommandLine, write: Write, make: Factory, array: str) -> None:
    answer = stored_cli("signups", "submit", write(array))
    assert answer.code == 2
    assert "jq -c '.[]'" in answer.err
    assert make.all(Signup) == []
