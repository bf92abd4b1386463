"""What the seed decides, and that every attack there is can be made."""

import random
from collections import Counter

import pytest

from cio_tasks.failpoints import Failpoint
from tests.chaos.attacks import NAMES, UNVISITED, VISITED, make
from tests.chaos.nemesis import draw_wave, shuffled
from tests.chaos.profiles import PROFILES
from tests.unit.test_failpoints import ELSEWHERE

COUNTS = {"redis.flush": 3, "worker.kill": 2, "postgres.kill": 4}


def test_the_seed_alone_decides_the_order() -> None:
    assert shuffled(COUNTS, 7) == shuffled(dict(reversed(COUNTS.items())), 7)
    assert shuffled(COUNTS, 7) != shuffled(COUNTS, 8)
    assert Counter(shuffled(COUNTS, 7)) == Counter(COUNTS)


def test_waves_of_a_storm_are_drawn_from_the_seed_and_meet_everything() -> None:
    waves = [draw_wave(NAMES, 7, number) for number in range(1_000)]
    assert waves == [draw_wave(NAMES, 7, number) for number in range(1_000)]
    assert waves != [draw_wave(NAMES, 8, number) for number in range(1_000)]
    assert {len(wave) for wave in waves} == {1, 2, 3}
    assert {name for wave in waves for name in wave} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_can_be_made_and_ends(name: str) -> None:
    attack = make(name, random.Random(1), 0.02, 31)
    assert attack.name == name
    assert 0 <= attack.seconds < 120


@pytest.mark.parametrize("name", NAMES)
def test_the_same_chance_makes_the_same_attack(name: str) -> None:
    first, second = (make(name, random.Random(5), 0.02, 31) for _ in range(2))
    assert (first.seconds, first.target) == (second.seconds, second.target)


def test_the_long_outage_outlasts_the_whole_schedule() -> None:
    assert make("customerio.long_outage", random.Random(1), 0.02, 31).seconds > 0.02 * 3905


def test_profiles_name_attacks_that_exist() -> None:
    assert {name for profile in PROFILES.values() for name in profile.attacks} <= set(NAMES)


def test_a_failpoint_is_visited_or_the_reason_is_known() -> None:
    assert set(VISITED) | UNVISITED == set(Failpoint)
    assert set(ELSEWHERE) == UNVISITED
