"""What the nemesis can do: each attack begins, lasts, and is healed, and says whether it struck and whom it killed."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cio_tasks.failpoints import Action, Failpoint
from tests.chaos.proxy import Fault, Mode
from tests.chaos.system import System, send

SCHEDULE_SECONDS: Final = 3905.0
"""All retries of a job, unscaled: 5 + 25 + 125 + 625 + 3125 s."""
TOKEN_SECONDS: Final = 8.0
"""How long somebody may take to come by a failpoint."""
UNVISITED: Final = frozenset(
    {
        Failpoint.WORKER_WHILE_SENDING,
        Failpoint.BEAT_AFTER_TICK,
        Failpoint.MIGRATION_BETWEEN_STEPS,
    }
)
"""Places that have no hook in the product; `tests/unit/test_failpoints.py` has the reasons."""
VISITED: Final = tuple(point for point in Failpoint if point not in UNVISITED)


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    struck: bool = True
    kills: int = 0


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack. Two on the same `target` never run at once. `seconds` is how long it lasts at most.

    `begin` starts it and returns what ends it; `is_over` may end it sooner.
    """

    name: str
    target: str
    seconds: float = 0.0
    begin: Callable[[System], Callable[[], Outcome]]
    is_over: Callable[[System], bool] = field(default=lambda _: False)


def make(name: str, chance: random.Random, time_scale: float, stuck_after: float) -> Attack:
    """Return the attack called `name`, with its details drawn from `chance`.

    Raises:
        KeyError: there is none of that name.
    """
    if name.startswith("kill."):
        return _at_failpoint(name, Failpoint(name.removeprefix("kill.")))
    if name == "worker.stop":
        return _stop_a_worker(chance, stuck_after)
    if name == "customerio.long_outage":
        return _weather(name, SCHEDULE_SECONDS * time_scale * 1.1, outage="503")
    return _TABLE[name](name, chance)


# --- processes --------------------------------------------------------------------------------------------------------


def _at_failpoint(name: str, point: Failpoint) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        token = system.permit(point, Action.KILL)

        def end() -> Outcome:
            struck = not token.exists()
            token.unlink(missing_ok=True)
            return Outcome(struck, kills=int(struck))

        return end

    def is_over(system: System) -> bool:
        return not (system.folder / "failpoints" / f"{point}.{Action.KILL}").exists()

    return Attack(name=name, target=f"token {point}", seconds=TOKEN_SECONDS, begin=begin, is_over=is_over)


def _at_once(name: str, target: str, strike: Callable[[System], int]) -> Attack:
    """Return an attack that is over when it has begun; `strike` returns how many it killed."""

    def begin(system: System) -> Callable[[], Outcome]:
        kills = strike(system)
        return lambda: Outcome(kills > 0, kills)

    return Attack(name=name, target=target, begin=begin)


def _kill_a_worker(name: str, chance: random.Random) -> Attack:
    number = chance.randrange(1_000)
    return _at_once(name, "worker", lambda system: int(system.kill(system.workers[number % len(system.workers)])))


def _kill_all_workers(name: str, _chance: random.Random) -> Attack:
    return _at_once(name, "worker", lambda system: sum(system.kill(worker) for worker in system.workers))


def _kill_the_web(name: str, _chance: random.Random) -> Attack:
    return _at_once(name, "web", lambda system: int(system.kill_web_worker()))


def _kill_beat(name: str, _chance: random.Random) -> Attack:
    return _at_once(name, "beat", lambda system: int(system.kill(system.beat)))


def _stop_a_worker(chance: random.Random, stuck_after: float) -> Attack:
    """Let a worker hang for so long that its jobs are taken back, and then go on as if nothing had been."""
    number = chance.randrange(1_000)

    def begin(system: System) -> Callable[[], Outcome]:
        pid = system.workers[number % len(system.workers)].pid
        stopped = send(pid, signal.SIGSTOP)
        return lambda: Outcome(stopped and send(pid, signal.SIGCONT))

    return Attack(name="worker.stop", target="worker", seconds=stuck_after + 4, begin=begin)


def _start_a_second_beat(name: str, chance: random.Random) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        system.second_beat.start()
        return lambda: Outcome(system.second_beat.stop())

    return Attack(name=name, target="second beat", seconds=chance.uniform(8, 20), begin=begin)


# --- neighbours -------------------------------------------------------------------------------------------------------


