"""All interleavings of a few actors over one signup, each world visited once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cio_tasks.gate import Reason
from cio_tasks.outcomes import Deferred, Delivered, ErrorType, Outcome, Rejected, RetryLater
from cio_tasks.states import JobStatus
from tests.stateful.invariants import faults_between, faults_of, unfinished
from tests.stateful.model import STUCK_AFTER, NoSuchArrow, Twin
from tests.stateful.rows import Closing, Contradiction, Hand, Job, World

Step = tuple[str, World]
Actor = Callable[[Twin, World], Iterator[Step]]
NAMES: Final = "AB"


@dataclass(frozen=True)
class Answer:
    """How Customer.io, or the way to it, may answer; `taken`: whether it took the request all the same."""

    name: str
    outcome: Outcome
    taken: bool = False


OK: Final = Answer("ok", Delivered(200), taken=True)
DOWN: Final = Answer("503", RetryLater(ErrorType.SERVER_ERROR, "http_503", "down", 503))
UNHEARD: Final = Answer("timeout after it was taken", RetryLater(ErrorType.NETWORK, "timeout", "no answer"), taken=True)
REFUSED: Final = Answer("400", Rejected("http_400", "refused", 400))
UNAUTHORIZED: Final = Answer("401", Rejected("http_401", "refused", 401))
LIMITED: Final = Answer("429", RetryLater(ErrorType.RATE_LIMIT, "http_429", "slow", 429, timedelta(seconds=60)))
STOPPING: Final = Answer("stop", Deferred("stopping", "told to stop"))


def workers(*answers: Answer) -> Actor:
    """Two workers: each claims, sends, records, and may die between any two of these."""

    def act(twin: Twin, world: World) -> Iterator[Step]:
        for number, hand in enumerate(world.hands):
            if hand is not None:
                yield from _go_on(twin, world, number, answers)
                yield f"{NAMES[number]} dies", world.hold(number, None)
            elif number == 0 or world.hands[0] is not None:  # they are alike: of two idle ones the first begins
                yield from _claim(twin, world, number)

    return act


def _claim(twin: Twin, world: World, number: int) -> Iterator[Step]:
    for claim in twin.claim(world, limit=1):
        yield f"{NAMES[number]} claims {claim.key.phase}", twin.claimed(world, [claim]).hold(number, Hand(claim))


def _go_on(twin: Twin, world: World, number: int, answers: Sequence[Answer]) -> Iterator[Step]:
    name, hand = NAMES[number], world.hands[number]
    assert hand is not None
    if hand.outcome is not None:
        yield f"{name} records", twin.record(world.hold(number, None), hand.claim, hand.outcome, asked=hand.asked)
    elif hand.claim.initial_failed:
        yield f"{name} sends nothing", twin.send(world, number, OK.outcome, taken=False)
    else:
        for answer in answers:
            yield f"{name} sends: {answer.name}", twin.send(world, number, answer.outcome, taken=answer.taken)


def cleanup(twin: Twin, world: World) -> Iterator[Step]:
    """Take back what is stuck, in two steps, since others may act in between."""
    if world.seen is not None:
        yield "cleanup takes back", twin.take_back(world, world.seen)._replace(seen=None)
    elif seen := twin.look(world):
        yield "cleanup looks", world._replace(seen=seen)


def retrier(twin: Twin, world: World) -> Iterator[Step]:
    """A person who retries whatever has failed."""
    if any(job.status is JobStatus.FAILED for job in world.jobs):
        yield "operator retries", twin.retry_all(world)


def gatekeeper(twin: Twin, world: World) -> Iterator[Step]:
    """A person who closes the gate and opens it."""
    if twin.is_closed(world):
        yield "operator opens", twin.open_by_hand(world)
    else:
        yield "operator closes", twin.close(world, Reason.OPERATOR, None)


def prober(twin: Twin, world: World) -> Iterator[Step]:
    """Somebody who asks the region when the gate's time has come, and may hear that it works or does not."""
    if reasons := twin.begin_probe(world):
        begun = twin.probed(world, reasons)
        yield "probe finds it works", twin.settle(begun, reasons, works=True)
        yield "probe finds it fails", twin.settle(begun, reasons, works=False)


def submitter(twin: Twin, world: World) -> Iterator[Step]:
    """An application that submits the same signup again."""
    yield "submitted again", twin.accept_again(world, 0)


def confirmer(twin: Twin, world: World) -> Iterator[Step]:
    """An application that confirms the bet slip, and corrects it once."""
    if world.signups[0].version < 2:
        yield "confirmed", twin.confirm(world, 0)


def clock(twin: Twin, world: World) -> Iterator[Step]:
    """Time: it passes until the next thing is due."""
    if moments := sorted(_moments(world)):
        yield f"{moments[0] - world.now} s pass", world._replace(now=moments[0])


