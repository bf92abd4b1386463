import ast
import signal
import subprocess
import sys
import time
import timeit
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cio_tasks import failpoints
from cio_tasks.errors import ConfigurationError
from cio_tasks.failpoints import FIRED, Action, Failpoint, FailpointReached, Plan, arm, hit, parse, token_name
from cio_tasks.settings import Settings
from tests.eventually import eventually
from tests.rules import tree

CLAIMED, RECORDING = Failpoint.WORKER_AFTER_CLAIM, Failpoint.WORKER_BEFORE_RECORD

ELSEWHERE = {
    Failpoint.WORKER_WHILE_SENDING: "for us this is worker.after_claim; what Customer.io sees of it, a proxy's cut makes",
    Failpoint.BEAT_AFTER_TICK: "Celery's plain scheduler saves no schedule, so nothing lies between; beat is killed whole",
    Failpoint.MIGRATION_BETWEEN_STEPS: "each migration is one transaction: killed, it has not happened",
}
"""Places without a hook in the product, each with the reason."""

ARMING = ("api/app.py", "cio_tasks/cli/stores.py", "cio_tasks/tasks.py")
"""Where a process that serves, sweeps or works starts."""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm(None)


def hits(count: int, point: Failpoint = CLAIMED) -> list[int]:
    """Pass a place so often; return the numbers of the hits that raised."""
    raised = []
    for number in range(1, count + 1):
        try:
            hit(point)
        except FailpointReached:
            raised.append(number)
    return raised


def run(spec: str, *points: Failpoint) -> subprocess.CompletedProcess[str]:
    """Pass these places in a process that was armed so."""
    calls = "".join(f"failpoints.hit({str(point)!r});" for point in points)
    program = f"from cio_tasks import failpoints; failpoints.arm({spec!r}); {calls} print('alive')"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


# --- what a specification says ----------------------------------------------------------------------------------------


def test_a_specification_is_entries_with_options() -> None:
    orders = parse(
        " seed=7; dir=/tmp/x ;worker.after_claim=kill@3;worker.before_record=stop!token;web.after_commit=raise%0.01;"
        "reaper.before_commit=sleep(250)@2%.5!token;"
    )

    assert (orders.seed, orders.folder) == (7, Path("/tmp/x"))
    assert orders.plans == (
        Plan(CLAIMED, Action.KILL, nth=3),
        Plan(RECORDING, Action.STOP, needs_token=True),
        Plan(Failpoint.WEB_AFTER_COMMIT, Action.RAISE, probability=0.01),
        Plan(Failpoint.REAPER_BEFORE_COMMIT, Action.SLEEP, 250, nth=2, probability=0.5, needs_token=True),
    )


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("worker.nowhere=kill", "entry 1 names no failpoint"),
        ("worker.after_claim=kill;worker.after_claim=explode", "entry 2 has an unknown action"),
        ("worker.after_claim", "entry 1 is not point=action"),
        ("worker.after_claim=kill@0", "entry 1 is not point=action"),
        ("worker.after_claim=kill%1.5", "entry 1 is not point=action"),
        ("worker.after_claim=sleep", "takes milliseconds"),
        ("worker.after_claim=kill(5)", "only sleep, takes milliseconds"),
        ("worker.after_claim=kill!token", "a token needs dir="),
        ("seed=x", "the seed is not a whole number"),
    ],
)
def test_what_cannot_be_understood_is_refused(spec: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace(".", r"\.")):
        arm(spec)
    assert hits(3) == []


def test_settings_refuse_it_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^CIO_FAILPOINTS: entry 1 names no failpoint$"):
        Settings.from_env({"CIO_FAILPOINTS": "worker.nowhere=kill"})


def test_production_cannot_arm_any() -> None:
    with pytest.raises(ConfigurationError, match="CIO_FAILPOINTS is for tests"):
        Settings.from_env({"CIO_ENV": "production", "CIO_FAILPOINTS": "worker.after_claim=kill"})


# --- when it happens --------------------------------------------------------------------------------------------------


def test_nothing_happens_unless_armed() -> None:
    assert hits(3) == []


def test_another_place_is_not_meant() -> None:
    arm("worker.after_claim=raise")
    assert (hits(2), hits(2, RECORDING)) == ([1, 2], [])


def test_arming_again_replaces_what_was_armed() -> None:
    arm("worker.after_claim=raise")
    arm("worker.before_record=raise")
    assert (hits(2), hits(2, RECORDING)) == ([], [1, 2])


