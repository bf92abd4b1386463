"""The waits between tries, to the second: no request is made and no clock is read."""

from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr

from cio_tasks.fake.webhook_queue import Delivery, EndpointSettings, Queue, Try

HOUR = 3_600


def queue_with(*deliveries: Delivery, **options: Any) -> Queue:
    queue = Queue(EndpointSettings(url="http://127.0.0.1/", secret=SecretStr("key"), **options))
    for delivery in deliveries:
        queue.add(delivery)
    return queue


def answer(at: float, status: int | None, failure: Any = None) -> Try:
    return {"at": at, "timestamp": str(int(at)), "status": status, "failure": failure, "ms": 0.0}


def tries_until_given_up(status: int) -> list[float]:
    """Return when an endpoint that always answers this is tried, in seconds from the first try."""
    delivery = Delivery(1, b"", {})
    queue = queue_with(delivery)
    at = 1_000_000.0
    while queue.head() is delivery:
        queue.record(delivery, answer(at, status))
        at = queue.next_try_at(delivery)
    return [attempt["at"] - 1_000_000 for attempt in delivery.tries]


def test_the_backoff_doubles_for_seven_days() -> None:
    assert tries_until_given_up(503) == [10 * (2**n - 1) for n in range(16)]


def test_an_hour_passes_first_and_then_the_same_backoff_doubles() -> None:
    times = tries_until_given_up(401)
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [HOUR] * 9 + [10 * 2**n for n in range(9, 15)]


@pytest.mark.parametrize(
    ("status", "failure", "wait"),
    [(None, "timeout", 10), (None, "refused", HOUR), (None, "tls", HOUR), (503, None, 10)],
)
def test_the_clock_is_scaled(status: int | None, failure: str | None, wait: float) -> None:
    delivery = Delivery(1, b"", {})
    queue = queue_with(delivery, time_scale=0.5)
    queue.record(delivery, answer(100, status, failure))
    assert queue.next_try_at(delivery) == 100 + wait / 2


def test_what_was_never_tried_is_due_at_once() -> None:
    delivery = Delivery(1, b"", {})
    assert queue_with(delivery).next_try_at(delivery) == 0


def test_nothing_overtakes_what_is_being_tried() -> None:
    first, second, third = (Delivery(n, b"", {}) for n in range(3))
    queue = queue_with(first, overtake_rate=1)
    queue.begin(first)
    queue.add(second)
    queue.add(third)
    assert queue.head() is first
    queue.record(first, answer(1, 204))
    assert queue.head() is third


def test_a_try_that_was_cut_off_gives_nothing_up() -> None:
    delivery = Delivery(1, b"", {})
    queue = queue_with(delivery)
    queue.record(delivery, answer(0, 503))
    queue.record(delivery, answer(8 * 24 * HOUR, None, "stopped"))
    assert (delivery.state, queue.head()) == ("queued", delivery)
    queue.record(delivery, answer(8 * 24 * HOUR, 503))
    assert (delivery.state, queue.head()) == ("expired", None)


def test_a_duplicate_has_no_duplicate() -> None:
    once, again = Delivery(1, b"", {}), Delivery(2, b"", {}, duplicate=True)
    queue = queue_with(once, again, duplicate_rate=1)
    assert queue.record(once, answer(1, 200))
    assert not queue.record(again, answer(1, 200))
