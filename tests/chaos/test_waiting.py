import pytest

from tests.chaos.waiting import LONGEST, Waiting

MINE = ("j1", 3)


def test_a_job_that_nobody_takes_while_all_is_well_is_stuck() -> None:
    waiting = Waiting()
    for at in range(0, 70, 5):
        waiting.see(at, [MINE], well=True)
    assert [(one.job_id, one.token, one.seconds) for one in waiting.stuck.values()] == [("j1", 3, 65.0)]


def test_time_in_which_something_is_broken_does_not_count() -> None:
    waiting = Waiting()
    for number in range(60):
        waiting.see(number * 5.0, [MINE], well=bool(number % 2))
    assert (waiting.stuck, waiting.longest) == ({}, 0.0)


def test_time_before_and_after_an_outage_adds_up() -> None:
    waiting = Waiting()
    for at, well in ((0, True), (40, True), (45, False), (500, True), (530, True)):
        waiting.see(at, [MINE], well=well)
    assert waiting.longest == 70
    assert list(waiting.stuck) == [MINE]


@pytest.mark.parametrize("meanwhile", [[], [("j1", 4)]], ids=["gone", "claimed"])
def test_whoever_was_taken_begins_anew(meanwhile: list[tuple[str, int]]) -> None:
    waiting = Waiting()
    for at, seen in ((0.0, [MINE]), (LONGEST - 5, meanwhile), (LONGEST, [MINE]), (LONGEST + 40, [MINE])):
        waiting.see(at, seen, well=True)
    assert not waiting.stuck
