"""What a sabotage is: a rule, the mistake that breaks it, and the tests that must notice."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Edit:
    """Text that stands exactly once in a file, and what takes its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """One mistake. Every test that it names has to fail with it, and to pass without it."""

    name: str
    rule: str
    """The rule that it breaks, as a promise that somebody relies on."""
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]
    """Tests as `path::function`; all parameters of a function count as one test."""


class Drifted(Exception):
    """A sabotage no longer fits the product."""


def sabotage(name: str, rule: str, *edits: Edit, caught_by: tuple[str, ...]) -> Sabotage:
    """Return a sabotage; `caught_by` names tests below the folder of all tests."""
    return Sabotage(name=name, rule=rule, edits=edits, caught_by=tuple(f"tests/{test}" for test in caught_by))


def patched(root: Path, edits: tuple[Edit, ...]) -> dict[str, str]:
    """Return the files that a sabotage changes, as they are with it.

    Raises:
        Drifted: a text is not there exactly once, or what results is no Python.
    """
    found: dict[str, str] = {}
    for edit in edits:
        source = found.get(edit.file) or _read(root / edit.file)
        times = source.count(edit.old)
        if times != 1:
            raise Drifted(f"{edit.file} has {times} times: {edit.old.strip()!r}")
        found[edit.file] = source.replace(edit.old, edit.new)
    for file, source in found.items():
        _parse(file, source)
    return found


def missing_tests(root: Path, tests: tuple[str, ...]) -> Iterator[str]:
    """Yield those of these tests that do not exist."""
    for test in tests:
        file, _, function = test.partition("::")
        path = root / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
            yield test


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Drifted(f"there is no {path.name}") from None


def _parse(file: str, source: str) -> None:
    try:
        ast.parse(source, filename=file)
    except SyntaxError as error:
        raise Drifted(f"{file} would be no Python: {error.msg} in line {error.lineno}") from None
