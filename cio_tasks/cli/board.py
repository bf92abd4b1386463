"""What the demo shows: the parts as they come up, the live table, the summary, and where to look next."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cio_tasks.cli.reconciliation import Reconciliation
from cio_tasks.cli.sample import Submitted
from cio_tasks.cli.stack import Stack
from cio_tasks.events import Listener
from cio_tasks.queries import JobCounts
from cio_tasks.settings import Role
from cio_tasks.states import Phase

REFRESH_SECONDS: Final = 0.5
UNCHANGED_SECONDS: Final = 20.0
PIPED_WIDTH: Final = 160
LINE_SECONDS: Final = 5.0
"""How often progress is a line, where there is no terminal."""

Tell = Callable[[str, str], None]


def make_console(*, stderr: bool = True) -> Console:
    """Return a console as wide as the terminal; where there is none, wide enough that no line of ours is broken."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


def teller(console: Console) -> Tell:
    """Return what prints each part that came up."""

    def tell(name: str, line: str) -> None:
        console.print(f"  [green]✓[/] {name:<13} {line}", highlight=False)

    return tell


def process_teller(console: Console) -> Listener:
    """Return what says when a process ended by itself, and what became of it."""

    def tell(name: str, facts: dict[str, Any]) -> None:
        if name == "process.exited":
            fate = "it is started again" if facts["restarting"] else "it stays down"
            console.print(f"  [red]![/] {facts['process']} ended by itself ({facts['returncode']}): {fate}")
        elif name == "process.gave_up":
            console.print(f"  [red]![/] {facts['process']} ended {facts['restarts']} times; its log: {facts['log']}")
        elif name == "process.reloaded":
            console.print(f"  [green]✓[/] restarted {', '.join(facts['processes'])}: the code has changed")

    return tell


