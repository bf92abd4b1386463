from typing import Any

from tests.chaos.evidence import Attempt, Strike
from tests.chaos.recovery import recoveries


def delivered(began: float, ended: float, outcome: str = "delivered") -> Attempt:
    return Attempt(job_id="j", token=1, retry=0, outcome=outcome, started_at=began, finished_at=ended)


def strike(name: str, began: float, ended: float, **facts: Any) -> Strike:
    return Strike(name=name, began_at=began, ended_at=ended, **facts)


def test_deliveries_are_back_when_one_that_began_afterwards_has_arrived() -> None:
    attempts = [delivered(9, 11), delivered(12, 20), delivered(13, 14.5), delivered(10.5, 11, "retry_later")]
    (one,) = recoveries([strike("redis.kill", 5, 10)], attempts)
    assert (one.name, one.seconds, one.never) == ("redis.kill", (4.5,), 0)


def test_what_was_broken_beside_it_counts_until_it_is_healed() -> None:
    strikes = [strike("worker.kill", 5, 6), strike("redis.kill", 5, 10), strike("beat.kill", 20, 21)]
    found = {
        one.name: one.seconds for one in recoveries(strikes, [delivered(7, 8), delivered(11, 12), delivered(22, 23)])
    }
    assert found == {"worker.kill": (2,), "redis.kill": (2,), "beat.kill": (2,)}


def test_after_some_faults_nothing_comes_any_more() -> None:
    (one,) = recoveries([strike("redis.kill", 5, 10), strike("redis.kill", 1, 2)], [delivered(3, 4)])
    assert (one.seconds, one.never, one.quantile(1)) == ((2,), 1, 2)


def test_a_fault_that_found_nobody_cost_nothing() -> None:
    assert recoveries([strike("redis.kill", 5, 10, struck=False)], [delivered(11, 12)]) == []


def test_quantiles_are_of_what_happened() -> None:
    strikes = [strike("redis.kill", at, at) for at in (100, 200, 300, 400)]
    attempts = [delivered(at, at + number) for number, at in enumerate((100, 200, 300, 400), 1)]
    (one,) = recoveries(strikes, attempts)
    assert [one.quantile(share) for share in (0.5, 0.95, 1)] == [2, 4, 4]
