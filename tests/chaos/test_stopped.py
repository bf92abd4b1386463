"""Three workers that sleep with a claim in their hands, one at each place, and what tells that one changed something."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, func

from tests.chaos.sleepers import PLACES
from tests.chaos.stopped import TABLES, digests, find_changes, prove, read_operations, read_rows
from tests.chaos.submitting import pid_of
from tests.factories import Factory


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="ciosync-stopped-") as folder:
        yield Path(folder)


@pytest.mark.timeout(900)
def test_workers_that_wake_up_too_late_change_no_row(folder: Path) -> None:
    proof = prove(folder / "run", processes=len(PLACES), hurry=True)
    assert proof.holds, proof.page()


# --- what is compared -------------------------------------------------------------------------------------------------


def test_a_row_that_was_written_anew_is_seen_in_its_table_alone(engine: Engine, make: Factory) -> None:
    job = make.job(make.signup())
    before = read_rows(engine)
    make.set(job.id, updated_at=func.now())
    after = read_rows(engine)
    assert sorted(change.partition(":")[0] for change in find_changes(before, after)) == ["jobs, gone", "jobs, new"]
    assert [table for table in TABLES if len(set(digests(before, after, table).split()[1:])) > 1] == ["jobs"]


def test_rows_that_nobody_touched_are_the_same(engine: Engine, make: Factory) -> None:
    make.confirm(make.signup())
    rows = read_rows(engine)
    assert {table: len(found) for table, found in rows.items()} == {
        "customers": 1,
        "signups": 1,
        "jobs": 2,
        "attempts": 0,
        "dead letters": 0,
        "audit": 2,
    }
    assert not list(find_changes(rows, read_rows(engine)))


def test_a_repeat_is_the_same_operation_whatever_became_of_it(folder: Path) -> None:
    sent = {"type": "person", "event_id": "e1", "attributes": {"a": 1, "b": 2}}
    entries = [
        {"operations": [{**sent, "applied": True, "why": None}]},
        {"operations": [{**sent, "applied": False, "why": "duplicate"}, {**sent, "event_id": "e2"}]},
    ]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    first, again, other = read_operations(folder / "ledger.jsonl")
    assert first == again != other


def test_the_process_is_read_from_the_name_of_a_worker() -> None:
    assert [pid_of(name) for name in ("host:41:0a1b", "ho:st:7:0a1b", None)] == [41, 7, None]
