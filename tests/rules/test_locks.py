import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.rules import tree

LOCKS = sorted((tree.ROOT / "requirements").glob("*.txt"), key=lambda path: path.name)
ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=\S+)*)"
)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One package of a lock. A name may be there twice, for different Pythons."""

    name: str
    version: str
    hashes: int


def entries(lock: Path) -> list[str]:
    """Return a lock's entries, each on one line."""
    text = re.sub(r" *\\\n *", " ", lock.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(lock: Path) -> set[Pin]:
    matches = [match for match in map(ENTRY.fullmatch, entries(lock)) if match]
    return {
        Pin(canonicalize_name(match["name"]), match["version"], len(HASH.findall(match["hashes"]))) for match in matches
    }


def wanted(*extras: str) -> list[Requirement]:
    """Return what the project asks for, with some of its extras."""
    project = tomllib.loads(tree.text_of(tree.ROOT / "pyproject.toml"))["project"]
    optional = project["optional-dependencies"]
    return [
        Requirement(line) for line in [*project["dependencies"], *(line for name in extras for line in optional[name])]
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_is_pinned_and_hashed(lock: Path) -> None:
    assert entries(lock)
    tree.refuse(line[:80] for line in entries(lock) if not ENTRY.fullmatch(line))
    tree.refuse(pin.name for pin in pins(lock) if not pin.hashes)


def test_production_runs_what_was_tested() -> None:
    production, dev = (tree.ROOT / "requirements" / name for name in ("production.txt", "dev.txt"))
    assert {(pin.name, pin.version) for pin in pins(production)} <= {(pin.name, pin.version) for pin in pins(dev)}


@pytest.mark.parametrize(("name", "extras"), [("production.txt", ["flower"]), ("dev.txt", ["flower", "local"])])
def test_the_lock_satisfies_the_project(name: str, extras: list[str]) -> None:
    locked = pins(tree.ROOT / "requirements" / name)
    for requirement in wanted(*extras):
        versions = [pin.version for pin in locked if pin.name == canonicalize_name(requirement.name)]
        assert versions, f"{requirement} is not in {name}: run make lock"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: run make lock"
