"""`ciosync doctor`: is everything as it should be, and if not, what to do."""

import time
from datetime import timedelta
from difflib import get_close_matches
from importlib import import_module
from typing import Final

import click

from cio_tasks.checks import Group
from cio_tasks.cli.config import load_settings
from cio_tasks.cli.faults import Exit
from cio_tasks.cli.output import Output, answers, examples, pass_output

OTHER_NAMES: Final = {"db": Group.DATABASE, "settings": Group.CONFIG, "broker": Group.REDIS, "worker": Group.CELERY}


def _read_groups(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[Group, ...]:
    """Return the groups of comma-separated names, all of them when none is named."""
    names = [name.strip().lower() for text in given for name in text.split(",") if name.strip()]
    return tuple(_read_group(name) for name in names) or tuple(Group)


def _read_group(name: str) -> Group:
    known = [*map(str, Group), *OTHER_NAMES]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(Group)}"
        raise click.BadParameter(f"there are no checks of {name!r}; {meant}")
    return OTHER_NAMES.get(name) or Group(name)


@click.command(
    epilog=examples(
        "ciosync doctor",
        "ciosync doctor --only celery,beat",
        "ciosync doctor --strict --json | jq '.checks[] | select(.status != \"ok\")'",
        "ciosync doctor --watch 30",
    )
)
@click.option(
    "--only",
    "groups",
    multiple=True,
    metavar="NAMES",
    callback=_read_groups,
    help=f"Of {', '.join(Group)}, with commas.",
)
@click.option("--strict", is_flag=True, help="Let a warning count as a failure.")
@click.option("--watch", type=click.FloatRange(min=0.5), metavar="SECONDS", help="Look again and again, until Ctrl-C.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="Seconds for each part to answer."
)
@answers
@pass_output
@click.pass_context
def doctor(
    ctx: click.Context,
    output: Output,
    /,
    *,
    groups: tuple[Group, ...],
    strict: bool,
    watch: float | None,
    timeout: float,
) -> None:
    """Look at every part at once and say of each problem what to do. Nothing is written.

    Exits with 1 when a check failed, and with --strict also when one warned.
    """
    settings = load_settings()
    examination = import_module("cio_tasks.cli.examination")
    while True:
        report = examination.examine(output, settings, groups, timeout=timedelta(seconds=timeout), strict=strict)
        if watch is None:
            ctx.exit(Exit.OK if report.is_good(strict=strict) else Exit.NO)
        output.note("")
        time.sleep(watch)
