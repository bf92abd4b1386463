"""The tree of commands: their names and panels are listed here, their modules are loaded when they are called."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, Never

import click

from cio_tasks.cli.faults import end
from cio_tasks.cli.output import answers, examples, keep_streams_quiet
from cio_tasks.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: its panel in the help, and the line that says what it does."""

    name: str
    panel: str
    does: str


COMMANDS: Final = (
    Entry("demo", "Run", "everything on this machine, with 1,000 sample signups"),
    Entry("dev", "Run", "the same processes with your .env, restarted when the code changes"),
    Entry("db", "Run", "the schema of the database: upgrade, current, check"),
    Entry("doctor", "Diagnose", "every part looked at, and what to do about each problem"),
    Entry("config", "Diagnose", "the settings in force and where each came from"),
    Entry("network", "Diagnose", "name, connection, certificate, answer and times on the way to Customer.io"),
    Entry("debug", "Diagnose", "one real call, shown whole: identify, track, auth; and one campaign"),
    Entry("investigate", "Diagnose", "why one person does not get what they should, asked on both sides"),
    Entry("webhook", "Diagnose", "webhooks checked, signed, received and sent: verify, sign, listen, send"),
    Entry("incident", "Diagnose", "how bad it is and why, its runbook, a note, a report"),
    Entry("version", "Diagnose", "the versions of ciosync and Python"),
    Entry("failures", "Operate", "what failed for good: list, groups, show, retry, export"),
    Entry("jobs", "Operate", "jobs and their history; deliver due ones, take stuck ones back"),
    Entry("gate", "Operate", "whether deliveries may run: show, close, open"),
    Entry("stats", "Operate", "how many jobs stand where"),
    Entry("signups", "Operate", "submit signups from a file"),
    Entry("backfill", "Operate", "enqueue what signups owe that were stored without a job"),
    Entry("fake", "Develop", "a stand-in Customer.io on this machine"),
)
"""In the order of the help. The module `cio_tasks.cli.<name>` has the click command `<name>`."""


class Tree(click.Group):
    """A group that suggests the nearest name for one it does not know."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, and the rest of them."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


class Root(Tree):
    """The whole command line: commands by panel, loaded when needed, and every error made into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Load and return a command, or None when there is none of this name."""
        if cmd_name not in {entry.name for entry in COMMANDS}:
            return None
        try:
            command: click.Command = getattr(import_module(f"cio_tasks.cli.{cmd_name}"), cmd_name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in {"cio_tasks", "api"}:
                raise
            raise ConfigurationError(
                f"the package {error.name!r} is not installed", hint="pip install 'ciosync[local]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the commands, panel by panel."""
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS):
            with formatter.section(panel):
                formatter.write_dl([(entry.name, entry.does) for entry in COMMANDS if entry.panel == panel])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Never:
        """Run a command line, by default this process's, and exit with its code."""
        given = sys.argv[1:] if args is None else [*args]
        options = given[: given.index("--")] if "--" in given else given
        try:
            keep_streams_quiet()
            code = super().main(given, *rest, **{**extra, "standalone_mode": False})
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - the one place where an error becomes an exit code
            end(error, as_json="--json" in options, debug="--debug" in options)
        sys.exit(code if isinstance(code, int) else 0)


@click.command(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("ciosync demo", "ciosync db upgrade", "ciosync signups submit signups.jsonl"),
)
@answers
def root() -> None:
    """Keep Customer.io true: every signup reaches it, in two phases, whatever breaks.

    Results go to stdout, all else to stderr. Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 configuration, 4 refused
    (401, 403), 5 refused for good, 6 try again, 7 not found, 130 interrupted.
    """
