"""The page that on-call reads is held to the tree: every fault is on it once, and what it names exists."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.__main__ import chaos
from tests.rules import tree

PAGE = tree.ROOT / "docs/guarantees.md"
FAULTS = [f"F{number:02}" for number in range(1, 53)]
ROW = re.compile(r"^\| (F\d\d) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(\w+/\w+\.py)::(\w+)`")
MODULE = re.compile(r"`python -m ([\w.]+)(?: (\w+))?[^`]*`")
TARGET = re.compile(r"`make (\w+)[^`]*`")
LEFT_OUT = "### Left out"


def page() -> str:
    return tree.text_of(PAGE)


def find_missing(text: str) -> Iterator[str]:
    """Yield what a text names and the tree does not have: tests, commands, targets."""
    for file, name in TEST.findall(text):
        if name not in functions_of(tree.ROOT / "tests" / file):
            yield f"{file}::{name}"
    for module, command in MODULE.findall(text):
        if not is_module(module) or (module == "tests.chaos" and command not in chaos.commands):
            yield f"python -m {module} {command}"
    targets = re.findall(r"^([a-z-]+):", tree.text_of(tree.ROOT / "Makefile"), re.MULTILINE)
    yield from (f"make {target}" for target in TARGET.findall(text) if target not in targets)


def functions_of(path: Path) -> set[str]:
    """Return the tests of a file; none when there is no such file."""
    tops = ast.parse(path.read_text(encoding="utf-8")).body if path.exists() else []
    return {top.name for top in tops if isinstance(top, tree.Function)}


def is_module(name: str) -> bool:
    path = tree.ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def names_a_proof(row: str) -> bool:
    return any(kind.search(row) for kind in (TEST, MODULE, TARGET))


def test_every_fault_is_on_the_page_once() -> None:
    assert Counter(number for number, _ in ROW.findall(page())) == Counter(FAULTS)


def test_every_fault_is_shown_by_something_or_left_out_with_a_reason() -> None:
    shown, _, left_out = page().partition(LEFT_OUT)
    tree.refuse(f"{number} names no proof" for number, row in ROW.findall(shown) if not names_a_proof(row))
    tree.refuse(f"{number} has no reason" for number, row in ROW.findall(left_out) if not row.rpartition("| ")[2])


def test_every_proof_that_the_page_names_exists() -> None:
    tree.refuse(find_missing(page()))


def test_every_test_of_a_fault_is_on_the_page() -> None:
    written = {(path.parent.name, path.name) for path in (tree.ROOT / "tests").rglob("test_fault*_*.py")}
    named = {(*file.split("/"), name) for file, name in TEST.findall(page())}
    for folder, file in written - {("cli", "test_faults.py")}:
        tests = {name for name in functions_of(tree.ROOT / "tests" / folder / file) if name.startswith("test_")}
        tree.refuse(f"{folder}/{file}::{name} is not on it" for name in tests if (folder, file, name) not in named)


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ("`rules/test_guarantees.py::test_every_fault_is_on_the_page_once`", []),
        ("`rules/test_guarantees.py::test_nothing`", ["rules/test_guarantees.py::test_nothing"]),
        ("`rules/test_nothing.py::test_nothing`", ["rules/test_nothing.py::test_nothing"]),
        ("`make chaos` `make sun`", ["make sun"]),
        ("`python -m tests.chaos run` `python -m tests.nothing`", ["python -m tests.nothing "]),
        ("`python -m tests.chaos tea`", ["python -m tests.chaos tea"]),
    ],
)
def test_what_does_not_exist_is_seen(named: str, missing: list[str]) -> None:
    assert list(find_missing(named)) == missing
