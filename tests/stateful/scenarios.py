"""The small worlds that are visited from end to end."""

from collections.abc import Iterator

from cio_tasks.backoff import MAX_RETRIES
from cio_tasks.states import JobStatus, Phase
from tests.stateful import scheduler
from tests.stateful.model import Twin
from tests.stateful.rows import Key, World
from tests.stateful.scheduler import DOWN, LIMITED, OK, REFUSED, STOPPING, UNAUTHORIZED, UNHEARD, Scenario, workers


def scenarios(twin: Twin, *, deeper: int = 0) -> Iterator[tuple[str, Scenario]]:
    """Yield the scenarios by name; `deeper` adds steps to each."""
    people = (scheduler.retrier, scheduler.clock, scheduler.cleanup)
    alone = (workers(OK, DOWN, UNHEARD, REFUSED, STOPPING), *people)
    owed_again = (workers(OK, UNHEARD), scheduler.submitter, *people)
    both = (workers(OK, DOWN, REFUSED), scheduler.submitter, scheduler.confirmer, *people)
    gated = (workers(OK, UNAUTHORIZED, LIMITED), scheduler.gatekeeper, scheduler.prober, *people)
    for used in (0, MAX_RETRIES):
        begun = f"with {used} retries used"
        yield f"one job, {begun}", Scenario(with_retries(twin.accept(World()), used), alone, 14 + deeper)
        yield f"submitted again, {begun}", Scenario(with_retries(twin.accept(World()), used), owed_again, 12 + deeper)
        yield f"both phases, {begun}", Scenario(with_retries(twin.accept(World()), used), both, 12 + deeper)
        yield f"a correction, {begun}", Scenario(with_retries(owing_enriched(twin), used), both, 12 + deeper)
        yield f"the gate, {begun}", Scenario(with_retries(twin.accept(World()), used), gated, 13 + deeper)


def with_retries(world: World, used: int) -> World:
    """Return the world in which the newest job has used some retries."""
    job = world.jobs[-1]
    return world.put(job._replace(retries=used, told=job.told._replace(retries=used)))


def owing_enriched(twin: Twin) -> World:
    """Return a world with one signup whose initial job is done and whose enriched one is owed."""
    world = twin.accept(World())
    (claim,) = twin.claim(world)
    world = twin.claimed(world, [claim])._replace(sent=frozenset([Twin().request(claim, taken=True)]))
    world = twin.record(world, claim, OK.outcome)
    assert world.job(Key(0, Phase.INITIAL)).status is JobStatus.COMPLETED
    return twin.confirm(world, 0)
