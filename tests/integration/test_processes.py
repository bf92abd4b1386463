"""The supervisor with real processes: what it starts, keeps running, and ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cio_tasks.errors import EmbeddedError, StateInUse
from cio_tasks.events import listen, unlisten
from cio_tasks.processes import (
    ManagedProcess,
    ProcessFailed,
    ProcessRecord,
    RestartPolicy,
    SourceWatch,
    Supervisor,
    WaitTimeout,
    exit_on,
    wait_until,
)

SOON = timedelta(seconds=15)
AT_ONCE = timedelta(milliseconds=200)
SLEEPER = ["sleep", "600"]
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"

HOLDER = """
import signal, sys, time
from pathlib import Path
from cio_tasks.processes import Supervisor, exit_on

with exit_on(), Supervisor(Path(sys.argv[1])) as supervisor:
    process = supervisor.start("sleeper", ["sleep", "600"])
    try:
        print(process.pid, flush=True)
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        print("alive" if process.is_alive() else "gone", flush=True)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    policy = RestartPolicy(limit=2, backoff=timedelta(milliseconds=10))
    with Supervisor(tmp_path, grace=timedelta(seconds=5), policy=policy) as started:
        yield started


@pytest.fixture
def facts() -> Iterator[list[str]]:
    told: list[str] = []

    def note(name: str, _facts: dict[str, Any]) -> None:
        told.append(name)

    listen(note)
    yield told
    unlisten(note)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start a Python that holds a supervisor in `tmp_path`, as a foreground job with a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(SLEEPER, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def runs(pid: int) -> bool:
    return ProcessRecord.find(pid) is not None


def said(process: ManagedProcess, text: str) -> Callable[[], bool]:
    return lambda: text in process.tail()


def pid_said(process: ManagedProcess) -> int:
    wait_until(lambda: process.tail().strip().isdecimal(), SOON)
    return int(process.tail())


def test_wait_that_ends_in_vain_says_what_it_waited_for() -> None:
    wait_until(lambda: True, timedelta(0))
    with pytest.raises(WaitTimeout, match=r"waited 0\.05 s for the moon, in vain"):
        wait_until(lambda: False, timedelta(milliseconds=50), what="the moon")


def test_started_process_runs_with_its_environment_and_is_gone_after_stop(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        argv = ["sh", "-c", "echo got $WORD; exec sleep 600"]
        process = supervisor.start("worker", argv, env={"WORD": "ciosync", "PATH": os.defpath})
        wait_until(said(process, "got ciosync"), SOON)
        assert process.is_alive()
        assert process.log_path == tmp_path / "logs" / "worker.log"
    assert not runs(process.pid)
    assert process.returncode == -signal.SIGTERM


def test_start_waits_until_the_process_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    process = supervisor.start("api", ["sh", "-c", f"sleep 0.1; touch {flag}; exec sleep 600"], ready=flag.exists)
    assert flag.exists()
    assert process.is_alive()


def test_process_that_exits_before_it_is_ready_fails_with_its_last_words(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailed, match="api exited with 3\nport taken"):
        supervisor.start("api", ["sh", "-c", "echo port taken; exit 3"], ready=lambda: False)


def test_process_that_is_never_ready_fails_in_time_and_is_ended(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailed, match="for api to be ready"):
        supervisor.start("api", SLEEPER, ready=lambda: False, ready_timeout=AT_ONCE)
    assert [process.is_alive() for process in supervisor.processes] == [False]


def test_crashed_process_is_started_again(supervisor: Supervisor, facts: list[str]) -> None:
    process = supervisor.start("worker", SLEEPER)
    first = process.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: process.restarts == 1 and process.is_alive(), SOON)
    assert process.pid != first
    wait_until(lambda: facts == ["process.exited", "process.restarted"], SOON)


def test_process_that_keeps_crashing_is_given_up(supervisor: Supervisor, facts: list[str]) -> None:
    process = supervisor.start("worker", ["sh", "-c", "exit 3"])
    wait_until(lambda: "process.gave_up" in facts, SOON)
    assert process.gave_up
    assert process.restarts == 2
    assert process.returncode == 3
    assert facts == ["process.exited", "process.restarted"] * 2 + ["process.exited", "process.gave_up"]


def test_process_that_may_not_be_restarted_stays_down(supervisor: Supervisor, facts: list[str]) -> None:
    process = supervisor.start("once", ["true"], restart=False)
    wait_until(lambda: facts == ["process.exited"], SOON)
    assert process.returncode == 0
    assert not process.gave_up


@pytest.mark.parametrize("end", [ManagedProcess.terminate, ManagedProcess.kill])
def test_process_ended_on_purpose_stays_down_until_restarted(
    supervisor: Supervisor, facts: list[str], end: Callable[[ManagedProcess], None]
) -> None:
    process = supervisor.start("worker", SLEEPER)
    end(process)
    process.check()
    assert not process.is_alive()
    assert facts == []
    process.restart()
    assert process.is_alive()
    assert process.restarts == 0


def test_process_that_ignores_sigterm_is_killed_after_the_grace(supervisor: Supervisor) -> None:
    process = supervisor.start("stubborn", ["sh", "-c", STUBBORN])
    wait_until(said(process, "up"), SOON)
    process.terminate(AT_ONCE)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("prefix", ["", "setsid "], ids=["in the group", "in a session of its own"])
def test_what_a_process_started_ends_with_it(supervisor: Supervisor, prefix: str) -> None:
    process = supervisor.start("parent", ["sh", "-c", f"{prefix}sh -c 'trap \"\" TERM; echo $$; sleep 600' & wait"])
    grandchild = pid_said(process)
    process.terminate(AT_ONCE)
    assert not runs(grandchild)


def test_what_a_crashed_process_leaves_is_ended_before_its_restart(supervisor: Supervisor) -> None:
    process = supervisor.start("parent", ["sh", "-c", "sleep 600 & echo $!; wait"], restart=False)
    grandchild = pid_said(process)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.returncode == -signal.SIGKILL, SOON)
    assert not runs(grandchild)


