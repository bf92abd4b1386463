"""The workshop itself: it breaks a copy and never the tree, and a mistake that nobody notices is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.tree import ROOT
from tests.sabotage.__main__ import break_in_turn
from tests.sabotage.records import Edit, Sabotage, sabotage
from tests.sabotage.workshop import Workshop, read_report, workshop

BACKOFF = "cio_tasks/backoff.py"
CATCHES = "unit/test_backoff.py::test_retry_waits_a_power_of_five_seconds"
UNHARMED = "unit/test_backoff.py::test_first_delivery_is_no_retry_and_has_no_delay"
SIX = Edit(BACKOFF, "seconds=5**retry * scale", "seconds=6**retry * scale")
REPORT = """
<testsuites><testsuite>
  <testcase classname="tests.unit.test_a" name="test_good"/>
  <testcase classname="tests.unit.test_a" name="test_mixed[1]"/>
  <testcase classname="tests.unit.test_a" name="test_mixed[2]"><failure/></testcase>
  <testcase classname="tests.unit.test_a" name="test_without_fixture"><error/></testcase>
  <testcase classname="tests.unit.test_a" name="test_left_out"><skipped/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Workshop]:
    with workshop() as place:
        yield place


def caught_by(*tests: str, edit: Edit = SIX) -> Sabotage:
    return sabotage("six", "Five to the power of the retry.", edit, caught_by=tests)


@pytest.mark.timeout(120)
def test_a_named_test_that_does_not_notice_is_told_and_the_tree_stays_whole(place: Workshop) -> None:
    before = (ROOT / BACKOFF).read_text(encoding="utf-8")
    trouble = break_in_turn(place, caught_by(CATCHES, UNHARMED)).trouble
    assert trouble is not None
    assert trouble.partition(":")[0] == UNHARMED.partition("::")[2]
    assert (ROOT / BACKOFF).read_text(encoding="utf-8") == before


def test_a_mistake_that_no_longer_fits_is_told(place: Workshop) -> None:
    trouble = break_in_turn(place, caught_by(CATCHES, edit=Edit(BACKOFF, "7**retry", "8**retry"))).trouble
    assert trouble is not None
    assert trouble.startswith("drifted: ")


def test_only_a_failure_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    failed, passed = read_report(tmp_path / "report.xml")
    assert failed == {"tests/unit/test_a.py::test_mixed"}
    assert passed == {"tests/unit/test_a.py::test_good"}


def test_without_a_report_nothing_ran(tmp_path: Path) -> None:
    assert read_report(tmp_path / "report.xml") == (frozenset(), frozenset())
