"""A run on one page, for people, and as JSON."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any, Final

from tests.chaos.runs import Run

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
        "strikes": [asdict(strike) for strike in run.strikes],
        "violations": [asdict(violation) for violation in run.verdict.violations],
    }


def to_markdown(run: Run) -> str:
    """Return the page: the verdict, what was wrong, what was done, and what there was."""
    return "\n".join([*_head(run), *_violations(run), *_strikes(run), *_figures(run)]) + "\n"


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


def _strikes(run: Run) -> list[str]:
    struck = Counter(strike.name for strike in run.strikes if strike.struck)
    missed = Counter(strike.name for strike in run.strikes if not strike.struck)
    lines = ["## Attacks", "", "| attack | struck | found nobody |", "|---|---:|---:|"]
    return [*lines, *(f"| {name} | {struck[name]} | {missed[name]} |" for name in sorted(struck | missed)), ""]


def _figures(run: Run) -> list[str]:
    lines = ["## Figures", "", "| | |", "|---|---:|"]
    return [*lines, *(f"| {name.replace('_', ' ')} | {count} |" for name, count in run.verdict.figures.items())]