def test_processes_end_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    order = tmp_path / "order"
    with Supervisor(tmp_path) as supervisor:
        for name in ("first", "second", "third"):
            script = f"trap 'echo {name} >> {order}; exit' TERM; echo up; while :; do sleep 0.05; done"
            process = supervisor.start(name, ["sh", "-c", script])
            wait_until(said(process, "up"), SOON)
    assert order.read_text().split() == ["third", "second", "first"]


def test_leftovers_of_a_crashed_run_are_ended_by_the_next(
    holder: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    crashed = holder()
    leftover = int(first_line(crashed))
    crashed.kill()
    crashed.wait()
    assert runs(leftover)
    with Supervisor(tmp_path) as supervisor:
        assert [record.pid for record in supervisor.leftovers] == [leftover]
        assert not runs(leftover)


@pytest.mark.parametrize("wrong", [{"create_time": 1.0}, {"argv": ["sleep", "601"]}], ids=["time", "argv"])
def test_stranger_with_a_recorded_pid_is_left_alone(
    stranger: "subprocess.Popen[bytes]", tmp_path: Path, wrong: dict[str, Any]
) -> None:
    record = ProcessRecord.find_started(stranger.pid)
    assert record is not None
    (tmp_path / "processes.json").write_text(json.dumps([asdict(record) | wrong]))
    with Supervisor(tmp_path) as supervisor:
        assert supervisor.leftovers == ()
    assert stranger.poll() is None


def test_spoilt_record_ends_nobody(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text('[{"pid": 1}')
    with Supervisor(tmp_path) as supervisor:
        assert supervisor.leftovers == ()


def test_second_supervisor_is_told_who_is_at_work(supervisor: Supervisor) -> None:
    with pytest.raises(StateInUse, match=f"in use by process {os.getpid()}"), Supervisor(supervisor.state_dir):
        pass


def test_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(EmbeddedError, match="cannot write in the state folder") as caught,
        Supervisor(tmp_path / "file"),
    ):
        pass
    assert caught.value.hint


def test_ctrl_c_reaches_no_child_before_the_context_ends(holder: Callable[[], "subprocess.Popen[str]"]) -> None:
    process = holder()
    child = int(first_line(process))
    os.killpg(process.pid, signal.SIGINT)
    assert first_line(process) == "alive"
    assert process.wait(SOON.total_seconds()) == 0
    assert not runs(child)


def test_sigterm_ends_the_children_too(holder: Callable[[], "subprocess.Popen[str]"]) -> None:
    process = holder()
    child = int(first_line(process))
    process.terminate()
    assert process.wait(SOON.total_seconds()) == 128 + signal.SIGTERM
    assert not runs(child)


def test_changed_source_restarts_the_watched_processes(supervisor: Supervisor, tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.touch()
    process = supervisor.start("api", SLEEPER)
    first = process.pid
    supervisor.watch([tmp_path], [process], interval=timedelta(milliseconds=20))
    source.write_text("x = 1\n")
    wait_until(lambda: process.pid != first and process.is_alive(), SOON)
    assert process.restarts == 0


def test_watch_names_what_was_written_added_and_removed(tmp_path: Path) -> None:
    kept, gone, added = (tmp_path / name for name in ("kept.py", "gone.py", "added.py"))
    kept.touch()
    gone.touch()
    watch = SourceWatch([tmp_path])
    assert watch.changed() == frozenset()
    os.utime(kept, (1, 1))
    gone.unlink()
    added.touch()
    (tmp_path / "notes.txt").touch()
    assert watch.changed() == {kept, gone, added}
    assert watch.changed() == frozenset()


def test_log_of_the_previous_run_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    for word in ("before", "after"):
        with Supervisor(tmp_path) as supervisor:
            process = supervisor.start("worker", ["sh", "-c", f"seq 100; echo {word}; exec sleep 600"])
            wait_until(said(process, word), SOON)
            assert process.tail(2) == f"100\n{word}"
    assert (tmp_path / "logs" / "worker.log.1").read_text().endswith("before\n")


def test_process_whose_command_went_away_is_given_up(supervisor: Supervisor, tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\nexec sleep 600\n")
    command.chmod(0o700)
    process = supervisor.start("worker", [str(command)])
    command.unlink()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.gave_up, SOON)
    assert process.restarts == 0


def test_exit_on_leaves_an_ignored_signal_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_on():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_processes_do_not_share_a_name(supervisor: Supervisor) -> None:
    supervisor.start("worker", SLEEPER)
    with pytest.raises(ValueError, match="two processes named worker"):
        supervisor.start("worker", SLEEPER)


def test_restart_policy_doubles_its_wait_up_to_a_bound() -> None:
    policy = RestartPolicy(backoff=timedelta(seconds=1), longest_backoff=timedelta(seconds=5))
    assert [policy.delay(recent).total_seconds() for recent in (0, 1, 2, 3, 99)] == [1, 2, 4, 5, 5]
    with pytest.raises(ValueError, match="negative"):
        RestartPolicy(limit=-1)
