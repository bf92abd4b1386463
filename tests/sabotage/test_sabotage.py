"""That the catalogue fits the product as it is now. Whether the tests notice, `python -m tests.sabotage` finds out."""

from collections import Counter
from pathlib import Path

import pytest

from tests.rules.tree import ROOT
from tests.sabotage.catalogue import SABOTAGES
from tests.sabotage.records import Drifted, Edit, Sabotage, missing_tests, patched


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.name)
def test_every_sabotage_still_fits(sabotage: Sabotage) -> None:
    files = patched(ROOT, sabotage.edits)
    assert all(source != (ROOT / file).read_text(encoding="utf-8") for file, source in files.items())


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.name)
def test_every_test_that_is_named_exists(sabotage: Sabotage) -> None:
    assert sabotage.caught_by
    assert list(missing_tests(ROOT, sabotage.caught_by)) == []


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(SABOTAGES) >= 25
    assert Counter(one.name for one in SABOTAGES).most_common(1)[0][1] == 1
    assert all(one.rule.endswith(".") for one in SABOTAGES)


@pytest.mark.parametrize(
    ("source", "why"), [("a = 2", "0 times"), ("a = 1\na = 1", "2 times"), ("(\na = 1", "no Python")]
)
def test_a_sabotage_that_no_longer_fits_is_seen(source: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text(source)
    with pytest.raises(Drifted, match=why):
        patched(tmp_path, (Edit("product.py", "a = 1", "a = 3"),))


def test_a_file_that_went_away_is_seen(tmp_path: Path) -> None:
    with pytest.raises(Drifted, match=r"no product\.py"):
        patched(tmp_path, (Edit("product.py", "a", "b"),))


def test_edits_of_one_file_add_up(tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text("a = 1\nb = 1\n")
    edits = Edit("product.py", "a = 1", "a = 2"), Edit("product.py", "b = 1", "b = 2")
    assert patched(tmp_path, edits) == {"product.py": "a = 2\nb = 2\n"}


def test_a_test_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(): pass")
    named = ("test_it.py::test_a", "test_it.py::test_b", "test_other.py::test_a", "test_it.py")
    assert list(missing_tests(tmp_path, named)) == list(named[1:])
