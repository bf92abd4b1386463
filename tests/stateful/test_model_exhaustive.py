from collections.abc import Iterator

import pytest

from cio_tasks.states import TRANSITIONS, JobStatus, Phase
from tests.stateful.broken import BROKEN
from tests.stateful.invariants import faults_of
from tests.stateful.model import ARROWS, Twin
from tests.stateful.profiles import is_thorough
from tests.stateful.rows import Contradiction, Key, Standing, World, play
from tests.stateful.scenarios import scenarios
from tests.stateful.scheduler import Explored, explore, healed, rebased

DEEPER = 4 if is_thorough() else 0
NAMES = [name for name, _ in scenarios(Twin())]
INITIAL = Key(0, Phase.INITIAL)


class Moving(Twin):
    """A twin that notes which arrows it went along."""

    def __init__(self) -> None:
        self.gone: set[tuple[str, JobStatus | None, JobStatus]] = set()

    def _check_arrow(self, verb: str, source: JobStatus | None, target: JobStatus) -> None:
        super()._check_arrow(verb, source, target)
        self.gone.add((verb, source, target))


def explorations(twin: Twin) -> Iterator[Explored]:
    for _, scenario in scenarios(twin, deeper=DEEPER):
        yield explore(twin, scenario)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.row("B2", "B3", "B6", "B7", "B9", "B10", "D4")
def test_no_interleaving_breaks_an_invariant(name: str) -> None:
    explored = explore(Twin(), dict(scenarios(Twin(), deeper=DEEPER))[name])

    assert (explored.violation, explored.way) == (None, [])
    assert explored.worlds > 500


@pytest.mark.parametrize("broken", BROKEN)
def test_every_broken_twin_is_found_out(broken: type[Twin]) -> None:
    found = next((explored for explored in explorations(broken()) if explored.violation), None)

    assert found is not None, f"{broken.__name__} went unnoticed: {broken.__doc__}"
    assert len(found.way) <= 14 + DEEPER


def test_the_interleavings_go_along_every_arrow() -> None:
    twin = Moving()
    assert all(explored.violation is None for explored in explorations(twin))

    assert twin.gone == ARROWS
    assert len(ARROWS) == len(TRANSITIONS)


def test_a_world_that_is_alike_is_visited_once() -> None:
    twin = Twin()
    later = twin.accept(World(now=1_000))

    assert rebased(later) == rebased(twin.accept(World()))


def test_a_healed_world_is_finished() -> None:
    twin = Twin()
    world = twin.confirm(twin.accept(World()), 0)

    assert [job.status for job in healed(twin, world).jobs] == [JobStatus.COMPLETED] * 2


def test_a_world_without_its_job_is_at_fault() -> None:
    world = Twin().accept(World())._replace(jobs=())

    assert next(faults_of(world)).startswith("I1")


@pytest.mark.parametrize(
    ("told", "action"),
    [
        (None, "delivered"),
        (Standing(JobStatus.PENDING), "enqueued"),
        (Standing(JobStatus.COMPLETED), "manual_retry"),
        (Standing(JobStatus.FAILED), "delivered"),
        (Standing(JobStatus.PENDING, 1), "retry_later"),
        (Standing(JobStatus.COMPLETED), "customerio_sync_failed"),
    ],
)
def test_evidence_that_cannot_have_come_about_is_refused(told: Standing | None, action: str) -> None:
    with pytest.raises(Contradiction):
        play(told, action)
