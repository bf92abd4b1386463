"""The command line as a user meets it: called in this process where that is enough, and as a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cio_tasks.cli.tree import root

CIOSYNC = str(Path(sys.executable).with_name("ciosync"))


@dataclass(frozen=True)
class Answer:
    """What a run gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result, when `--json` was asked for."""
        return json.loads(self.out)

    @property
    def fault(self) -> Any:
        """The error, when `--json` was asked for."""
        return json.loads(self.err.splitlines()[-1])["error"]


@dataclass(frozen=True)
class CommandLine:
    """`ciosync` with some environment."""

    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str | bytes | None = None, **environment: str) -> Answer:
        """Run a command line in this process."""
        result = CliRunner(env={**self.environment, **environment}).invoke(root, arguments, input=stdin)
        return Answer(result.exit_code, result.stdout, result.stderr)

    def process(self, *arguments: str, stdin: bytes = b"") -> Answer:
        """Run a command line as a process."""
        done = subprocess.run(
            [CIOSYNC, *arguments], input=stdin, capture_output=True, env=self.environment, timeout=150, check=False
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command line as a process while the body runs."""
        with subprocess.Popen(
            [CIOSYNC, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli() -> CommandLine:
    """Return `ciosync` with nothing set."""
    return CommandLine()


@pytest.fixture
def stored_cli(database_url: str) -> CommandLine:
    """Return `ciosync` with a database that has the tables."""
    return CommandLine({"DATABASE_URL": database_url})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Return what writes a file of this text or of these lines, and returns its path."""

    def write_file(*lines: dict[str, Any] | str, name: str = "signups.jsonl") -> str:
        path = tmp_path / name
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return str(path)

    return write_file