def _moments(world: World) -> Iterator[int]:
    for job in world.jobs:
        moment = job.updated_at + STUCK_AFTER if job.status is JobStatus.PROCESSING else job.due_at
        if moment is not None and moment > world.now:
            yield moment
    yield from (row.until for row in world.gate if row.until is not None and row.until > world.now)


# --- visiting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """Who acts, from which world, and for how many steps."""

    start: World
    actors: Sequence[Actor]
    depth: int = 12


@dataclass
class Explored:
    """What was visited, and the first thing that was wrong: the way there, and what it is."""

    worlds: int = 0
    steps: int = 0
    violation: str | None = None
    way: list[str] = field(default_factory=list)


def explore(twin: Twin, scenario: Scenario) -> Explored:
    """Visit every world within the scenario's depth, nearest first, until a step or a world is wrong."""
    exploration = _Exploration(twin, scenario)
    found = exploration.found
    found.violation = exploration.visit_all() or exploration.find_unhealed()
    found.worlds = len(exploration.came)
    return found


class _Exploration:
    """One exploration: from where each world was first reached, and by which step."""

    def __init__(self, twin: Twin, scenario: Scenario) -> None:
        self.twin, self.scenario, self.found = twin, scenario, Explored()
        self.came: dict[World, tuple[World, str] | None] = {rebased(scenario.start): None}

    def visit_all(self) -> str | None:
        """Go through the worlds level by level; return what is wrong, if anything is."""
        level = list(self.came)
        for _ in range(self.scenario.depth):
            following: list[World] = []
            for world in level:
                fault = self._visit(world, following)
                if fault is not None:
                    return fault
            level = following
        return None

    def _visit(self, world: World, following: list[World]) -> str | None:
        try:
            for label, reached in self._steps_from(world):
                fault = self._arrive(world, label, reached, following)
                if fault is not None:
                    self.found.way = [*self._way_to(world), label]
                    return fault
        except (NoSuchArrow, Contradiction) as error:
            self.found.way = self._way_to(world)
            return f"I5: {error}"
        return None

    def _steps_from(self, world: World) -> Iterator[Step]:
        for actor in self.scenario.actors:
            yield from actor(self.twin, world)

    def _arrive(self, world: World, label: str, reached: World, following: list[World]) -> str | None:
        self.found.steps += 1
        fault = next(faults_between(world, reached), None)
        after = rebased(reached)
        if fault is None and after not in self.came:
            self.came[after] = (world, label)
            following.append(after)
            fault = next(faults_of(after), None)
        return fault

    def _way_to(self, world: World) -> list[str]:
        labels: list[str] = []
        while (step := self.came[world]) is not None:
            world, label = step
            labels.append(label)
        return labels[::-1]

    def find_unhealed(self) -> str | None:
        """I19: from wherever it got, with all workers dead and then all faults gone, every job must come to its end."""
        ends: dict[World, list[Job]] = {}
        for world in [] if self.found.way else self.came:
            alone = world._replace(hands=(None, None), seen=None, sent=frozenset())
            if alone not in ends:
                ends[alone] = unfinished(healed(self.twin, alone))
            if ends[alone]:
                self.found.way = self._way_to(world)
                return f"I19: it never ends: {ends[alone][0]}"
        return None


def rebased(world: World) -> World:
    """Return the same world at the time 0, without what no longer matters, so that what is alike is equal."""
    now = world.now
    return world._replace(
        now=0,
        jobs=tuple(_rebased_job(job, now) for job in world.jobs),
        gate=tuple(_rebased_closing(row, now) for row in world.gate if row.closed_at is not None),
        noticed=world.noticed._replace(recent=(), probes=()),
    )


def _rebased_job(job: Job, now: int) -> Job:
    held = job.status is JobStatus.PROCESSING
    due = None if job.due_at is None or job.due_at <= now else job.due_at - now
    return job._replace(created_at=0, updated_at=max(job.updated_at - now, -STUCK_AFTER) if held else 0, due_at=due)


def _rebased_closing(row: Closing, now: int) -> Closing:
    until = None if row.until is None else max(row.until - now, 0)
    return Closing(row.reason, 0, until, row.failed_probes, None)


# --- liveness -------------------------------------------------------------------------------------------------------

ROUNDS: Final = 20
"""How often time may have to pass until a handful of jobs is done: far more than their retries are."""


def healed(twin: Twin, world: World) -> World:
    """Return the world after all faults are gone and everything that repeats itself has been repeated."""
    world = twin.open_by_hand(world._replace(hands=(None, None)))
    for _ in range(ROUNDS):
        world = twin.take_back(world, twin.look(world))
        while claims := twin.claim(world, limit=1):
            world = twin.send(twin.claimed(world, claims).hold(0, Hand(claims[0])), 0, OK.outcome, taken=True)
            hand = world.hands[0]
            assert hand is not None
            assert hand.outcome is not None
            world = twin.record(world.hold(0, None), hand.claim, hand.outcome, asked=hand.asked)
        if not unfinished(world):
            break
        moments = sorted(_moments(world))
        world = world._replace(now=moments[0] if moments else world.now)
    return world
