import ast
from collections.abc import Iterator

import pytest

from tests.rules import tree
from tests.rules.tree import Module


def numbered(letter: str, first: int, last: int) -> set[str]:
    return {f"{letter}{number}" for number in range(first, last + 1)}


ROWS = (
    numbered("A", 1, 11)
    | numbered("B", 1, 11)
    | numbered("C", 1, 13)
    | numbered("D", 1, 5)
    | numbered("E", 1, 5)
    | numbered("F", 1, 3)
    | numbered("G", 1, 5)
    | numbered("H", 1, 10)
    | numbered("H", 13, 17)
    | numbered("I", 1, 4)
    | numbered("J", 1, 5)
    | numbered("K", 1, 7)
    | numbered("L", 1, 19)
    | numbered("M", 1, 8)
    | numbered("N", 1, 7)
    | numbered("O", 1, 5)
    | numbered("P1.", 1, 6)
    | numbered("P2.", 1, 5)
    | numbered("P3.", 1, 5)
    | numbered("P4.", 1, 5)
    | numbered("Q", 1, 6)
)
"""All rows of the mission: each has a test that proves it."""


def in_order(row: str) -> tuple[str, list[int]]:
    return row[0], [int(number) for number in row[1:].split(".")]


def marks(module: Module) -> Iterator[ast.Call]:
    """Yield every `pytest.mark.row(...)`: on a test, a class, a module or a parameter."""
    return (call for call in tree.calls(module) if tree.dotted(call.func).endswith("mark.row"))


def rows(module: Module) -> Iterator[str]:
    for mark in marks(module):
        yield from (str(argument.value) for argument in mark.args if isinstance(argument, ast.Constant))


def test_every_row_that_is_built_has_a_test_that_names_it() -> None:
    proven = {row for module in tree.tests() for row in rows(module)}
    tree.refuse(f"{row} has no test" for row in sorted(ROWS - proven, key=in_order))


def test_every_mark_names_a_row_that_exists() -> None:
    tree.refuse(f"{module}: {row}" for module in tree.tests() for row in rows(module) if row not in ROWS)


def test_every_mark_spells_its_rows_out() -> None:
    for module in tree.tests():
        for mark in marks(module):
            literal = [isinstance(argument, ast.Constant) for argument in mark.args]
            assert literal, f"{module}:{mark.lineno} names no row"
            assert all(literal), f"{module}:{mark.lineno} computes its rows"


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.row('A1', 'A2')\ndef test_it(): pass",
        "pytestmark = [pytest.mark.row('A1', 'A2')]",
        "pytest.param(1, marks=pytest.mark.row('A1', 'A2'))",
    ],
)
def test_a_mark_counts_wherever_it_stands(source: str) -> None:
    assert set(rows(tree.read(source))) == {"A1", "A2"}
