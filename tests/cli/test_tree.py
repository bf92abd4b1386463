import subprocess
import sys

import click
import pytest

from cio_tasks.cli.tree import COMMANDS, root
from tests.cli.conftest import CommandLine

PANELS = ["Run", "Diagnose", "Operate", "Develop"]


def every_command() -> list[list[str]]:
    """Return the path of every command and group."""
    paths: list[list[str]] = []

    def walk(command: click.Command, path: list[str]) -> None:
        paths.append(path)
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                assert found is not None
                walk(found, [*path, name])

    walk(root, [])
    return paths


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_the_commands_by_panel(cli: CommandLine, flag: str) -> None:
    answer = cli(flag)
    assert answer.code == 0
    places = [answer.out.index(f"{panel}:") for panel in PANELS]
    assert places == sorted(places)
    assert all(entry.name in answer.out for entry in COMMANDS)


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help_with_examples(cli: CommandLine, path: list[str]) -> None:
    answer = cli(*path, "-h")
    assert answer.code == 0
    assert "Examples:" in answer.out
    assert answer.out.partition("Examples:")[2].count("ciosync ") >= 2
    assert not answer.err


def test_nothing_heavy_is_loaded_for_help_and_version() -> None:
    program = (
        "import sys; from cio_tasks.cli.tree import root\n"
        "try: root.main([sys.argv[1]])\n"
        "finally: print([name for name in ('celery', 'sqlalchemy', 'redis') if name in sys.modules])"
    )
    for arguments in ("version", "-h"):
        done = subprocess.run([sys.executable, "-c", program, arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_told_as_text_and_as_json(cli: CommandLine) -> None:
    assert cli("version").out.startswith("version")
    assert cli("version", "--json").json.keys() == {"version", "python", "platform"}


@pytest.mark.parametrize(
    ("arguments", "meant"), [(["sigups"], "signups"), (["db", "upgrad"], "upgrade"), (["fake", "server"], "serve")]
)
def test_a_misspelt_command_is_guessed(cli: CommandLine, arguments: list[str], meant: str) -> None:
    answer = cli(*arguments)
    assert answer.code == 2
    assert f"Did you mean '{meant}'?" in answer.err


def test_a_misspelt_option_is_guessed(cli: CommandLine) -> None:
    answer = cli("config", "show", "--orign")
    assert answer.code == 2
    assert "--origin" in answer.err


def test_without_a_command_help_goes_to_stderr(cli: CommandLine) -> None:
    answer = cli()
    assert (answer.code, answer.out) == (2, "")
    assert "Usage: " in answer.err


def test_json_may_stand_before_the_command(cli: CommandLine) -> None:
    assert cli("--json", "version").json["version"]