class Watch:
    """The live table, fed by the database; a line every few seconds where there is no terminal."""

    def __init__(self, console: Console, read: Callable[[], JobCounts]) -> None:
        self._console = console
        self._read = read
        self._lines = 0
        self._sending = True
        self._progress = Progress(
            TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("jobs done", total=None)
        self._stop = threading.Event()

    def line_sent(self) -> None:
        """Count one more line that the API has answered."""
        self._lines += 1

    def all_sent(self) -> None:
        """Note that no more jobs will come, so that the bar knows its end."""
        self._sending = False

    def run(self) -> None:
        """Show the counts until `stop` is called."""
        if not self._console.is_terminal:
            self._run_lines()
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while not self._stop.wait(REFRESH_SECONDS):
                live.update(self._render(self._read()))

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def _run_lines(self) -> None:
        shown, again_at = None, 0.0
        while not self._stop.wait(LINE_SECONDS):
            counts = self._read()
            if counts.phases != shown or time.monotonic() > again_at:
                self._console.print(f"  {self._lines} lines sent, {_words(counts)}")
                shown, again_at = counts.phases, time.monotonic() + UNCHANGED_SECONDS

    def _render(self, counts: JobCounts) -> RenderableType:
        total = None if self._sending else counts.total
        self._progress.update(self._task, completed=counts.total - counts.unfinished, total=total)
        return Group(_jobs_table(counts), self._progress, _next_try(counts))


@contextmanager
def watching(console: Console, read: Callable[[], JobCounts]) -> Iterator[Watch]:
    """Show the counts while the body runs."""
    watch = Watch(console, read)
    thread = threading.Thread(target=watch.run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


COLUMNS: Final = ("pending", "processing", "retrying", "completed", "failed")


def _jobs_table(counts: JobCounts) -> Table:
    table = Table("phase", *COLUMNS, box=None, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    for phase in Phase:
        table.add_row(phase.value, *(f"{getattr(counts.phases[phase], name):,}" for name in COLUMNS))
    return table


def _next_try(counts: JobCounts) -> str:
    wait = counts.next_retry_in
    return "" if wait is None or wait.total_seconds() < 1 else f"  next try in {wait.total_seconds():.0f} s"


def _words(counts: JobCounts) -> str:
    words = ", ".join(f"{sum(getattr(phase, name) for phase in counts.phases.values())} {name}" for name in COLUMNS)
    return words + _next_try(counts).replace("  ", ", ", 1)


# --- the summary ------------------------------------------------------------------------------------------------------


def print_summary(account: Reconciliation, submitted: Submitted, *, as_json: bool) -> None:
    """Print what became of every signup."""
    if as_json:
        click.echo(json.dumps(_summary(account, submitted), ensure_ascii=False))
        return
    console = make_console(stderr=False)
    console.print(
        "\n[bold]Every signup, accounted for[/]" if not account.faults else "\n[bold red]Not all accounted for[/]"
    )
    console.print(_submission_line(submitted))
    console.print(_summary_table(account))
    console.print(_wire_line(account))
    if account.dead_letters:
        console.print("dead letters: " + ", ".join(f"{n} {code}" for code, n in sorted(account.dead_letters.items())))
    for fault in account.faults:
        console.print(f"[red]✗[/] {fault}")
    if not account.faults:
        console.print(_verdict(account))


def _submission_line(submitted: Submitted) -> str:
    refused = ", ".join(f"{reason} ({count})" for reason, count in sorted(submitted.refused.items()))
    line = (
        f"{submitted.lines:,} lines: {len(submitted.signup_ids):,} signups, {len(submitted.confirmed_ids):,} confirmed"
    )
    return line + (f"; refused as invalid: {refused}" if refused else "")


def _summary_table(account: Reconciliation) -> Table:
    headers = ["jobs", "completed", "in the dead letters", "neither"]
    if account.requests is not None:
        headers.append("acknowledged in the ledger")
    table = Table("phase", *headers, box=None, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    for phase, count in account.phases.items():
        numbers = [count.jobs, count.completed, count.dead_lettered, count.unfinished, count.confirmed_by_ledger]
        table.add_row(phase.value, *(f"{number:,}" for number in numbers[: len(headers)]))
    return table


def _wire_line(account: Reconciliation) -> str:
    line = f"{account.attempts:,} deliveries, {account.retries:,} of them retries"
    if account.requests is None:
        return line
    return f"{line}; {account.requests:,} requests, {account.repeats:,} repeated events dropped by their id"


def _verdict(account: Reconciliation) -> str:
    if account.requests is None:
        return "[green]✓[/] every job is completed or in the dead letters"
    return "[green]✓[/] every job is completed or in the dead letters, and the ledger agrees on every completed one"


def _summary(account: Reconciliation, submitted: Submitted) -> dict[str, Any]:
    return {
        "lines": submitted.lines,
        "signups": len(submitted.signup_ids),
        "confirmed": len(submitted.confirmed_ids),
        "refused": submitted.refused,
        "phases": {
            phase.value: {
                "jobs": count.jobs,
                "completed": count.completed,
                "deadLettered": count.dead_lettered,
                "unfinished": count.unfinished,
                "acknowledged": count.confirmed_by_ledger if account.requests is not None else None,
            }
            for phase, count in account.phases.items()
        },
        "deliveries": account.attempts,
        "retries": account.retries,
        "requests": account.requests,
        "repeatsDropped": account.repeats,
        "deadLetters": account.dead_letters,
        "faults": account.faults,
    }


def print_addresses(console: Console, stack: Stack) -> None:
    """Say where everything can be reached while it keeps running."""
    token = stack.tokens[Role.OPERATOR]
    console.print(f"\nStill running; [bold]Ctrl-C[/] stops everything. Logs: {stack.logs}", highlight=False)
    console.print(f"  API     {stack.api_url}/api/v1   (an operator's token: {token})", highlight=False, soft_wrap=True)
    console.print(f"  health  {stack.api_url}/readyz", highlight=False)
    if stack.fake_url:
        console.print(
            f"  ledger  {stack.fake_url}/_fake/summary   {stack.fake_url}/_fake/ledger", highlight=False, soft_wrap=True
        )
    console.print(
        f"  try     curl -s -H 'Authorization: Bearer {token}' {stack.api_url}/api/v1/signups/<id>",
        highlight=False,
        soft_wrap=True,
    )
