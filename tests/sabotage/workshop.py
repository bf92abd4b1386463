"""A copy of the tree in which the product may be broken and its tests run. The tree itself is never touched."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree as ET

from tests.rules.tree import ROOT, tracked_files
from tests.sabotage.records import Edit, patched

SECONDS_PER_TEST: Final = 120
"""How long tests may take, on the average and at most, with the servers that they start; a mistake may make them hang."""
WHERE: Final = "import cio_tasks, api; print(cio_tasks.__file__, api.__file__)"
PYTEST: Final = ("-q", "--tb=no", "-p", "no:randomly", "-p", "no:cacheprovider", "-o", "timeout=60")


class NotTheCopy(Exception):
    """The tests would run against another tree than the copy."""


@dataclass(frozen=True)
class Outcome:
    """What a run of tests came to: which functions failed, which passed, and what pytest said in the end."""

    failed: frozenset[str]
    passed: frozenset[str]
    seconds: float
    last_words: str

    def blind(self, tests: Sequence[str]) -> list[str]:
        """Return those of `tests` that did not fail, be it that they passed or that they never ran."""
        return [test for test in tests if test not in self.failed]


class Workshop:
    """A copy of the tree, for one sabotage after the other."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "tree"
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._written = time.time()
        for path in tracked_files():
            target = self._root / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        self._check_imports()

    def run(self, tests: Sequence[str]) -> Outcome:
        """Run these tests against the copy as it is."""
        report = self._scratch / "report.xml"
        report.unlink(missing_ok=True)
        began = time.monotonic()
        said = self._python(
            "-m", "pytest", *PYTEST, f"--junitxml={report}", *tests, seconds=SECONDS_PER_TEST * len(tests)
        )
        failed, passed = read_report(report)
        return Outcome(failed, passed, time.monotonic() - began, said)

    @contextmanager
    def broken(self, edits: tuple[Edit, ...]) -> Iterator[None]:
        """Break the copy for as long as the body runs."""
        files = patched(self._root, edits)
        whole = {file: (self._root / file).read_text(encoding="utf-8") for file in files}
        try:
            self._write(files)
            yield
        finally:
            self._write(whole)

    def _write(self, files: dict[str, str]) -> None:
        """Write these files, each time with a later time: bytecode of an earlier text must not be taken for theirs."""
        self._written += 10
        for file, source in files.items():
            (self._root / file).write_text(source, encoding="utf-8")
            os.utime(self._root / file, (self._written, self._written))

    def _check_imports(self) -> None:
        """Make sure that the copy is what its tests import: the tree may be installed in this interpreter too."""
        found = self._python("-c", WHERE, seconds=SECONDS_PER_TEST).split()
        if not found or any(not Path(file).is_relative_to(self._root) for file in found):
            raise NotTheCopy(f"imported from {found}")

    def _python(self, *arguments: str, seconds: float) -> str:
        """Run the interpreter in the copy, and return the last line that it said."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=self._root,
                env={**inherited, "PYTHONPATH": str(self._root)},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not over within {seconds:g} s"
        return next(iter((done.stdout or done.stderr).strip().splitlines()[-1:]), "")


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Give a workshop in a folder of its own, which is gone afterwards."""
    with TemporaryDirectory(prefix="ciosync-sabotage-") as folder:
        yield Workshop(Path(folder).resolve())


def read_report(report: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return which test functions failed and which ran well, by `path::function`. An error in a fixture is neither."""
    if not report.is_file():
        return frozenset(), frozenset()
    failed, passed = set(), set()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
        if case.find("failure") is not None:
            failed.add(name)
        elif case.find("error") is None and case.find("skipped") is None:
            passed.add(name)
    return frozenset(failed), frozenset(passed - failed)