def _proxy(neighbour: str, fault: Fault, shortest: float, longest: float) -> Callable[[str, random.Random], Attack]:
    def draw(name: str, chance: random.Random) -> Attack:
        def begin(system: System) -> Callable[[], Outcome]:
            proxy = system.proxies[neighbour]
            before = proxy.struck
            proxy.use(fault)

            def end() -> Outcome:
                proxy.heal()
                return Outcome(fault.times is None or proxy.struck > before)

            return end

        return Attack(name=name, target=neighbour, seconds=chance.uniform(shortest, longest), begin=begin)

    return draw


def _weather(name: str, seconds: float, **knobs: Any) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        system.change_customerio(seed=int(seconds * 1_000), **knobs)

        def end() -> Outcome:
            system.change_customerio()
            return Outcome()

        return end

    return Attack(name=name, target="customerio", seconds=seconds, begin=begin)


def _weathers(shortest: float, longest: float, **knobs: Any) -> Callable[[str, random.Random], Attack]:
    return lambda name, chance: _weather(name, chance.uniform(shortest, longest), **knobs)


def _flush_redis(name: str, _chance: random.Random) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        flushed = system.flush_redis()
        return lambda: Outcome(flushed)

    return Attack(name=name, target="redis", begin=begin)


def _kill_redis(name: str, chance: random.Random) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        system.valkey.kill()

        def end() -> Outcome:
            system.valkey.start()
            return Outcome()

        return end

    return Attack(name=name, target="redis", seconds=chance.choice([0.0, 0.0, 1.0, 3.0]), begin=begin)


def _kill_postgres(name: str, chance: random.Random) -> Attack:
    def begin(system: System) -> Callable[[], Outcome]:
        system.postgres.kill()

        def end() -> Outcome:
            system.postgres.start()
            return Outcome()

        return end

    return Attack(name=name, target="postgres", seconds=chance.choice([0.0, 0.5, 2.0]), begin=begin)


_TABLE: Final[dict[str, Callable[[str, random.Random], Attack]]] = {
    "worker.kill": _kill_a_worker,
    "worker.kill_all": _kill_all_workers,
    "web.kill": _kill_the_web,
    "beat.kill": _kill_beat,
    "beat.second": _start_a_second_beat,
    "redis.flush": _flush_redis,
    "redis.kill": _kill_redis,
    "redis.refuse": _proxy("redis", Fault(mode=Mode.REFUSE), 1, 4),
    "redis.blackhole": _proxy("redis", Fault(mode=Mode.BLACKHOLE), 2, 6),
    "redis.reset": _proxy("redis", Fault(mode=Mode.RESET), 0.5, 2),
    "redis.trickle": _proxy("redis", Fault(mode=Mode.TRICKLE, bytes_per_second=200), 2, 4),
    "postgres.kill": _kill_postgres,
    "postgres.refuse": _proxy("postgres", Fault(mode=Mode.REFUSE), 0.5, 2),
    "postgres.reset": _proxy("postgres", Fault(mode=Mode.RESET), 0.2, 1),
    "postgres.blackhole": _proxy("postgres", Fault(mode=Mode.BLACKHOLE), 1, 3),
    "postgres.delay": _proxy("postgres", Fault(mode=Mode.DELAY, seconds=0.05), 2, 4),
    "postgres.limit": _proxy("postgres", Fault(mode=Mode.LIMIT, connections=8), 2, 4),
    "postgres.lost_commit": _proxy("postgres", Fault(mode=Mode.CUT_ON_PATTERN, pattern=b"COMMIT", times=5), 2, 4),
    "customerio.outage": _weathers(3, 8, outage="503"),
    "customerio.errors": _weathers(3, 6, error_rate=0.3),
    "customerio.unheard": _weathers(3, 6, reset_after_rate=0.3),
    "customerio.storm": _weathers(2, 4, error_rate=0.5, error_status=429, retry_after="150"),
    "customerio.reset": _weathers(2, 5, outage="reset"),
    "customerio.blackhole": _proxy("customerio", Fault(mode=Mode.BLACKHOLE), 2, 4),
    "customerio.cut_answer": _proxy("customerio", Fault(mode=Mode.CUT_ANSWER, after_bytes=20, times=5), 2, 4),
    "customerio.cut_request": _proxy("customerio", Fault(mode=Mode.CUT_REQUEST, after_bytes=700, times=5), 2, 4),
}
NAMES: Final = (*_TABLE, "worker.stop", "customerio.long_outage", *(f"kill.{point}" for point in VISITED))
