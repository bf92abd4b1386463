"""How the time of an investigation is shared out."""

from datetime import timedelta

import pytest

from cio_tasks.diagnostics.budget import Budget


@pytest.mark.parametrize(("total", "for_one"), [(2, 0.5), (20, 5), (60, 15)])
def test_whoever_gives_more_time_waits_longer_for_one_answer(total: float, for_one: float) -> None:
    budget = Budget(timedelta(seconds=total))

    assert budget.for_one == timedelta(seconds=for_one)
    assert budget.for_pages < timedelta(seconds=total - for_one)
