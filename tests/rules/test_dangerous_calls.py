import ast
from collections.abc import Iterator

import pytest

from tests.rules import tree
from tests.rules.tree import Module

FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
FORBIDDEN_NAMES = {"render_template_string"}
FORBIDDEN_KEYWORDS = {("shell", "True"), ("verify", "False")}
FORMATTED = (ast.JoinedStr, ast.BinOp)


def dangers(module: Module) -> Iterator[str]:
    for name, line in tree.imports(module):
        if name.split(".")[0] in FORBIDDEN_IMPORTS or name.split(".")[-1] in FORBIDDEN_NAMES:
            yield f"{module}:{line} imports {name}"
    for call in tree.calls(module):
        yield from (f"{module}:{call.lineno} {fault}" for fault in _faults(call))


def _faults(call: ast.Call) -> Iterator[str]:
    name = tree.dotted(call.func)
    if name in FORBIDDEN_CALLS or name.split(".")[-1] in FORBIDDEN_NAMES:
        yield f"calls {name}"
    if name.split(".")[-1] == "text" and any(_is_formatted(argument) for argument in call.args[:1]):
        yield "puts SQL together from pieces"
    for keyword in call.keywords:
        if (keyword.arg, ast.unparse(keyword.value)) in FORBIDDEN_KEYWORDS:
            yield f"passes {keyword.arg}={ast.unparse(keyword.value)}"


def _is_formatted(argument: ast.expr) -> bool:
    return isinstance(argument, FORMATTED) or (
        isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute) and argument.func.attr == "format"
    )


def test_no_call_runs_text_as_code_or_trusts_what_it_should_check() -> None:
    tree.refuse(fault for module in tree.product() for fault in dangers(module))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "yaml.load(document)",
        "eval(expression)",
        "exec(program)",
        "subprocess.run(command, shell=True)",
        "session.get(url, verify=False)",
        "from flask import render_template_string",
        "flask.render_template_string(source)",
        "text(f'SELECT {column}')",
        "sqlalchemy.text('SELECT ' + column)",
        "text('SELECT %s' % column)",
        "text('SELECT {}'.format(column))",
    ],
)
def test_each_danger_is_seen(source: str) -> None:
    assert list(dangers(tree.read(source)))


@pytest.mark.parametrize("source", ["yaml.safe_load(document)", "text('SELECT 1')", "session.get(url, verify=path)"])
def test_the_safe_form_passes(source: str) -> None:
    assert not list(dangers(tree.read(source)))
