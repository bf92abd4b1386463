from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.customerio.replies import parse_retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHORTEST, LONGEST, UNSAID = timedelta(seconds=1), timedelta(minutes=15), timedelta(seconds=5)

dates = st.datetimes(timezones=st.just(UTC)).map(format_datetime)
nearly_dates = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d?:\d\d?(:\d\d?)? ([A-Z]{3}|[+-]\d{4,9})"
)


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 1), ("1", 1), ("3", 3), (" 120 ", 120), ("900", 900), ("901", 900), ("9" * 5_000, 900), ("007", 7)],
)
def test_seconds_are_kept_between_one_second_and_a_quarter_of_an_hour(header: str, seconds: int) -> None:
    assert parse_retry_after(header) == timedelta(seconds=seconds)


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30),
        ("Thu Jan  1 12:00:30 2026", 30),
        ("Thu, 01 Jan 2026 12:00:00 GMT", 1),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ("Thu, 01 Jan 2026 13:00:00 GMT", 900),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900),
    ],
)
def test_date_is_taken_as_the_time_left_until_then(header: str, seconds: int) -> None:
    assert parse_retry_after(header, now=NOW) == timedelta(seconds=seconds)


@pytest.mark.row("A3")
@pytest.mark.parametrize(
    "header", [None, "", " ", "-1", "1e9", "1.5", "soon", "²", "٣", "1, 2", "Thu, 99 Jan 2026 12:00:00 GMT", "\x00"]
)
def test_header_that_says_nothing_means_five_seconds(header: str | None) -> None:
    assert parse_retry_after(header) == UNSAID


@given(st.text() | dates | nearly_dates | st.integers().map(str) | st.floats().map(str))
def test_any_text_gives_a_wait_within_the_bounds(header: str) -> None:
    assert SHORTEST <= parse_retry_after(header, now=NOW) <= LONGEST
