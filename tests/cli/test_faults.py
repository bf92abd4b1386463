import json

import pytest
import redis
import sqlalchemy.exc

from cio_tasks.cli.faults import Exit, fault_of
from cio_tasks.errors import CioTasksError, ConfigurationError, Conflict, NotFound, StateInUse
from tests.cli.conftest import CommandLine

UNREACHABLE = "postgresql://someone:SECRETCANARY@127.0.0.1:1/nowhere"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), Exit.CONFIGURATION),
        (NotFound("x"), Exit.NOT_FOUND),
        (Conflict("x"), Exit.REFUSED),
        (StateInUse("x"), Exit.TRY_AGAIN),
        (CioTasksError("x"), Exit.NO),
        (redis.ConnectionError("x"), Exit.TRY_AGAIN),
        (sqlalchemy.exc.OperationalError("x", {}, Exception()), Exit.TRY_AGAIN),
        (sqlalchemy.exc.TimeoutError("x"), Exit.TRY_AGAIN),
        (sqlalchemy.exc.ProgrammingError("x", {}, Exception()), Exit.CONFIGURATION),
        (PermissionError(13, "Permission denied"), Exit.TRY_AGAIN),
        (KeyError("x"), Exit.NO),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: Exit) -> None:
    assert fault_of(error).exit is code


def test_only_what_may_pass_is_retryable() -> None:
    assert fault_of(redis.ConnectionError()).retryable
    assert not fault_of(NotFound()).retryable


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.IntegrityError(
            "INSERT", {"email": "ada@example.com"}, Exception("Key (email)=(ada@example.com)")
        ),
        ValueError("ada@example.com"),
        ConfigurationError("ada@example.com and postgresql://me:hunter2@host/db"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_tells_an_address_or_a_password(error: Exception) -> None:
    told = str(fault_of(error))
    assert "ada@example.com" not in told
    assert "hunter2" not in told


def test_an_error_is_three_lines(cli: CommandLine) -> None:
    answer = cli("db", "check")
    assert answer.code == Exit.CONFIGURATION
    assert [line.split()[0] for line in answer.err.splitlines()] == ["error:", "cause:", "hint:"]
    assert not answer.out


def test_an_error_as_json_is_an_envelope_on_stderr(cli: CommandLine) -> None:
    answer = cli("db", "check", "--json")
    assert not answer.out
    assert json.loads(answer.err).keys() == {"error"}
    assert answer.fault.keys() == {"code", "message", "cause", "hint", "retryable", "requestId"}
    assert answer.fault["code"] == "config.invalid"


def test_a_wrong_argument_as_json_is_an_envelope_too(cli: CommandLine) -> None:
    answer = cli("config", "show", "--json", "--nonsense")
    assert (answer.code, answer.fault["code"]) == (Exit.USAGE, "usage")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["investigate", "u1", "--limit", "0"], "invalid value for '--limit': 0 must be from 1 to 10000"),
        (["network", "--count", "x"], "invalid value for '--count': 'x' is not a whole number"),
        (["network", "--timeout", "x"], "invalid value for '--timeout': 'x' is not a number"),
        (["webhook", "listen", "--count", "0"], "invalid value for '--count': 0 must be at least 1"),
        (["investigate", "a", "b"], "there is no place for b"),
        (["investigate", "u1", "--id", "--email"], "--id and --email contradict each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_told_in_plain_words(cli: CommandLine, arguments: list[str], told: str) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.err.splitlines()[0]) == (Exit.USAGE, f"error: {told}")


def test_a_database_that_is_away_is_worth_another_try_and_its_password_is_not_told(cli: CommandLine) -> None:
    answer = cli("db", "check", "--json", DATABASE_URL=UNREACHABLE)
    assert answer.code == Exit.TRY_AGAIN
    assert answer.fault["retryable"]
    assert "SECRETCANARY" not in answer.err


@pytest.mark.parametrize("is_asked", [True, False])
def test_where_an_error_came_from_is_shown_only_on_request(cli: CommandLine, is_asked: bool) -> None:
    answer = cli("db", "check", *(["--debug"] if is_asked else []), DATABASE_URL=UNREACHABLE)
    assert ("Traceback" in answer.err) is is_asked
    assert "SECRETCANARY" not in answer.err


def test_a_real_process_ends_with_the_same_code(cli: CommandLine) -> None:
    answer = cli.process("db", "check")
    assert (answer.code, answer.err.splitlines()[0]) == (Exit.CONFIGURATION, "error: DATABASE_URL is not set")
