"""The quick run, and what the parts of the harness promise to it."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.attacks import VISITED
from tests.chaos.checker import Kind, Verdict, Violation
from tests.chaos.evidence import Strike
from tests.chaos.profiles import FULL, PROFILES, QUICK, Profile, soak
from tests.chaos.recovery import Recovery
from tests.chaos.report import to_json, to_markdown
from tests.chaos.runs import Run, run

BACK = (Recovery(name="kill.worker.after_claim", seconds=(1.5, 2.0, 2.5)),)


def done(*violations: Violation) -> Run:
    strikes = (
        Strike(name="redis.flush", began_at=1, ended_at=2),
        Strike(name="kill.worker.after_claim", began_at=1, ended_at=2, kills=1),
        Strike(name="kill.worker.after_claim", began_at=3, ended_at=9, struck=False),
    )
    verdict = Verdict(violations, {"jobs_completed": 5})
    return Run(profile=QUICK, seed=7, verdict=verdict, strikes=strikes, seconds={"start": 1.5}, recoveries=BACK)


@pytest.mark.timeout(400)
def test_nothing_is_lost_in_a_quick_run() -> None:
    with TemporaryDirectory(prefix="ciosync-chaos-") as folder:
        over = run(QUICK, seed=20261122, folder=Path(folder) / "run")
    assert over.verdict.is_good, to_markdown(over)


# --- profiles ---------------------------------------------------------------------------------------------------------


def planned_kills(profile: Profile) -> int:
    ours = ("worker.kill", "web.kill", "beat.kill")
    return sum(count for name, count in profile.attacks.items() if name.startswith("kill.") or name in ours)


def test_the_full_run_is_as_bad_as_promised() -> None:
    attacks = FULL.attacks
    assert FULL.signups >= 5_000
    assert FULL.kills >= 60
    assert {f"kill.{point}" for point in VISITED} <= attacks.keys()
    assert attacks["redis.flush"] + attacks["redis.kill"] >= 20
    assert attacks["postgres.kill"] >= 6
    assert attacks["customerio.long_outage"] >= 1


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_profile_has_the_kills_that_it_insists_on(name: str) -> None:
    assert planned_kills(PROFILES[name]) >= PROFILES[name].kills


def test_more_kills_are_more_attacks() -> None:
    more = QUICK.changed(signups=400, kills=30, minutes=2)
    assert (more.signups, more.kills, more.minutes, more.per_second) == (400, 30, 2, 2 * QUICK.per_second)
    assert planned_kills(more) == planned_kills(QUICK) + 30 - QUICK.kills
    assert QUICK.changed(signups=None, kills=None, minutes=None) == QUICK


def test_a_soak_insists_on_five_faults_a_minute_and_on_its_load() -> None:
    profile = soak(60)
    assert profile.is_storm
    assert not QUICK.is_storm
    assert (profile.plan().faults, profile.plan().signups, profile.minutes) == (300, 18_000, 60)


# --- the report -------------------------------------------------------------------------------------------------------


def test_a_red_run_says_what_was_wrong_and_how_to_repeat_it() -> None:
    page = to_markdown(done(Violation(Kind.LOST, "x7", "no job"), Violation(Kind.LOST, "x8", "no job")))
    assert "seed 7: 2 violations" in page
    assert "- **lost** (2)\n  - `x7` no job\n  - `x8` no job" in page
    assert "`python -m tests.chaos run --profile quick --seed 7 --signups 200 --kills 7 --minutes 0.5`" in page


def test_a_good_run_lists_what_was_done() -> None:
    page = to_markdown(done())
    assert "seed 7: good" in page
    assert "| kill.worker.after_claim | 1 | 1 | 2.00 | 2.50 | 2.50 |" in page
    assert "| jobs completed | 5 |" in page


def test_the_json_holds_everything() -> None:
    document = json.loads(to_json(done(Violation(Kind.STUCK, "j1", "still pending"))))
    assert document["good"] is False
    assert document["violations"] == [{"kind": "stuck", "subject": "j1", "detail": "still pending"}]
    assert len(document["strikes"]) == 3
    assert document["repeat"].startswith("python -m tests.chaos run")


def test_a_storm_is_repeated_as_a_storm() -> None:
    assert replace(done(), profile=soak(3)).command == "python -m tests.chaos soak --seed 7 --minutes 3"
