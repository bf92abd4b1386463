"""What beat sends, and when."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from cio_tasks.celeryconfig import PROCESS_EVERY, RESET_EVERY, RESET_KEPT, SHORTEST_TICK, beat_schedule
from cio_tasks.settings import Settings

TASKS = Path(__file__).parents[2] / "cio_tasks" / "tasks.py"
EVERY = {
    "cio_tasks.process_due": timedelta(seconds=10),
    "cio_tasks.tick": timedelta(seconds=10),
    "cio_tasks.watch_alerts": timedelta(seconds=30),
    "cio_tasks.reset_stuck": timedelta(seconds=5),
    "cio_tasks.prune": timedelta(hours=1),
}


def intervals(time_scale: float) -> dict[str, timedelta]:
    entries = beat_schedule(Settings.from_env({"CIO_TIME_SCALE": str(time_scale)})).values()
    return {entry["task"]: entry["schedule"] for entry in entries}


def test_every_task_that_beat_sends_exists_and_wants_nothing() -> None:
    defined = re.findall(r'^@app\.task\(name="([a-z_.]+)"', TASKS.read_text(), re.MULTILINE)
    entries = beat_schedule(Settings.from_env({})).values()
    assert {entry["task"] for entry in entries} <= set(defined)
    assert {name for entry in entries for name in entry} == {"task", "schedule", "options"}


@pytest.mark.row("D4", "I1", "I3", "I4")
def test_beat_repeats_what_is_promised_as_often_as_is_promised() -> None:
    assert intervals(1) == EVERY


def test_a_scaled_beat_never_ticks_faster_than_twice_a_second() -> None:
    assert intervals(0.5) == {task: every / 2 for task, every in EVERY.items()}
    assert set(intervals(0.0001).values()) == {SHORTEST_TICK}


def test_a_tick_that_waited_longer_than_its_interval_is_dropped_unless_it_is_the_cleanup() -> None:
    for entry in beat_schedule(Settings.from_env({})).values():
        kept = RESET_KEPT if entry["task"] == "cio_tasks.reset_stuck" else entry["schedule"]
        assert entry["options"]["expires"] == kept.total_seconds()


def test_lost_wake_ups_leave_a_job_of_a_killed_worker_no_later_than_15_s() -> None:
    assert timedelta(seconds=15) >= RESET_EVERY + PROCESS_EVERY
