"""`python -m tests.chaos run`: one run, its page on stdout, the folder with logs and ledger kept when it is red.

Beside it are the single proofs: `claimers`, `stopped` and `recovery`.
"""

import random
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

import click

from cio_tasks.processes import exit_on
from tests.chaos.claimers import claimers
from tests.chaos.killed import recovery
from tests.chaos.profiles import PROFILES, Profile, soak
from tests.chaos.report import to_json, to_markdown
from tests.chaos.runs import Run, run
from tests.chaos.stopped import stopped_and_woken


@click.group()
def chaos() -> None:
    """Break everything, and see what it costs."""


@chaos.command(name="run")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="quick", show_default=True)
@click.option("--signups", type=click.IntRange(1), help="How many at least.")
@click.option(
    "--kills", type=click.IntRange(1), help="Processes that must die; never fewer than the profile's attacks."
)
@click.option("--minutes", type=click.FloatRange(0.1, 600), help="How long the attacks may last.")
@click.option("--seed", type=int, help="What decides the attacks and the people; by default another each time.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where chaos.json and chaos.md are put.")
@click.option("--keep", is_flag=True, help="Keep the folder of the run, its logs and its ledger, when it is good too.")
def run_once(
    *,
    profile: str,
    signups: int | None,
    kills: int | None,
    minutes: float | None,
    seed: int | None,
    out: Path | None,
    keep: bool,
) -> None:
    """Run once. Exit code 0 when nothing is wrong, 1 when something is."""
    chosen = PROFILES[profile].changed(signups=signups, kills=kills, minutes=minutes)
    done, folder = play(chosen, seed)
    if out is not None:
        write(done, out / "chaos.md")
    finish(done, folder, keep=keep)


@chaos.command(name="soak")
@click.option("--minutes", type=click.FloatRange(0.1, 600), default=60, show_default=True, help="How long it storms.")
@click.option("--seed", type=int, help="What decides the attacks and the people; by default another each time.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The page; beside it the same as .json.")
@click.option("--keep", is_flag=True, help="Keep the folder of the run, its logs and its ledger, when it is good too.")
def soak_once(*, minutes: float, seed: int | None, out: Path | None, keep: bool) -> None:
    """Let it storm, with one to three faults at a time. Exit code 0 when nothing is wrong, 1 when something is."""
    done, folder = play(soak(minutes), seed)
    if out is not None:
        write(done, out)
    finish(done, folder, keep=keep)


def play(profile: Profile, seed: int | None) -> tuple[Run, Path]:
    """Run, telling on stderr how it goes and on stdout what came of it; return that and where its files are."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    folder = Path(mkdtemp(prefix="ciosync-chaos-"))
    click.echo(f"profile {profile.name}, seed {seed}, folder {folder}", err=True)
    with exit_on():
        done = run(profile, seed=seed, folder=folder / "run", tell=lambda line: click.echo(f"  {line}", err=True))
    click.echo(to_markdown(done))
    return done, folder


def write(done: Run, page: Path) -> None:
    """Write the page, and beside it the JSON."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(to_markdown(done), encoding="utf-8")
    page.with_suffix(".json").write_text(to_json(done), encoding="utf-8")


def finish(done: Run, folder: Path, *, keep: bool) -> NoReturn:
    """End with the exit code; of a bad run the folder stays."""
    if done.verdict.is_good and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        click.echo(f"logs and ledger: {folder}\nagain: {done.command}", err=True)
    sys.exit(0 if done.verdict.is_good else 1)


for proof in (claimers, stopped_and_woken, recovery):
    chaos.add_command(proof)

if __name__ == "__main__":
    chaos()
