"""What the commands of `ciosync incident` look at: the settings, the rows if there are any, and the evidence."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from cio_tasks.cli.config import load_settings
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.stores import open_sessions
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.incident.evidence import NOT_SET, Evidence, Unknown
from cio_tasks.diagnostics.incident.gathering import gather
from cio_tasks.diagnostics.incident.severity import judge
from cio_tasks.diagnostics.incident.steps import Case
from cio_tasks.settings import Settings

NOBODY: Final = "nothing could be learnt: not our database, not Customer.io, not its status page"


@contextmanager
def open_case(command: str, *, each: timedelta) -> Iterator[Case]:
    """Give what can be looked at, judged, for as long as the body runs.

    Raises:
        ConfigurationError: when the settings are at fault.
        CommandFailed: when nobody answered at all.
    """
    with _open_rows(command) as (settings, sessions):
        evidence = gather(settings, sessions, each=each)
        if evidence.is_empty:
            raise CommandFailed(_nobody_answered(evidence))
        yield Case(settings, sessions, evidence, judge(evidence), each)


@contextmanager
def _open_rows(command: str) -> Iterator[tuple[Settings, Sessions | None]]:
    settings = load_settings()
    if settings.database_url is None:
        yield settings, None
        return
    with open_sessions(command) as (settings, sessions):
        yield settings, sessions


def _nobody_answered(evidence: Evidence) -> Fault:
    queue, page = evidence.queue, evidence.status_page
    told = [part.detail for part in (queue, page) if isinstance(part, Unknown)]
    is_unset = isinstance(queue, Unknown) and queue.code == NOT_SET
    code = Exit.CONFIGURATION if is_unset else Exit.TRY_AGAIN
    hint = (
        "set DATABASE_URL: ciosync config show --origin" if is_unset else "is this machine connected? ciosync network"
    )
    return Fault("incident.nothing_known", code, NOBODY, "; ".join(told), hint)


def check_free(path: Path | None, *, yes: bool) -> None:
    """Check that a file may be written.

    Raises:
        UsageError: when it is there already and `--yes` was not given, or it has no folder.
    """
    if path is None:
        return
    if path.exists() and not yes:
        raise click.UsageError(f"{path} is there already: add --yes to replace it", click.get_current_context())
    if not path.parent.is_dir():
        raise click.UsageError(f"there is no folder {path.parent}", click.get_current_context())
