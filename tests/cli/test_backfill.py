from datetime import timedelta

import pytest
from sqlalchemy import func, update

from cio_tasks.db import Sessions
from cio_tasks.models import Signup, SyncJob
from cio_tasks.states import Phase
from tests.cli.conftest import CommandLine
from tests.factories import BET_SLIP, Factory


def confirmed(make: Factory) -> Signup:
    """Return a signup that was imported with its bet slip, and owes both phases."""
    return make.signup(None, enqueue=False, **BET_SLIP, extraction_version=1, extraction_confirmed_at=func.now())


def jobs(make: Factory) -> list[str]:
    return sorted(job.sync_phase for job in make.all(SyncJob))


def test_what_is_owed_and_has_no_job_is_enqueued(stored_cli: CommandLine, make: Factory) -> None:
    make.signup()
    for _ in range(3):
        make.signup(enqueue=False)
    confirmed(make)
    answer = stored_cli("backfill", "--yes", "--json")
    assert answer.json == {"enqueued": 5, "byPhase": {"initial": 4, "enriched": 1}}
    assert jobs(make) == ["enriched", *["initial"] * 5]


def test_a_second_run_has_nothing_to_do(stored_cli: CommandLine, make: Factory) -> None:
    confirmed(make)
    assert stored_cli("backfill", "--yes", "--json").json["enqueued"] == 2
    assert stored_cli("backfill", "--json").json == {
        "missing": {"initial": 0, "enriched": 0},
        "enqueued": 0,
        "dryRun": False,
    }


def test_a_dry_run_counts_and_enqueues_nothing(stored_cli: CommandLine, make: Factory) -> None:
    confirmed(make)
    answer = stored_cli("backfill", "--dry-run", "--json")
    assert answer.json == {"missing": {"initial": 1, "enriched": 1}, "enqueued": 0, "dryRun": True}
    assert jobs(make) == []


@pytest.mark.parametrize(
    ("options", "found"), [(["--phase", "enriched"], ["enriched"]), (["--limit", "1"], ["initial"])]
)
def test_phase_and_limit_narrow_it(
    options: list[str], found: list[str], stored_cli: CommandLine, make: Factory
) -> None:
    confirmed(make)
    answer = stored_cli("backfill", *options, "--yes")
    assert answer.code == 0, answer.err
    assert jobs(make) == found


def test_older_signups_are_left_alone_unless_asked_for(
    stored_cli: CommandLine, make: Factory, sessions: Sessions
) -> None:
    make.signup(enqueue=False)
    with sessions.begin() as session:
        session.execute(update(Signup).values(created_at=func.now() - timedelta(days=400)))
    assert stored_cli("backfill", "--yes", "--json").json["enqueued"] == 0
    assert stored_cli("backfill", "--since", "2020-01-01", "--yes", "--json").json["enqueued"] == 1


def test_a_signup_whose_job_retention_deleted_is_not_sent_again(
    stored_cli: CommandLine, make: Factory, sessions: Sessions
) -> None:
    make.signup(enqueue=False)
    synced = {"customerio_synced": True, "customerio_synced_at": func.now(), "customerio_contact_id": "x"}
    with sessions.begin() as session:
        session.execute(update(Signup).values(**synced))
    assert stored_cli("backfill", "--dry-run", "--json").json["missing"][Phase.INITIAL] == 0


def test_many_need_a_yes(stored_cli: CommandLine, make: Factory) -> None:
    confirmed(make)
    answer = stored_cli("backfill")
    assert (answer.code, "--yes" in answer.err, jobs(make)) == (2, True, [])


@pytest.mark.parametrize("options", [["--since", "yesterday"], ["--limit", "0"], ["--phase", "both"]])
def test_bad_input_enqueues_nothing(options: list[str], stored_cli: CommandLine, make: Factory) -> None:
    confirmed(make)
    assert stored_cli("backfill", *options, "--yes").code == 2
    assert jobs(make) == []
