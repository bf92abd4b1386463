"""What a proof has to show: figures for the page, and whatever speaks against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, NoReturn

import click

SHOWN: Final = 20
"""Faults that are listed."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The outcome of one proof: it holds when nothing speaks against it."""

    claim: str
    figures: Mapping[str, object]
    faults: Sequence[str] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        return not self.faults

    def page(self) -> str:
        """Return the page: the claim, the figures, and what speaks against it."""
        word = "holds" if self.holds else f"DOES NOT HOLD, {len(self.faults)} faults"
        lines = [f"# {self.claim}: {word}", "", "| | |", "|---|---:|"]
        lines += [f"| {name} | {shown(value)} |" for name, value in self.figures.items()]
        return "\n".join([*lines, "", *(f"- {fault}" for fault in self.faults[:SHOWN])])


def shown(value: object) -> str:
    """Return a figure as the page has it: with separators, and fractions to two digits."""
    match value:
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
    return str(value)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below or at which this share of them is; 0.0 of none."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1] if ordered else 0.0


def conclude(proof: Proof) -> NoReturn:
    """Print the page and end: 0 when it holds, 1 when it does not."""
    click.echo(proof.page())
    raise SystemExit(0 if proof.holds else 1)
