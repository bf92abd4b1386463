from dataclasses import replace

from tests.chaos.growth import MEGABYTE, MOST_FILES, MOST_MEGABYTES, Growth, Reading, find_grown

WORKER = Reading(at=0, kind="worker", pid=1, bytes=100 * MEGABYTE, files=40)


def test_a_life_begins_when_the_process_is_warm_and_ends_with_the_last_look() -> None:
    growth = Growth()
    for at, files in ((0, 5), (10, 20), (25, 40), (30, 90), (125, 44)):
        growth.see([replace(WORKER, at=at, files=files)])
    (life,) = growth.lives()
    assert (life.kind, life.seconds, life.files_before, life.files_after) == ("worker", 100, 40, 44)
    assert growth.most_files == {"worker": 90}


def test_a_process_that_died_young_has_no_life_to_tell_and_is_counted() -> None:
    growth = Growth()
    growth.see([WORKER, replace(WORKER, pid=2)])
    growth.see([replace(WORKER, at=10)])
    assert (growth.count("worker"), growth.lives()) == (2, [])


def test_a_process_that_keeps_its_descriptors_is_named() -> None:
    growth = Growth()
    for at, files in ((0, 40), (20, 40), (80, 41 + MOST_FILES)):
        growth.see([replace(WORKER, at=at, files=files)])
    assert list(find_grown(growth)) == [("worker", "from 40 to 105 descriptors in 60 s")]


def test_a_process_that_takes_too_much_memory_is_named() -> None:
    growth = Growth()
    growth.see([replace(WORKER, bytes=(MOST_MEGABYTES + 1) * MEGABYTE)])
    assert list(find_grown(growth)) == [("worker", "took 401 MB")]


def test_processes_that_stay_as_they_are_are_fine() -> None:
    growth = Growth()
    for at in range(0, 100, 5):
        growth.see([replace(WORKER, at=at, files=40 + at // 2)])
    assert list(find_grown(growth)) == []