def test_the_nth_hit_alone_is_chosen() -> None:
    arm("worker.after_claim=raise@3")
    assert hits(10) == [3]


@pytest.mark.parametrize(("chance", "least", "most"), [("0", 0, 0), ("0.5", 400, 600), ("1", 1000, 1000)])
def test_a_probability_is_drawn_at_each_hit(chance: str, least: int, most: int) -> None:
    arm(f"worker.after_claim=raise%{chance}")
    assert least <= len(hits(1000)) <= most


def test_the_same_seed_draws_the_same_in_one_process() -> None:
    drawn = []
    for seed in (7, 7, 8):
        arm(f"seed={seed};worker.after_claim=raise%0.5")
        drawn.append(hits(100))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_token_is_good_for_one_time(tmp_path: Path) -> None:
    arm(f"dir={tmp_path};worker.after_claim=raise!token")
    before = hits(2)
    (tmp_path / token_name(CLAIMED, Action.RAISE)).touch()
    assert (before, hits(3)) == ([], [1])


def test_of_many_processes_one_takes_the_token(tmp_path: Path) -> None:
    (tmp_path / token_name(CLAIMED, Action.EXIT)).touch()
    spec = f"dir={tmp_path};worker.after_claim=exit!token"
    program = f"from cio_tasks import failpoints; failpoints.arm({spec!r}); input(); failpoints.hit({str(CLAIMED)!r})"
    argv = [sys.executable, "-c", program]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(6)]
    for process in processes:
        process.communicate(b"\n", timeout=30)
    assert sorted(process.returncode for process in processes) == [0, 0, 0, 0, 0, failpoints.EXIT_CODE]


# --- what happens -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("exit", failpoints.EXIT_CODE)])
def test_the_process_ends_on_the_spot(action: str, code: int) -> None:
    done = run(f"worker.after_claim={action}", CLAIMED)
    assert (done.returncode, done.stdout) == (code, "")


def test_a_stopped_process_goes_on_when_told_to() -> None:
    program = "from cio_tasks import failpoints as f; f.arm('worker.after_claim=stop'); f.hit('worker.after_claim')"
    process = subprocess.Popen([sys.executable, "-c", program])
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=30) == 0


def test_sleeping_takes_its_time() -> None:
    arm("worker.after_claim=sleep(120)")
    started = time.monotonic()
    hit(CLAIMED)
    assert time.monotonic() - started >= 0.12


def test_what_fired_is_noted_before_it_happens(tmp_path: Path) -> None:
    run(f"dir={tmp_path};worker.after_claim=sleep(0);worker.before_record=kill", CLAIMED, RECORDING, CLAIMED)
    noted = [line.split()[:2] for line in (tmp_path / FIRED).read_text().splitlines()]
    assert noted == [["worker.after_claim", "sleep"], ["worker.before_record", "kill"]]


def cost_of(call: Callable[[str], object]) -> float:
    """Return the CPU time of a hundred thousand calls, in seconds."""
    return min(timeit.repeat(lambda: call("worker.after_claim"), number=100_000, repeat=5, timer=time.thread_time))


def test_passing_costs_hardly_more_than_a_call_when_nothing_is_armed() -> None:
    assert cost_of(hit) < 5 * cost_of(lambda _: None)


# --- where they are ---------------------------------------------------------------------------------------------------


def hooks() -> Counter[str]:
    """Return how often each name is hit in the product's code."""
    calls = [call for module in tree.product() for call in tree.calls(module)]
    found = [call for call in calls if tree.dotted(call.func) == "failpoints.hit"]
    assert all(isinstance(call.args[0], ast.Constant) for call in found)
    return Counter(str(call.args[0].value) for call in found if isinstance(call.args[0], ast.Constant))


def test_every_failpoint_is_hit_at_exactly_one_place() -> None:
    assert hooks() == Counter(str(point) for point in Failpoint if point not in ELSEWHERE)


def test_there_are_twenty_two() -> None:
    assert len(Failpoint) == 22


def test_they_are_armed_by_settings_and_nothing_else() -> None:
    calls = [(module.name, call) for module in tree.product() for call in tree.calls(module)]
    arming = {(name, ast.unparse(call.args[0])) for name, call in calls if tree.dotted(call.func) == "failpoints.arm"}
    assert arming == {(name, "settings.failpoints") for name in ARMING}
