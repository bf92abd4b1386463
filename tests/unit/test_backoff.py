from datetime import timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.backoff import MAX_RETRIES, retry_delay

SCHEDULE = [(1, 5), (2, 25), (3, 125), (4, 625), (5, 3125)]


@pytest.mark.row("B6")
@pytest.mark.parametrize(("retry", "seconds"), SCHEDULE)
def test_retry_waits_a_power_of_five_seconds(retry: int, seconds: int) -> None:
    assert retry_delay(retry) == timedelta(seconds=seconds)


@pytest.mark.row("B7")
def test_five_retries_come_5_30_155_780_and_3905_seconds_after_the_first_delivery() -> None:
    delays = [retry_delay(retry).total_seconds() for retry in range(1, MAX_RETRIES + 1)]

    assert list(accumulate(delays)) == [5, 30, 155, 780, 3905]


@pytest.mark.parametrize("retry", [0, -1])
def test_first_delivery_is_no_retry_and_has_no_delay(retry: int) -> None:
    with pytest.raises(ValueError, match=f"counted from 1, not {retry}"):
        retry_delay(retry)


@given(retry=st.integers(1, MAX_RETRIES), scale=st.floats(0.001, 1))
def test_time_scale_multiplies_every_wait(retry: int, scale: float) -> None:
    expected = retry_delay(retry).total_seconds() * scale

    assert retry_delay(retry, scale=scale).total_seconds() == pytest.approx(expected, abs=1e-6)
