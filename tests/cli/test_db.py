from collections.abc import Iterator
from uuid import uuid4

import pytest

from cio_tasks.embedded import create_database, drop_database
from cio_tasks.schema import newest_version
from tests.cli.conftest import CommandLine
from tests.conftest import Server


@pytest.fixture
def empty_cli(postgres: Server) -> Iterator[CommandLine]:
    name = f"empty_{uuid4().hex}"
    yield CommandLine({"DATABASE_URL": create_database(postgres.url, name)})
    drop_database(postgres.url, name)


def test_an_empty_database_is_behind(empty_cli: CommandLine) -> None:
    answer = empty_cli("db", "check", "--json")
    assert answer.code == 1
    assert answer.json == {"current": None, "newest": newest_version(), "ok": False}


def test_upgrade_reaches_the_newest_version_and_again_changes_nothing(empty_cli: CommandLine) -> None:
    first = empty_cli("db", "upgrade", "--json")
    assert (first.code, first.json["before"], first.json["current"]) == (0, None, newest_version())
    assert empty_cli("db", "upgrade", "--json").json["before"] == newest_version()
    assert empty_cli("db", "check").code == 0


def test_a_dry_run_upgrades_nothing(empty_cli: CommandLine) -> None:
    assert empty_cli("db", "upgrade", "--dry-run").code == 0
    assert empty_cli("db", "current", "--json").json == {"current": None}


def test_current_tells_the_version(stored_cli: CommandLine) -> None:
    assert stored_cli("db", "current", "--json").json == {"current": newest_version()}


def test_check_tells_people_what_to_do(empty_cli: CommandLine) -> None:
    assert "ciosync db upgrade" in empty_cli("db", "check").err


def test_tables_that_are_missing_are_a_matter_of_configuration(empty_cli: CommandLine) -> None:
    answer = empty_cli("signups", "submit", "-", stdin='{"externalId":"a"}\n')
    assert answer.code == 1
    line = '{"externalId":"a","operatorId":"o","customer":{"email":"a@example.com","firstName":"A","lastName":"B"}}'
    answer = empty_cli("signups", "submit", "-", stdin=line)
    assert answer.code == 3
    assert "ciosync db upgrade" in answer.err
