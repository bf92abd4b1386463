from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from cio_tasks.consumption import Consumption, Watchdog


@dataclass
class Worker:
    """A worker as its watchdog sees it: what it took, what waits, and whether it was ended."""

    waiting: int | Exception = 1
    consumption: Consumption = field(default_factory=Consumption)
    ended: int = 0

    def count_waiting(self) -> int:
        if isinstance(self.waiting, Exception):
            raise self.waiting
        return self.waiting

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def watchdog(worker: Worker) -> Watchdog:
    return Watchdog(worker.consumption, worker.count_waiting, worker.end, patience=timedelta(seconds=60))


def test_a_worker_that_takes_nothing_while_messages_wait_is_ended(worker: Worker, watchdog: Watchdog) -> None:
    assert [watchdog.look(now) for now in (0, 30, 59)] == [False] * 3
    assert watchdog.look(60)
    assert worker.ended == 1


def test_a_worker_that_takes_one_message_now_and_then_is_left_alone(worker: Worker, watchdog: Watchdog) -> None:
    for now in range(0, 600, 50):
        worker.consumption.take()
        assert not watchdog.look(now)
    assert worker.ended == 0


def test_refusing_what_is_no_message_is_consuming_too(worker: Worker, watchdog: Watchdog) -> None:
    watchdog.look(0)
    worker.consumption.refuse("malformed")
    assert not watchdog.look(60)


@pytest.mark.parametrize("waiting", [0, ConnectionError("the broker is away")])
def test_patience_begins_anew_when_nothing_waits_or_the_broker_is_away(
    waiting: int | Exception, worker: Worker, watchdog: Watchdog
) -> None:
    watchdog.look(0)
    worker.waiting = waiting
    watchdog.look(50)
    worker.waiting = 1
    assert not watchdog.look(61)
    assert not watchdog.look(120)
    assert watchdog.look(121)
