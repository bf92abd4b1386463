"""The product on a real Postgres, step by step beside its twin: after every step both must say the same."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cio_tasks import maintenance, operations, phases, processor, transitions, wake
from cio_tasks.claims import Claim
from cio_tasks.customerio import CustomerIO
from cio_tasks.db import Sessions
from cio_tasks.delivery import Result, record
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.errors import NotFound
from cio_tasks.failures import FailureFilter
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.gate import Reason
from cio_tasks.journal import Exchange
from cio_tasks.models import Signup
from cio_tasks.outcomes import INITIAL_FAILED, Deferred, ErrorType, Outcome, Rejected, RetryLater
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus, Phase
from tests.factories import Factory
from tests.stateful.database import Database
from tests.stateful.invariants import faults_of, unfinished
from tests.stateful.model import STUCK_AFTER, Twin
from tests.stateful.processing import process_due, sync_one
from tests.stateful.profiles import LONGEST, chosen
from tests.stateful.rows import Hand, Key, World
from tests.stateful.weather import FAIR, PEOPLE, REFUSING, WEATHERS, Weather

WORKERS = st.integers(0, 2)
TIMEOUT = RetryLater(ErrorType.NETWORK, "timeout", "no answer in time")
STOPPING = Deferred("stopping", "the worker was told to stop")
MIXED = st.sampled_from([FAIR, FAIR, FAIR, *WEATHERS])
MANNERS = st.sampled_from(["well", "well", "never heard", "told to stop", "recorded twice"])
JUMPS = (5, 25, 125, 300, 625, 3_125)
MOST_SIGNUPS = 5
ROUNDS_TO_QUIET = 20


@dataclass
class Held:
    """What a worker of the product has in hand."""

    claim: Claim
    result: Result | None = None


@dataclass
class Parts:
    """The product, as the machine uses it."""

    runtime: Runtime
    fake: FakeCustomerIO
    make: Factory
    examples: int = 0
    done: Counter[str] = field(default_factory=Counter)

    @property
    def sessions(self) -> Sessions:
        return self.runtime.sessions


class Lockstep(RuleBasedStateMachine):
    """Each rule does one thing to the product and to the twin. The invariants compare them and look at both."""

    parts: ClassVar[Parts]

    def __init__(self) -> None:
        super().__init__()
        self.runtime, self.twin = self.parts.runtime, Twin()
        self.parts.fake.reset()
        self.parts.examples += 1
        self.database = Database(self.parts.sessions)
        self.world = World(hands=(None, None, None))
        self.held: dict[int, Held] = {}
        self.people: list[str] = []

    def _begin(self, step: str, passed: int = 0) -> None:
        self.parts.done[step] += 1
        self.world = self.world._replace(now=self.world.now + passed)
        self.database.settle(passed)

    def _set(self, weather: Weather) -> None:
        if self.parts.fake.scenario != weather.scenario:
            self.parts.fake.scenario = weather.scenario

    # --- the application ---

    @initialize(person=st.sampled_from(sorted(PEOPLE)), far=st.sampled_from(["submitted", "confirmed", "half done"]))
    def begin(self, person: str, far: str) -> None:
        """Begin with a signup: just submitted, confirmed as well, or with only its enriched job left to do."""
        self.accept("" if far == "half done" else person)
        if far == "half done":
            self._begin("sweep in fair")
            self._sweep(FAIR, limit=1, batch=1)
        if far != "submitted":
            self._confirm(0)

    @precondition(lambda self: len(self.people) < MOST_SIGNUPS)
    @rule(person=st.sampled_from(sorted(PEOPLE)))
    def accept(self, person: str) -> None:
        self._begin("accept")
        signup = self.parts.make.signup(f"ada{len(self.people)}{person}@example.com")
        self.database.signups.append(signup.id)
        self.people.append(person)
        self.world = self.twin.accept(self.world)

    @rule(data=st.data())
    def accept_again(self, data: st.DataObject) -> None:
        self._accept_again(data.draw(st.integers(0, len(self.people) - 1)))

    def _accept_again(self, number: int) -> None:
        self._begin("accept again")
        with self.parts.sessions.begin() as session:
            enqueue_sync(session, self._row(session, number), Phase.INITIAL)
        self.world = self.twin.accept_again(self.world, number)

    @rule(data=st.data())
    def confirm_or_correct(self, data: st.DataObject) -> None:
        self._confirm(data.draw(st.integers(0, len(self.people) - 1)))

    def _confirm(self, number: int) -> None:
        self._begin("confirm")
        with self.parts.sessions() as session:
            signup = self._row(session, number)
        self.parts.make.confirm(signup, bet_amount=10 + self.world.signups[number].version)
        self.world = self.twin.confirm(self.world, number)

    def _row(self, session: Any, number: int) -> Signup:
        return session.get_one(Signup, self.database.signups[number])  # type: ignore[no-any-return]

    # --- workers, step by step ---

    @rule(worker=WORKERS, weather=MIXED, manner=MANNERS)
    def work(self, worker: int, weather: Weather, manner: str) -> None:
        """Let a worker do the next thing: claim, send, or record what it met, however late that is by now."""
        self._go_on(worker, weather, manner)

    @rule(worker=WORKERS, weather=MIXED, manner=MANNERS, steps=st.integers(2, 3))
    def work_on(self, worker: int, weather: Weather, manner: str, steps: int) -> None:
        """Let a worker do the next two or three things, when there is something to do."""
        self._make_way()
        for _ in range(steps):
            self._go_on(worker, weather, manner)
            self.the_tables_say_what_the_twin_says()

    @rule(workers=st.permutations(range(3)), weather=MIXED, manner=MANNERS)
    def overtake(self, workers: list[int], weather: Weather, manner: str) -> None:
        """Let a worker hang after it claimed and sent, be found stuck, and come back while another one delivers."""
        slow, quick, _ = workers
        self._make_way()
        for _ in range(2):
            self._go_on(slow, weather, manner)
        self._begin("time passes", STUCK_AFTER)
        self._clean_up()
        self.the_tables_say_what_the_twin_says()
        for worker in (quick, slow):
            self._go_on(worker, weather, manner)

    def _make_way(self) -> None:
        """Let there be a job to claim, if that is only a question of the gate or of time."""
        if self.twin.is_closed(self.world):
            self.open_the_gate()
        if not self.twin.claim(self.world) and any(True for _ in self._moments()):
            self.time_passes_until_something_is_due()

    def _go_on(self, worker: int, weather: Weather, manner: str) -> None:
        held = self.held.get(worker)
        if held is None:
            self._claim(worker)
        elif held.result is not None:
            self._record(worker, held.result, times=2 if manner == "recorded twice" else 1)
        elif manner == "told to stop":
            self._stop(worker, held)
        else:
            self._send(worker, held, weather, heard=manner != "never heard")

    def _claim(self, worker: int, key: Key | None = None) -> None:
        self._begin("claim")
        job_id = None if key is None else self.database.job_id(key)
        with self.parts.sessions.begin() as session:
            claims = transitions.claim(session, worker=f"worker {worker}", limit=1, job_id=job_id)
        self._take(worker, claims, key)

    def _take(self, worker: int, claims: list[Claim], key: Key | None = None) -> None:
        expected = self.twin.claim(self.world, limit=1, key=key)
        assert [self._words(claim) for claim in claims] == list(expected)
        for theirs, ours in zip(claims, expected, strict=True):
            self.held[worker] = Held(theirs)
            self.world = self.twin.claimed(self.world, [ours]).hold(worker, Hand(ours))

    def _words(self, claim: Claim) -> tuple[object, ...]:
        key = Key(self.database.signups.index(claim.signup_id), claim.phase)
        return (key, claim.token, claim.attempt_count, claim.payload_version, claim.initial_failed)

    @precondition(lambda self: len(self.held) <= 1 and len(self.twin.claim(self.world, limit=2)) > 1)
    @rule()
    def claim_in_open_transactions(self) -> None:
        """Two idle workers claim while neither has committed: each takes what the other does not."""
        one, two, *_ = self._idle()
        self._begin("claim at once")
        with self.parts.sessions() as mine, self.parts.sessions() as theirs:
            taken = [
                (worker, transitions.claim(session, worker=f"worker {worker}", limit=1))
                for worker, session in ((one, mine), (two, theirs))
            ]
            mine.commit()
            theirs.commit()
        for worker, claims in taken:
            self._take(worker, claims)

    def _send(self, worker: int, held: Held, weather: Weather, *, heard: bool) -> None:
        """Send, however old the claim is. Not `heard`: the call ends in a timeout, whatever was answered."""
        hand = self._hand(worker)
        self._begin(f"send in {weather.name}" if heard else "send and time out")
        self._set(weather)
        answer = weather.answer_to(self.people[hand.claim.key.signup])
        held.result = self._ask(held.claim, None if heard else TIMEOUT)
        if not hand.claim.initial_failed:
            assert _word(held.result.outcome) == _word(answer.outcome if heard else TIMEOUT)
        self.world = self.twin.send(self.world, worker, held.result.outcome, taken=answer.taken)

    def _ask(self, claim: Claim, instead: Outcome | None) -> Result:
        if claim.initial_failed:
            return Result(claim, Rejected(INITIAL_FAILED, "not sent"))
        reply, result = self.runtime.client.batch(phases.build(claim))
        outcome = next(iter(result.items.values()), result.outcome) if instead is None else instead
        return Result(claim, outcome, Exchange(reply.request_id, 1, reply.elapsed))

    def _hand(self, worker: int) -> Hand:
        hand = self.world.hands[worker]
        assert hand is not None
        return hand

    def _stop(self, worker: int, held: Held) -> None:
        self._begin("stop")
        held.result = Result(held.claim, STOPPING)
        self.world = self.world.hold(worker, self._hand(worker)._replace(outcome=STOPPING))

    def _record(self, worker: int, result: Result, *, times: int) -> None:
        """Record on time, or after others took the job; twice changes no more than once."""
        hand = self._hand(worker)
        assert hand.outcome is not None
        del self.held[worker]
        self.world = self.world.hold(worker, None)
        for _ in range(times):
            held = self.twin.holds(self.world.job(hand.claim.key), hand.claim)
            self._begin("record" if held else "record late")
            assert bool(record(self.runtime, [result])) is held
            self.world = self.twin.record(self.world, hand.claim, hand.outcome, asked=hand.asked)

    @precondition(lambda self: self._idle() and self._may_be_corrected())
    @rule(data=st.data(), weather=MIXED, manner=MANNERS)
    def correct_what_is_under_way(self, data: st.DataObject, weather: Weather, manner: str) -> None:
        """Correct a bet slip while a worker delivers it: the newer version is owed when that is over."""
        key = data.draw(st.sampled_from(self._may_be_corrected()))
        worker = self._idle()[0]
        self._claim(worker, key)
        self._confirm(key.signup)
        for _ in range(2):
            self._go_on(worker, weather, manner)

    def _idle(self) -> list[int]:
        return [worker for worker in range(3) if worker not in self.held]

    def _may_be_corrected(self) -> list[Key]:
        keys = [job.key for job in self.world.jobs if job.key.phase is Phase.ENRICHED]
        claims = [claim for key in keys for claim in self.twin.claim(self.world, key=key)]
        return [claim.key for claim in claims if not claim.initial_failed]

    @precondition(lambda self: len(self.people) < MOST_SIGNUPS and not self.twin.is_closed(self.world))
    @rule(weather=MIXED)
    def give_up_both_and_retry_the_first(self, weather: Weather) -> None:
        """Let a signup be refused and confirmed: its second job follows the first into the dead letters, and back."""
        self.accept("")
        number = len(self.people) - 1
        self._message(Key(number, Phase.INITIAL), REFUSING)
        self._confirm(number)
        self._message(Key(number, Phase.ENRICHED), FAIR)
        self._retry(number, Phase.INITIAL)
        self._message(Key(number, Phase.INITIAL), weather)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Let a worker die, before or after it sent."""
        worker = data.draw(st.sampled_from(sorted(self.held)))
        self._begin("crash after send" if self.held[worker].result else "crash before send")
        del self.held[worker]
        self.world = self.world.hold(worker, None)

    # --- messages and sweeps ---

    @rule(data=st.data(), weather=st.sampled_from(WEATHERS), copies=st.sampled_from([1, 1, 2]))
    def message(self, data: st.DataObject, weather: Weather, copies: int) -> None:
        """Deliver a message for some job: on time, late, for a job long done, and as often as the broker likes."""
        key = data.draw(st.sampled_from([job.key for job in self.world.jobs]))
        for _ in range(copies):
            self._message(key, weather)

    def _message(self, key: Key, weather: Weather) -> None:
        self._begin(f"message in {weather.name}")
        self._set(weather)
        processor.sync_one(self.runtime, self.database.job_id(key))
        self.world = sync_one(self.twin, self.world, key, lambda key: self._answer(weather, key))

    @rule(weather=st.sampled_from(WEATHERS), limit=st.integers(1, 8))
    def sweep(self, weather: Weather, limit: int) -> None:
        """Let beat's sweep run, which also probes a closed gate, one job in each request."""
        self._begin(f"sweep in {weather.name}")
        self._sweep(weather, limit=limit, batch=1)

    @precondition(lambda self: "+503x999" not in self.people)
    @rule(limit=st.integers(1, 8))
    def sweep_in_batches(self, limit: int) -> None:
        """Let a sweep send many jobs in a request; the answer is a 207 when some of them are refused."""
        self._begin("sweep in batches")
        self._sweep(FAIR, limit=limit, batch=400)

    def _sweep(self, weather: Weather, *, limit: int, batch: int) -> None:
        self._set(weather)
        runtime = self.runtime
        settings = runtime.settings.model_copy(update={"batch_size": batch})
        processor.process_due(Runtime(settings, runtime.sessions, runtime.client, runtime.worker), limit=limit)
        self.world = process_due(
            self.twin,
            self.world,
            limit=limit,
            batch=batch,
            answers=lambda key: self._answer(weather, key),
            region=weather.region,
        )

    def _answer(self, weather: Weather, key: Key) -> Any:
        return weather.answer_to(self.people[key.signup])

    # --- the cleanup, people, and time ---

    @rule()
    def cleanup(self) -> None:
        self._begin("cleanup")
        self._clean_up()

    def _clean_up(self) -> None:
        seen = self.twin.look(self.world)
        assert maintenance.reset_stuck(self.runtime) == len(seen)
        self.world = self.twin.take_back(self.world, seen)

    @rule(data=st.data(), phase=st.sampled_from([None, *Phase]))
    def retry(self, data: st.DataObject, phase: Phase | None) -> None:
        self._retry(data.draw(st.integers(0, len(self.people) - 1)), phase)

    def _retry(self, number: int, phase: Phase | None) -> None:
        self._begin("retry")
        after = self.twin.retry(self.world, number, phase)
        if after == self.world:
            with pytest.raises(NotFound):
                operations.retry_signup(self.parts.sessions, self.database.signups[number], phase=phase, actor="ann")
        else:
            operations.retry_signup(self.parts.sessions, self.database.signups[number], phase=phase, actor="ann")
        self.world = after

    @precondition(lambda self: self._has_failed())
    @rule(phase=st.sampled_from([None, *Phase]))
    def retry_in_bulk(self, phase: Phase | None) -> None:
        self._begin("bulk retry")
        operations.retry_failures(self.parts.sessions, FailureFilter(phase=phase), actor="ann")
        self.world = self.twin.retry_all(self.world, lambda job: phase in {None, job.key.phase})

    def _has_failed(self) -> bool:
        return any(job.status is JobStatus.FAILED for job in self.world.jobs)

    @rule(wait=st.sampled_from([None, 60, 600]))
    def close_the_gate(self, wait: int | None) -> None:
        self._begin("close")
        span = None if wait is None else timedelta(seconds=wait)
        operations.close_gate(self.parts.sessions, actor="ann", note="for a test", wait=span)
        self.world = self.twin.close(self.world, Reason.OPERATOR, wait)

    @precondition(lambda self: self.world.gate)
    @rule()
    def open_the_gate(self) -> None:
        self._begin("open")
        operations.open_gate(self.parts.sessions, actor="ann")
        self.world = self.twin.open_by_hand(self.world)

    @rule(passed=st.sampled_from(JUMPS))
    def time_passes(self, passed: int) -> None:
        self._begin("time passes", passed)

    @precondition(lambda self: any(True for _ in self._moments()))
    @rule()
    def time_passes_until_something_is_due(self) -> None:
        self._begin("something is due", min(self._moments()) - self.world.now)

    def _moments(self) -> Iterator[int]:
        now = self.world.now
        for job in self.world.jobs:
            moment = job.updated_at + STUCK_AFTER if job.status is JobStatus.PROCESSING else job.due_at
            if moment is not None and moment > now:
                yield moment
        yield from (row.until for row in self.world.gate if row.until is not None and row.until > now)

    # --- what must hold ---

    @invariant()
    def the_tables_say_what_the_twin_says(self) -> None:
        found = self.database.world()
        expected = self.world._replace(noticed=found.noticed, sent=found.sent, hands=found.hands)
        if found != expected:
            note(f"twin: {expected}\nreal: {found}")
        assert found == expected

    @invariant()
    def nothing_is_wrong_with_the_world(self) -> None:
        assert list(faults_of(self.world)) == []

    @invariant()
    def the_counts_are_those_of_the_rows(self) -> None:
        counted, there = self.database.counts()
        assert counted == there

    def teardown(self) -> None:
        """Heal everything, let it run to quiet, and look whether all is done and what the other side was sent."""
        if self.people:
            self._heal()
            sent = self.database.sent(self.parts.fake.ledger.entries(), self.world.signups)
            assert sent == self.world.sent
            assert unfinished(self.world) == []

    def _heal(self) -> None:
        self.held.clear()
        self.world = self.world._replace(hands=(None, None, None))
        self.open_the_gate()
        for _ in range(ROUNDS_TO_QUIET):
            self._begin("heal", max(self._moments(), default=self.world.now) - self.world.now)
            self._clean_up()
            self._sweep(FAIR, limit=50, batch=1)
            self.the_tables_say_what_the_twin_says()
            if not unfinished(self.world):
                return


def _word(outcome: Outcome) -> tuple[type, str]:
    return type(outcome), getattr(outcome, "code", "")


@pytest.fixture
def parts(settings: Settings, sessions: Sessions, fake: FakeCustomerIO, make: Factory) -> Parts:
    """The product without a broker: what it rings for is lost, and messages are the machine's."""
    alone = settings.model_copy(update={"redis_url": None, "rate_limit": 1000})
    wake.configure(alone)
    return Parts(Runtime(alone, sessions, CustomerIO.from_settings(alone), "sweeper"), fake, make)


@pytest.mark.row("B1", "B2", "B3", "B4", "B6", "B7", "B8", "B9", "B10", "B11", "E1", "E2", "D4", "A3", "A5")
@pytest.mark.timeout(LONGEST)
def test_the_product_and_its_twin_stay_in_step(parts: Parts) -> None:
    class Beside(Lockstep):
        pass

    Beside.parts = parts
    run_state_machine_as_test(Beside, settings=chosen())

    assert parts.examples >= chosen().max_examples / 2
