import ast
from collections.abc import Iterator

import pytest

from tests.rules import tree
from tests.rules.tree import Module

WAITS = "tests/eventually.py"
MOCKS = ("unittest.mock", "mock", "pytest_mock")
PATCHES = {"setattr", "delattr", "setitem", "delitem"}
SLEEPS = {"time.sleep", "asyncio.sleep"}


def mocks(module: Module) -> Iterator[str]:
    """Yield what replaces a part of the program while it runs; `monkeypatch.setenv` and `chdir` do not."""
    for name, line in tree.imports(module):
        if any(name == mock or name.startswith(f"{mock}.") for mock in MOCKS):
            yield f"{module}:{line} imports {name}"
    for call in tree.calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr in PATCHES:
            yield f"{module}:{call.lineno} {ast.unparse(call.func)}"
    for function in tree.functions(module):
        if any(argument.arg == "mocker" for argument in (*function.args.args, *function.args.kwonlyargs)):
            yield f"{module}:{function.lineno} takes mocker"


def sleeps(module: Module) -> Iterator[str]:
    imported = {name for name, _ in tree.imports(module)}
    for call in tree.calls(module):
        name = tree.dotted(call.func)
        if name in SLEEPS or (name == "sleep" and imported & SLEEPS):
            yield f"{module}:{call.lineno} {name}"


def test_no_test_replaces_what_it_tests() -> None:
    tree.refuse(place for module in tree.tests() for place in mocks(module))


def test_tests_wait_for_something_and_never_sleep() -> None:
    tree.refuse(place for module in tree.tests() if module.name != WAITS for place in sleeps(module))


@pytest.mark.parametrize(
    "source",
    [
        "from unittest.mock import patch",
        "from unittest import mock",
        "import unittest.mock as doubles",
        "def test_it(mocker): pass",
        "monkeypatch.setattr(gate, 'close', close)",
        "with pytest.MonkeyPatch.context() as patch:\n    patch.setattr(gate, 'close', close)",
    ],
)
def test_a_mock_is_seen(source: str) -> None:
    assert list(mocks(tree.read(source)))


@pytest.mark.parametrize("source", ["import time\ntime.sleep(1)", "from time import sleep\nsleep(1)"])
def test_a_sleep_is_seen(source: str) -> None:
    assert list(sleeps(tree.read(source)))
