"""A run on one page, for people, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from tests.chaos.growth import MEGABYTE, Life
from tests.chaos.runs import Run
from tests.chaos.watch import Watch

QUANTILES: Final = (0.5, 0.95, 1.0)
SHOWN: Final = 20
"""Violations of one kind that the page lists."""


def to_json(run: Run) -> str:
    """Return everything that was found, as JSON."""
    return json.dumps(_document(run), indent=2, sort_keys=True)


def _document(run: Run) -> dict[str, Any]:
    return {
        "good": run.verdict.is_good,
        "profile": run.profile.name,
        "seed": run.seed,
        "repeat": run.command,
        "seconds": run.seconds,
        "figures": run.verdict.figures,
        "recoveries": {one.name: {"seconds": one.seconds, "never": one.never} for one in run.recoveries},
        "watched": dict(_watched(run.watch)) if run.watch else {},
        "processes": [asdict(life) for life in run.watch.growth.lives()] if run.watch else [],
        "strikes": [asdict(strike) for strike in run.strikes],
        "violations": [asdict(violation) for violation in run.verdict.violations],
    }


def to_markdown(run: Run) -> str:
    """Return the page: the verdict, what was wrong, what was done, and what there was."""
    parts = [_head(run), _violations(run), _attacks(run), _seen(run), _processes(run), _figures(run)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(run: Run) -> list[str]:
    word = "good" if run.verdict.is_good else f"{len(run.verdict.violations)} violations"
    parts = ", ".join(f"{part} {seconds:g} s" for part, seconds in run.seconds.items())
    return [f"# Chaos, profile {run.profile.name}, seed {run.seed}: {word}", "", f"`{run.command}`", "", parts, ""]


def _violations(run: Run) -> list[str]:
    if run.verdict.is_good:
        return []
    lines = ["## Violations", ""]
    counts = Counter(violation.kind for violation in run.verdict.violations)
    for kind, count in counts.most_common():
        lines.append(f"- **{kind}** ({count})")
        befell = [one for one in run.verdict.violations if one.kind == kind][:SHOWN]
        lines += [f"  - `{one.subject}` {one.detail}" for one in befell]
    return [*lines, ""]


def _attacks(run: Run) -> list[str]:
    """How often each attack struck, and how soon deliveries were back when it was over."""
    struck = Counter(strike.name for strike in run.strikes if strike.struck)
    missed = Counter(strike.name for strike in run.strikes if not strike.struck)
    back = {one.name: one for one in run.recoveries}
    lines = ["## Attacks", "", "| attack | struck | found nobody | back in s: median | 95 % | longest |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name in sorted(struck | missed):
        times = [f"{back[name].quantile(share):.2f}" for share in QUANTILES] if name in back else ["", "", ""]
        lines.append(f"| {name} | {struck[name]} | {missed[name]} | {' | '.join(times)} |")
    return [*lines, ""]


def _seen(run: Run) -> list[str]:
    if run.watch is None:
        return []
    return [
        "## Watched",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in _watched(run.watch)),
        "",
    ]


def _watched(watch: Watch) -> Iterator[tuple[str, float]]:
    yield "looks", watch.looks
    yield "looks at which nothing excused a wait", watch.well
    yield "longest wait of a job while everything was well, s", round(watch.waiting.longest, 1)
    yield "jobs that waited for more than 60 s so", len(watch.waiting.stuck)
    yield "deadlocks", watch.deadlocks
    yield "characters searched for secrets and personal data", watch.canaries.looked
    yield "places where some were found", len(watch.canaries.found)


def _processes(run: Run) -> list[str]:
    """The longest life of each kind of process, from when it was warm."""
    if run.watch is None:
        return []
    growth = run.watch.growth
    lines = [
        "## Processes",
        "",
        "| kind | seen | longest life, s | MB then | MB at its end | most | files | at its end | most |",
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for kind in sorted(growth.most_bytes):
        life = next((one for one in growth.lives() if one.kind == kind), None)
        cells = ["", "", "", "", ""] if life is None else _cells(life)
        most = f"{growth.most_bytes[kind] / MEGABYTE:.0f}", str(growth.most_files[kind])
        row = [kind, str(growth.count(kind)), *cells[:3], most[0], *cells[3:], most[1]]
        lines.append(f"| {' | '.join(row)} |")
    return [*lines, ""]


def _cells(life: Life) -> list[str]:
    megabytes = [f"{count / MEGABYTE:.0f}" for count in (life.bytes_before, life.bytes_after)]
    return [f"{life.seconds:.0f}", *megabytes, str(life.files_before), str(life.files_after)]


def _figures(run: Run) -> list[str]:
    lines = ["## Figures", "", "| | |", "|---|---:|"]
    return [*lines, *(f"| {name.replace('_', ' ')} | {count} |" for name, count in run.verdict.figures.items())]
