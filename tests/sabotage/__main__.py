"""`python -m tests.sabotage`: break the product in every way of the catalogue, and see that its tests notice each."""

import queue
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table

from tests.sabotage.catalogue import SABOTAGES
from tests.sabotage.records import Drifted, Sabotage
from tests.sabotage.workshop import Workshop, workshop


@dataclass(frozen=True)
class Finding:
    """What became of one sabotage. `trouble` says why it does not count as caught."""

    sabotage: Sabotage
    seconds: float = 0.0
    trouble: str | None = None


def break_in_turn(place: Workshop, one: Sabotage) -> Finding:
    """Break the copy in this way, and see whether every test that is to notice does."""
    try:
        with place.broken(one.edits):
            outcome = place.run(one.caught_by)
    except Drifted as error:
        return Finding(one, trouble=f"drifted: {error}")
    blind = outcome.blind(one.caught_by)
    return Finding(one, outcome.seconds, f"{', '.join(map(short, blind))}: {outcome.last_words}" if blind else None)


def find_broken(place: Workshop, chosen: Sequence[Sabotage]) -> str | None:
    """Run all the tests against the copy as it is; what fails already can catch nothing."""
    tests = list(dict.fromkeys(test for one in chosen for test in one.caught_by))
    outcome = place.run(tests)
    broken = [test for test in tests if test not in outcome.passed]
    return f"without any sabotage: {', '.join(map(short, broken))}: {outcome.last_words}" if broken else None


def short(test: str) -> str:
    """Return a test without its folder."""
    return test.removeprefix("tests/").partition("::")[2] or test


def run_all(chosen: Sequence[Sabotage], places: Sequence[Workshop], tell: Callable[[str], None]) -> list[Finding]:
    """Try every sabotage, one at a time in each workshop."""
    free: queue.Queue[Workshop] = queue.Queue()
    for place in places:
        free.put(place)

    def work(one: Sabotage) -> Finding:
        place = free.get()
        try:
            finding = break_in_turn(place, one)
        finally:
            free.put(place)
        tell(f"{'SURVIVED' if finding.trouble else 'caught'}  {one.name} ({finding.seconds:.1f} s)")
        return finding

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(work, chosen))


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print the table."""
    table = Table("sabotage", "rule", "caught by", "seconds", show_lines=False)
    for finding in findings:
        tests = "\n".join(map(short, finding.sabotage.caught_by))
        caught = f"[red]NOBODY[/red] {finding.trouble}" if finding.trouble else tests
        table.add_row(finding.sabotage.name, finding.sabotage.rule, caught, f"{finding.seconds:.1f}")
    console.print(table)


@click.command()
@click.option("-k", "word", default="", help="Only the sabotages with this in their names.")
@click.option("-j", "jobs", type=click.IntRange(1, 8), default=2, show_default=True, help="So many at once.")
def main(word: str, jobs: int) -> None:
    """Break the product in every way. Exit code 0 when every sabotage is caught, 1 when one survives or has drifted."""
    chosen = [one for one in SABOTAGES if word in one.name]
    if not chosen:
        raise click.ClickException(f"no sabotage has {word!r} in its name")
    began = time.monotonic()
    with ExitStack() as stack:
        places = [stack.enter_context(workshop()) for _ in range(min(jobs, len(chosen)))]
        broken = find_broken(places[0], chosen)
        if broken is not None:
            raise click.ClickException(broken)
        findings = run_all(chosen, places, lambda line: click.echo(line, err=True))
    show(findings, Console(width=None if sys.stdout.isatty() else 200))
    caught = sum(finding.trouble is None for finding in findings)
    click.echo(f"{caught} of {len(findings)} caught in {time.monotonic() - began:.0f} s")
    sys.exit(0 if caught == len(findings) else 1)


if __name__ == "__main__":
    main()
