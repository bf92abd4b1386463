"""`ciosync demo` as a person runs it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually

DEMO = [sys.executable, "-m", "cio_tasks", "demo", "--limit", "30", "--time-scale", "0.002"]


@pytest.fixture
def run_demo(state_dir: Path) -> Iterator[list[str]]:
    """The command with a state folder of its own; afterwards nothing that it started may run."""
    yield [*DEMO, "--state-dir", str(state_dir)]
    assert started_in(state_dir) == []


def started_in(state_dir: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        if any(str(state_dir) in word for word in words) and "demo" not in words:
            found.append(process.info["cmdline"])
    return found


def test_demo_accounts_for_every_signup(run_demo: list[str]) -> None:
    done = subprocess.run([*run_demo, "--no-serve", "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["lines"] == 30
    assert account["faults"] == []
    for phase in account["phases"].values():
        assert phase["completed"] + phase["deadLettered"] == phase["jobs"]
        assert phase["acknowledged"] == phase["completed"]


def test_demo_runs_a_second_time_in_the_same_folder(run_demo: list[str]) -> None:
    for _ in range(2):
        done = subprocess.run([*run_demo, "--no-serve"], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "the ledger agrees" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_demo_stops_everything_when_interrupted(run_demo: list[str], number: signal.Signals, code: int) -> None:
    demo = subprocess.Popen(run_demo, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert demo.stderr is not None
    for line in demo.stderr:
        if "API" in line:
            break
    demo.send_signal(number)
    demo.stderr.read()
    assert demo.wait(timeout=60) == code


def test_demo_clears_away_what_a_killed_run_left(run_demo: list[str]) -> None:
    killed = subprocess.Popen(run_demo, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert killed.stderr is not None
    for line in killed.stderr:
        if "API" in line:
            break
    killed.kill()
    killed.wait()
    killed.stderr.close()
    done = subprocess.run([*run_demo, "--no-serve"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_dev_starts_with_the_example_settings_untouched(state_dir: Path) -> None:
    example = Path(__file__).parents[2] / ".env.example"
    argv = [sys.executable, "-m", "cio_tasks", "dev", "--env-file", str(example), "--state-dir", str(state_dir)]
    dev = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert dev.stderr is not None
    assert any("Still running" in line for line in dev.stderr)
    dev.send_signal(signal.SIGINT)
    dev.stderr.read()
    assert dev.wait(timeout=60) == 130


def test_demo_keeps_serving_until_interrupted(run_demo: list[str]) -> None:
    demo = subprocess.Popen(run_demo, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert demo.stderr is not None
    assert any("Still running" in line for line in demo.stderr)
    assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    eventually(lambda: demo.returncode is not None)
