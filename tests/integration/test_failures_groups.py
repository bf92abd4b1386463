from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cio_tasks.failures import FailureFilter, FailureGroup, list_groups
from cio_tasks.models import DeadLetter
from cio_tasks.states import Phase
from tests.factories import Factory
from tests.integration.buried import bury

ALL = FailureFilter()
HOUR = timedelta(hours=1)
ID = "0198c1de-0000-7000-8000-000000000001"


def only_group(session: Session) -> FailureGroup:
    (group,) = list_groups(session, ALL)
    return group


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("no answer after 15 s", "no answer after 7 s", "no answer after # s"),
        ("a@example.com is taken", "g•••@ex•••.org is taken", "# is taken"),
        (f"job {ID} is odd", f"job {ID[:-1]}2 is odd", "job # is odd"),
        ("event 01J9ZQ3V0M8XK2T5R7W4 came", "event 01J9ZQ3V0M8XK2T5R7W5 came", "event # came"),
        ("item 3: email too long", "item 17: email too long", "item #: email too long"),
        ("it says http_503", "it says http_504", "it says http_#"),
    ],
)
def test_what_differs_from_job_to_job_makes_no_difference(
    session: Session, make: Factory, first: str, second: str, message: str
) -> None:
    for text in (first, second):
        bury(make, make.signup(), error_message=text)
    group = only_group(session)

    assert (group.message, group.total) == (message, 2)
    assert group.fingerprint == f"server_error · 503 · {message}"


@pytest.mark.parametrize(
    "other", [{"error_type": "network"}, {"http_status": 504}, {"http_status": None}, {"error_message": "Gone"}]
)
def test_other_causes_are_other_groups(session: Session, make: Factory, other: dict[str, Any]) -> None:
    bury(make, make.signup())
    bury(make, make.signup(), **other)

    assert len(list_groups(session, ALL)) == 2


def test_a_group_says_how_many_it_has_and_when_they_were_seen(session: Session, make: Factory) -> None:
    ages = [HOUR / 2, 2 * HOUR, 3 * HOUR, 48 * HOUR, 24 * 30 * HOUR]
    jobs = [bury(make, make.signup(), ago=age) for age in ages]
    letters = sorted(make.all(DeadLetter), key=lambda letter: letter.created_at, reverse=True)
    group = only_group(session)

    assert (group.total, group.last_hour, group.last_day, group.last_week) == (5, 1, 3, 4)
    assert [group.last_seen, group.first_seen] == [letters[0].created_at, letters[-1].created_at]
    assert group.example_job_id in {job.id for job in jobs}


def test_the_largest_group_comes_first_and_the_later_one_of_equals(session: Session, make: Factory) -> None:
    for message, hours in (("c", 3), ("e", 1), ("a", 5), ("many", 9), ("b", 2), ("many", 9), ("d", 4)):
        bury(make, make.signup(), ago=hours * HOUR, error_message=message)

    assert [group.message for group in list_groups(session, ALL)] == ["many", "e", "b", "c", "d", "a"]
    assert [group.message for group in list_groups(session, ALL, limit=1)] == ["many"]


def test_groups_are_of_the_failures_that_the_filter_matches(session: Session, make: Factory) -> None:
    signup = make.signup(first_name="Grace")
    make.confirm(signup)
    for phase in Phase:
        bury(make, signup, phase)
    bury(make, make.signup())

    assert only_group(session).total == 3
    assert [group.total for group in list_groups(session, FailureFilter(search="grace"))] == [2]
    assert [group.total for group in list_groups(session, FailureFilter(phase=Phase.ENRICHED, search="grace"))] == [1]


def test_a_failure_without_a_message_or_a_dead_letter_has_a_group_too(session: Session, make: Factory) -> None:
    make.set(make.job(make.signup()).id, status="failed")

    assert only_group(session).fingerprint == "- · - · "
