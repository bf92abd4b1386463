"""Our own rate limit, shared by all workers through a real Valkey, and what is left of it while that is away."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cio_tasks.customerio.pace import LONGEST_WAIT_SECONDS, Pace

SLACK = 2.0


@pytest.fixture
def dead_url() -> str:
    """A port that refuses at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A port that accepts and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def take(paces: list[Pace], turns: int) -> list[float]:
    """Take turns from all of these at once, and return after how many seconds each was given, in order."""
    started = time.monotonic()

    def one(number: int) -> float:
        assert paces[number % len(paces)].wait_for_turn()
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as threads:
        return sorted(threads.map(one, range(turns)))


def assert_at_most(per_second: int, given: list[float]) -> None:
    """Assert that no more turns were given than had become free by then."""
    assert [at for turn, at in enumerate(given) if at < turn // per_second - 0.05] == []


def test_rate_is_never_exceeded_by_two_workers_together(redis_url: str) -> None:
    given = take([Pace(20, redis_url=redis_url), Pace(20, redis_url=redis_url)], turns=50)

    assert_at_most(20, given)
    assert given[-1] < LONGEST_WAIT_SECONDS


def test_turns_that_are_free_cost_no_waiting(redis_url: str) -> None:
    given = take([Pace(1000, redis_url=redis_url)], turns=100)

    assert given[-1] < 1


def test_two_workspaces_with_different_rates_do_not_block_each_other(redis_url: str) -> None:
    take([Pace(5, redis_url=redis_url)], turns=5)

    assert take([Pace(1000, redis_url=redis_url)], turns=1)[0] < 1


def test_rate_holds_locally_without_redis() -> None:
    given = take([Pace(10, redis_url=None)], turns=25)

    assert_at_most(10, given)


def test_rate_holds_locally_while_redis_is_away(dead_url: str) -> None:
    given = take([Pace(10, redis_url=dead_url)], turns=25)

    assert_at_most(10, given)
    assert given[-1] < LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("url", ["dead_url", "silent_url"])
def test_redis_that_is_away_costs_little_time_and_only_once(url: str, request: pytest.FixtureRequest) -> None:
    pace = Pace(1000, redis_url=request.getfixturevalue(url))
    first = take([pace], turns=1)[0]
    others = take([pace], turns=20)[-1]

    assert first < 1 + SLACK
    assert others < 0.5


def test_redis_that_is_away_is_named_once_in_the_log(dead_url: str, caplog: pytest.LogCaptureFixture) -> None:
    pace = Pace(1000, redis_url=dead_url)
    for _ in range(5):
        pace.wait_for_turn()

    assert [record.getMessage() for record in caplog.records] == [
        "pace: Redis is away (ConnectionError), counting locally"
    ]


def test_redis_that_is_full_or_refuses_is_away_as_well(redis_url: str) -> None:
    assert take([Pace(1000, redis_url=redis_url.replace("redis://", "redis://:wrong-password@"))], turns=3)
