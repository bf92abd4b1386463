import ast
from collections.abc import Iterator

import pytest

from tests.rules import tree
from tests.rules.tree import Module

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40
READ_FROM_TOP_TO_BOTTOM = "cio_tasks/migrations/versions"
"""A migration is a list of statements: cutting it into functions helps nobody."""


def length(function: tree.Function) -> int:
    """Count the lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def long_functions(module: Module) -> Iterator[str]:
    for function in tree.functions(module):
        if length(function) > LONGEST_FUNCTION:
            yield f"{module}:{function.lineno} {function.name} has {length(function)} lines"


def test_no_module_is_longer_than_400_lines() -> None:
    tree.refuse(f"{module} has {module.lines} lines" for module in tree.product() if module.lines > LONGEST_MODULE)


def test_no_function_is_longer_than_40_lines() -> None:
    modules = [module for module in tree.product() if not module.under(READ_FROM_TOP_TO_BOTTOM)]
    tree.refuse(fault for module in modules for fault in long_functions(module))


@pytest.mark.parametrize(("statements", "faults"), [(39, 0), (40, 1)])
def test_a_docstring_does_not_count(statements: int, faults: int) -> None:
    body = '    """One.\n\n    Two.\n    """\n' + "    pass\n" * statements
    assert len(list(long_functions(tree.read(f"def example():\n{body}")))) == faults
