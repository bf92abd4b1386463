"""The twin in larger worlds: several signups, three workers, and a broker that loses, doubles and reorders what it has."""

from collections.abc import Iterator

import pytest
from hypothesis import Phase as Generation
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cio_tasks.gate import Reason
from cio_tasks.states import JobStatus, Phase
from tests.stateful.broken import EnrichedDoesNotWait, NoFence
from tests.stateful.invariants import faults_between, faults_of, unfinished
from tests.stateful.model import STUCK_AFTER, Twin
from tests.stateful.processing import process_due, sync_one
from tests.stateful.profiles import LONGEST, chosen
from tests.stateful.rows import Contradiction, Hand, Key, World
from tests.stateful.scheduler import DOWN, LIMITED, OK, REFUSED, STOPPING, UNAUTHORIZED, UNHEARD, Answer, healed

ANSWERS = st.sampled_from([OK, OK, DOWN, UNHEARD, REFUSED, UNAUTHORIZED, LIMITED, STOPPING])
WORKERS = st.integers(0, 2)
MOST_SIGNUPS = 4


class Larger(RuleBasedStateMachine):
    """Rules change the world; each small one is checked as a step, and every world by itself."""

    made = Twin

    def __init__(self) -> None:
        super().__init__()
        self.twin = self.made()
        self.world = self.twin.accept(World(hands=(None, None, None)))
        self.messages: list[Key] = [Key(0, Phase.INITIAL)]

    def _step(self, after: World) -> None:
        assert list(faults_between(self.world, after)) == []
        self.world = after

    # --- the application, which rings after every commit ---

    @precondition(lambda self: len(self.world.signups) < MOST_SIGNUPS)
    @rule()
    def accept(self) -> None:
        self._step(self.twin.accept(self.world))
        self.messages.append(self.world.jobs[-1].key)

    @rule(data=st.data())
    def accept_again(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.world.signups) - 1))
        self._step(self.twin.accept_again(self.world, number))
        self.messages.append(Key(number, Phase.INITIAL))

    @rule(data=st.data())
    def confirm_or_correct(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.world.signups) - 1))
        self._step(self.twin.confirm(self.world, number))
        self.messages.append(Key(number, Phase.ENRICHED))

    # --- the broker ---

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), answer=ANSWERS, kept=st.booleans())
    def message(self, data: st.DataObject, answer: Answer, kept: bool) -> None:
        """Deliver any of the messages; one that is `kept` comes again."""
        key = data.draw(st.sampled_from(self.messages))
        if not kept:
            self.messages.remove(key)
        self.world = sync_one(self.twin, self.world, key, lambda _: answer)

    @rule()
    def wipe_the_broker(self) -> None:
        """Lose all messages. What becomes of the jobs must not depend on them."""
        unheard = self.messages
        self.messages = []
        heard = self.world
        for key in unheard:
            heard = sync_one(self.twin, heard, key, lambda _: OK)
        assert _ends(healed(self.twin, heard)) == _ends(healed(self.twin, self.world))

    # --- workers and sweeps ---

    @rule(worker=WORKERS, answer=ANSWERS, steps=st.integers(1, 3))
    def work(self, worker: int, answer: Answer, steps: int) -> None:
        """Let a worker do its next things, however late that is: claim, send, record."""
        for _ in range(steps):
            self._go_on(worker, answer)

    @rule(workers=st.permutations(range(3)), answer=ANSWERS)
    def overtake(self, workers: list[int], answer: Answer) -> None:
        """Let a worker send and hang, the cleanup come by, and another worker begin."""
        slow, quick, _ = workers
        self.open_the_gate()
        for _ in range(2):
            self._go_on(slow, answer)
        self._step(self.world._replace(now=self.world.now + STUCK_AFTER))
        self._step(self.twin.take_back(self.world, self.twin.look(self.world)))
        self._go_on(quick, answer)

    def _go_on(self, worker: int, answer: Answer) -> None:
        hand = self.world.hands[worker]
        if hand is None:
            for claim in self.twin.claim(self.world):
                self._step(self.twin.claimed(self.world, [claim]).hold(worker, Hand(claim)))
        elif hand.outcome is None:
            self._step(self.twin.send(self.world, worker, answer.outcome, taken=answer.taken))
        else:
            gone = self.world.hold(worker, None)
            self._step(self.twin.record(gone, hand.claim, hand.outcome, asked=hand.asked))

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        self._step(self.world.hold(worker, None))

    @rule(answer=ANSWERS, limit=st.integers(1, 6), region=st.booleans())
    def sweep(self, answer: Answer, limit: int, region: bool) -> None:
        self.world = process_due(self.twin, self.world, limit=limit, batch=1, answers=lambda _: answer, region=region)

    @rule()
    def cleanup_looks(self) -> None:
        self._step(self.world._replace(seen=self.twin.look(self.world)))

    @precondition(lambda self: self.world.seen is not None)
    @rule()
    def cleanup_takes_back(self) -> None:
        self._step(self.twin.take_back(self.world, self.world.seen or ())._replace(seen=None))

    # --- people and time ---

    @rule(data=st.data(), phase=st.sampled_from([None, *Phase]))
    def retry(self, data: st.DataObject, phase: Phase | None) -> None:
        number = data.draw(st.integers(0, len(self.world.signups) - 1))
        self._step(self.twin.retry(self.world, number, phase))

    @rule(wait=st.sampled_from([None, 60]))
    def close_the_gate(self, wait: int | None) -> None:
        self._step(self.twin.close(self.world, Reason.OPERATOR, wait))

    @rule()
    def open_the_gate(self) -> None:
        self._step(self.twin.open_by_hand(self.world))

    @precondition(lambda self: any(True for _ in self._moments()))
    @rule(first=st.booleans())
    def time_passes(self, first: bool) -> None:
        """Let time pass until the first or the last thing is due."""
        moments = sorted(self._moments())
        self._step(self.world._replace(now=moments[0 if first else -1]))

    def _moments(self) -> Iterator[int]:
        for job in self.world.jobs:
            moment = job.updated_at + STUCK_AFTER if job.status is JobStatus.PROCESSING else job.due_at
            if moment is not None and moment > self.world.now:
                yield moment
        yield from (row.until for row in self.world.gate if row.until is not None and row.until > self.world.now)

    @invariant()
    def nothing_is_wrong_with_the_world(self) -> None:
        assert list(faults_of(self.world)) == []

    def teardown(self) -> None:
        """Heal the world without any message; every job must come to its end, and whatever was refused can be retried."""
        quiet = healed(self.twin, self.world)
        assert unfinished(quiet) == []
        again = healed(self.twin, self.twin.retry_all(quiet))
        assert all(job.status is JobStatus.COMPLETED for job in again.jobs)


def _ends(world: World) -> set[tuple[Key, JobStatus, int]]:
    return {(job.key, job.status, job.version) for job in world.jobs if job.status is JobStatus.COMPLETED}


class WithoutFence(Larger):
    made = NoFence


class WithoutOrder(Larger):
    made = EnrichedDoesNotWait


MANY = settings(chosen(), max_examples=5 * chosen().max_examples)
"""Worlds without a database are cheap."""
FOUND = settings(
    chosen(),
    max_examples=2_000,
    stateful_step_count=40,
    phases=[Generation.generate],
    report_multiple_bugs=False,
    derandomize=True,
)
"""What is known to be wrong is found by the same examples every time, and need not be made short."""


@pytest.mark.timeout(LONGEST)
def test_larger_worlds_keep_the_invariants() -> None:
    run_state_machine_as_test(Larger, settings=MANY)


@pytest.mark.parametrize("broken", [WithoutFence, WithoutOrder])
def test_larger_worlds_find_out_a_broken_twin(broken: type[Larger]) -> None:
    with pytest.raises((AssertionError, Contradiction)):
        run_state_machine_as_test(broken, settings=FOUND)
