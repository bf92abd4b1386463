from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from cio_tasks.countdowns import MOST, Countdowns

LONG = timedelta(hours=1)
DUE = timedelta(0)


def test_room_ends_with_the_number_allowed() -> None:
    countdowns = Countdowns(most=2)

    assert [countdowns.hold(LONG) for _ in range(4)] == [True, True, False, False]


def test_due_countdown_makes_room_again() -> None:
    countdowns = Countdowns(most=1)

    assert [countdowns.hold(DUE) for _ in range(3)] == [True, True, True]


def test_due_countdowns_make_room_beside_one_that_is_far_off() -> None:
    countdowns = Countdowns(most=2)

    assert [countdowns.hold(wait) for wait in (LONG, DUE, LONG, DUE)] == [True, True, True, False]


def test_refused_countdown_takes_no_room() -> None:
    countdowns = Countdowns(most=0)

    assert not any(countdowns.hold(DUE) for _ in range(3))


def test_threads_together_get_no_more_than_the_number_allowed() -> None:
    countdowns = Countdowns(most=50)
    with ThreadPoolExecutor(8) as threads:
        held = list(threads.map(lambda _: countdowns.hold(LONG), range(200)))

    assert sum(held) == 50


def test_worker_holds_a_thousand_unless_told_otherwise() -> None:
    countdowns = Countdowns()

    assert sum(countdowns.hold(LONG) for _ in range(MOST + 10)) == MOST == 1_000
