"""How soon a command is there: after half a second of work at most, on a machine that does nothing else."""

import resource
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.cli.conftest import CIOSYNC

HALF_A_SECOND = 0.5
TIMES_LIBRARIES = 3
"""So many times what the libraries alone take, where that is more: on a busy machine the same work takes longer."""
LIBRARIES = "import click, pydantic, requests"
COMMANDS = (
    "doctor",
    "network",
    "debug identify",
    "investigate",
    "webhook verify",
    "incident severity",
)


def work_of(arguments: Sequence[str]) -> float:
    """Return the seconds of processor time that a process takes, the lesser of two."""
    return min(_work_once(arguments) for _ in range(2))


def _work_once(arguments: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, check=True, capture_output=True, env={})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def allowed() -> float:
    return max(HALF_A_SECOND, TIMES_LIBRARIES * work_of([sys.executable, "-c", LIBRARIES]))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_there_within_half_a_second(allowed: float, command: str) -> None:
    assert work_of([CIOSYNC, *command.split(), "-h"]) < allowed
