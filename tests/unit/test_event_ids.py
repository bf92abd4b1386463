import re
import subprocess
import sys
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.event_ids import event_id
from cio_tasks.fake.validation import event_violations
from cio_tasks.phases import EXTRACTION_CONFIRMED, SIGNUP_SUBMITTED
from cio_tasks.states import Phase

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
SIGNUP = UUID("0197f3c2-5b1e-7000-8000-00000000cafe")
PRINT_ONE = f"""
from uuid import UUID
from cio_tasks.event_ids import event_id
from cio_tasks.states import Phase
print(event_id(signup_id=UUID("{SIGNUP}"), phase=Phase.INITIAL, event="{SIGNUP_SUBMITTED}", version=1))
"""

phases = st.sampled_from(Phase)
versions = st.integers(1, 1_000)
keys = st.tuples(st.uuids(), phases, st.text(), versions)


def id_of(signup_id: UUID = SIGNUP, phase: Phase = Phase.INITIAL, event: str = "e", version: int = 1) -> str:
    return event_id(signup_id=signup_id, phase=phase, event=event, version=version)


@given(keys)
def test_id_has_the_shape_of_a_ulid(key: tuple[UUID, Phase, str, int]) -> None:
    assert ULID.fullmatch(id_of(*key))


@given(keys)
def test_id_depends_on_nothing_but_its_arguments(key: tuple[UUID, Phase, str, int]) -> None:
    assert id_of(*key) == id_of(*key)


@given(st.lists(keys, unique=True, min_size=2, max_size=20))
def test_different_arguments_give_different_ids(several: list[tuple[UUID, Phase, str, int]]) -> None:
    assert len({id_of(*key) for key in several}) == len(several)


def test_neighbours_do_not_collide() -> None:
    events = (SIGNUP_SUBMITTED, EXTRACTION_CONFIRMED)
    signups = [UUID(int=SIGNUP.int + number) for number in range(1_000)]
    ids = {id_of(*key) for key in product(signups, Phase, events, (1, 2, 3))}

    assert len(ids) == len(signups) * 2 * 2 * 3


def test_id_stays_what_it_was_in_every_release() -> None:
    """An attempt after an upgrade must carry the id of the one before it, or Customer.io records the event twice."""
    assert id_of(event=SIGNUP_SUBMITTED) == "347TFYHJZNWKSMVW6QZSJREZXA"


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_makes_the_same_id(hash_seed: str) -> None:
    environment = {"PYTHONHASHSEED": hash_seed}
    printed = subprocess.check_output([sys.executable, "-c", PRINT_ONE], env=environment, text=True)

    assert printed.strip() == id_of(event=SIGNUP_SUBMITTED)


def test_stand_in_takes_it_for_a_ulid() -> None:
    assert not list(event_violations({"name": "e", "id": id_of()}, ulid_required=True))
