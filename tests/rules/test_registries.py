import json
import re
from pathlib import Path

import pytest

from tests.rules import tree

HOSTS = re.compile(
    "|".join(
        rf"\b{name}\.{domain}\b"
        for name, domain in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "(org|com)"),
            ("yarnpkg", "com"),
            ("debian", "org"),
            ("ubuntu", "com"),
        ]
    ),
    re.IGNORECASE,
)
"""Put together from pieces, so that this file names none of them either."""
OPTIONS = re.compile(r"--(extra-)?index-url|--find-links|--trusted-host|_?registry\s*=", re.IGNORECASE)


def test_no_file_names_the_host_of_a_package_registry() -> None:
    tree.refuse(str(path) for path in tree.tracked_files() if HOSTS.search(tree.text_of(path)))


def test_no_lock_chooses_a_registry() -> None:
    locks = [path for path in tree.tracked_files() if path.name == ".npmrc" or path.parent.name == "requirements"]
    tree.refuse(str(path) for path in locks if path.suffix == ".txt" and OPTIONS.search(tree.text_of(path)))


def test_no_package_lock_says_where_a_package_came_from() -> None:
    locks = [path for path in tree.tracked_files() if path.name in {"package-lock.json", "npm-shrinkwrap.json"}]
    tree.refuse(f"{path}: {name}" for path in locks for name in resolved_packages(path))


def resolved_packages(lock: Path) -> list[str]:
    packages = json.loads(tree.text_of(lock)).get("packages", {})
    return [name for name, package in packages.items() if "resolved" in package]


def test_a_resolved_package_is_seen(tmp_path: Path) -> None:
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps({"packages": {"": {}, "node_modules/a": {"resolved": "https://host.example/a.tgz"}}}))
    assert resolved_packages(lock) == ["node_modules/a"]


@pytest.mark.parametrize("host", ["files.{}hosted.org", "{0}.{0}hosted.org"])
def test_a_host_below_a_registry_is_seen(host: str) -> None:
    assert HOSTS.search(host.format("python"))
