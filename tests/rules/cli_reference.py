"""`python -m tests.rules.cli_reference`: writes docs/reference/cli.md from the commands themselves."""

from collections.abc import Iterator

import click

from cio_tasks.cli.faults import Exit
from cio_tasks.cli.tree import COMMANDS, root
from tests.rules import tree

PAGE = tree.ROOT / "docs" / "reference" / "cli.md"
PREFACE = """\
# Command line

Every command as `ciosync <command> -h` describes it; a test compares this page with the commands, and
`python -m tests.rules.cli_reference` writes it anew.

- The result goes to stdout, progress, notes and errors to stderr. `--json` prints one object instead of text.
- An error is three lines, `error:`, `cause:`, `hint:`; with `--json` one object on stderr. `--debug` adds where it was
  raised.
- Secrets are never arguments and never shown; names and addresses are masked unless `--reveal`.
- Settings come from the environment, in development also from `.env` in the working directory.

| exit code | meaning |
|---|---|
{codes}
"""
MEANINGS = {
    Exit.OK: "done, also when there was nothing to do",
    Exit.NO: "it ran, and the answer is no: a check failed, a signature is wrong",
    Exit.USAGE: "an option or argument is wrong, or a yes is missing",
    Exit.CONFIGURATION: "the settings or the schema are at fault",
    Exit.UNAUTHORIZED: "refused: 401 or 403",
    Exit.REFUSED: "refused for good: another 4xx, or a value over a limit",
    Exit.TRY_AGAIN: "may succeed later: 429, 5xx, network, a store is away, the gate is closed",
    Exit.NOT_FOUND: "there is no such job, signup, event, person or campaign",
    Exit.INTERRUPTED: "Ctrl-C",
}
EVERYWHERE = {"--json", "--debug", "-h", "--help"}


def write_page() -> str:
    """Return the page for the commands as they are."""
    codes = "\n".join(f"| {code.value} | {MEANINGS[code]} |" for code in Exit)
    parts = [PREFACE.format(codes=codes)]
    with click.Context(root, info_name="ciosync") as context:
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS):
            parts.append(f"## {panel}\n")
            for entry in COMMANDS:
                command = root.get_command(context, entry.name)
                if entry.panel == panel and command is not None:
                    parts += describe(command, f"ciosync {entry.name}", context)
    return "\n".join(parts)


def describe(command: click.Command, path: str, parent: click.Context) -> Iterator[str]:
    """Yield the parts about a command and those below it."""
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    if isinstance(command, click.Group):
        yield f"### `{path}`\n\n{paragraphs(command)}\n"
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from describe(below, f"{path} {name}", context)
        return
    usage = " ".join([path, *(one.make_metavar(context) for one in command.params if isinstance(one, click.Argument))])
    yield f"### `{usage}`\n\n{paragraphs(command)}\n"
    options = [line for one in command.params if isinstance(one, click.Option) for line in option(one, context)]
    if options:
        yield "\n".join(["| option | what |", "|---|---|", *options]) + "\n"


def paragraphs(command: click.Command) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))


def option(one: click.Option, context: click.Context) -> Iterator[str]:
    if EVERYWHERE.isdisjoint(one.opts):
        record = one.get_help_record(context)
        if record is not None:
            names, what = (" ".join(text.split()).replace("|", "\\|") for text in record)
            yield f"| `{names}` | {what} |"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(write_page(), encoding="utf-8")
