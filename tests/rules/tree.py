"""What the house rules read: the files of this repository and the syntax of its modules."""

import ast
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCT: Final = ("cio_tasks", "api")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A Python file: its name from the root, and what is in it."""

    name: str
    tree: ast.Module
    lines: int

    def __str__(self) -> str:
        return self.name

    def under(self, *folders: str) -> bool:
        """Whether the file is in one of these folders, or is one of these files."""
        return any(self.name == folder or self.name.startswith(f"{folder}/") for folder in folders)


def read(source: str, name: str = "example.py") -> Module:
    """Return `source` as a module."""
    return Module(name, ast.parse(source, filename=name), len(source.splitlines()))


@cache
def product() -> tuple[Module, ...]:
    """Return the modules that are shipped."""
    return tuple(_modules(*PRODUCT))


@cache
def tests() -> tuple[Module, ...]:
    """Return the modules of the tests."""
    return tuple(_modules("tests"))


def _modules(*folders: str) -> Iterator[Module]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield read(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files that are in version control or will be: neither ignored nor deleted."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted({name for name in listed.stdout.split("\0") if name})
    return tuple(path for path in (ROOT / name for name in names) if path.is_file())


def text_of(path: Path) -> str:
    """Return what is written in `path`, or nothing when it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def refuse(faults: Iterable[str]) -> None:
    """Fail when there are faults, and name every one of them."""
    __tracebackhide__ = True
    if found := list(faults):
        raise AssertionError("\n".join(["against the house rule:", *found]))


def dotted(node: ast.AST) -> str:
    """Return the name that an expression spells, such as `os.environ`; a part that is no name is left out."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return ""


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Yield every imported name in full, such as `unittest.mock` or `os.environ`, with its line."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)


def calls(module: Module) -> Iterator[ast.Call]:
    """Yield every call in the module."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def functions(module: Module) -> Iterator[Function]:
    """Yield every function and method, the nested ones too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))
