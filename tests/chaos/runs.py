"""One run from beginning to end: start, load and nemesis together, heal, wait for quiet, gather, judge."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.attacks import NAMES
from tests.chaos.callers import Operator, WebhookSender
from tests.chaos.checker import Verdict, check
from tests.chaos.evidence import Evidence, Request, Strike, read_ledger, read_tables
from tests.chaos.load import Load, Pace
from tests.chaos.nemesis import Deck, Nemesis, Storm
from tests.chaos.profiles import Profile
from tests.chaos.recovery import Recovery, recoveries
from tests.chaos.system import System, running_system
from tests.chaos.watch import Watch
from tests.eventually import eventually

Tell = Callable[[str], None]
LOAD_SECONDS: Final = 120.0
"""How long the client may take for what is left once the nemesis is done."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is over. Times are in seconds."""

    profile: Profile
    seed: int
    verdict: Verdict
    strikes: tuple[Strike, ...]
    seconds: dict[str, float]
    recoveries: tuple[Recovery, ...] = ()
    watch: Watch | None = None

    @property
    def command(self) -> str:
        """What repeats it."""
        if self.profile.is_storm:
            return f"python -m tests.chaos soak --seed {self.seed} --minutes {self.profile.minutes:g}"
        parts = ["python -m tests.chaos run", f"--profile {self.profile.name}", f"--seed {self.seed}"]
        parts += [f"--signups {self.profile.signups}", f"--kills {self.profile.kills}"]
        return " ".join([*parts, f"--minutes {self.profile.minutes:g}"])


class Clock:
    """Notes how long each part took."""

    def __init__(self, tell: Tell) -> None:
        self.seconds: dict[str, float] = {}
        self._tell = tell
        self._last = time.monotonic()

    def note(self, part: str) -> None:
        """End a part."""
        now = time.monotonic()
        self.seconds[part] = round(now - self._last, 1)
        self._tell(f"{part}: {self.seconds[part]:g} s")
        self._last = now


def run(profile: Profile, *, seed: int, folder: Path, tell: Tell = lambda _: None) -> Run:
    """Run once in an empty folder, and judge it.

    Raises:
        LeftBehind: a process it started is still running afterwards.
    """
    clock = Clock(tell)
    with running_system(folder, profile.shape) as system:
        clock.note("start")
        load = Load(system.api_urls, system.token, pace(profile, seed), folder / "client.jsonl")
        others = Operator(system.api_url, system.operator_token), WebhookSender(system.api_url, system.webhook_secret)
        nemesis = unleash(system, profile, seed, tell)
        with Watch(system, nemesis.busy, stuck_after=profile.shape.stuck_after) as watch:
            attack_under_load(load, others, nemesis, profile)
            clock.note("chaos")
            is_quiet = wait_for_quiet(system, profile.quiet_seconds)
            clock.note("quiet" if is_quiet else "no quiet")
        end_processes(system)
        watch.look_back()
        evidence = gather(system, profile, [*load.requests, *others[1].requests], nemesis, watch)
    clock.note("end")
    return Run(
        profile=profile,
        seed=seed,
        verdict=check(evidence),
        strikes=tuple(nemesis.strikes),
        seconds=clock.seconds,
        recoveries=tuple(recoveries(nemesis.strikes, evidence.attempts)),
        watch=watch,
    )


def unleash(system: System, profile: Profile, seed: int, tell: Tell) -> Nemesis:
    """Return the nemesis of a profile, which has not begun."""
    if profile.is_storm:
        return Storm(system, profile.shape, NAMES, seed=seed, tell=tell)
    return Deck(system, profile.shape, profile.attacks, seed=seed, tell=tell)


def pace(profile: Profile, seed: int) -> Pace:
    return Pace(signups=profile.signups, seed=seed, per_second=profile.per_second, trouble=profile.trouble)


def attack_under_load(load: Load, others: tuple[Operator, WebhookSender], nemesis: Nemesis, profile: Profile) -> None:
    client = threading.Thread(target=load.run, name="load")
    threads = [client, *(threading.Thread(target=other.run, name=type(other).__name__) for other in others)]
    for thread in threads:
        thread.start()
    try:
        nemesis.run(profile.minutes * 60)
    finally:
        load.enough()
        client.join(LOAD_SECONDS)
        load.stop()
        for other in others:
            other.stopping.set()
        for thread in threads:
            thread.join()


def wait_for_quiet(system: System, seconds: float) -> bool:
    try:
        eventually(lambda: system.count_unfinished() == 0, seconds=seconds, every=0.25)
    except AssertionError:
        return False
    return True


def end_processes(system: System) -> None:
    """End whoever could still change a row, so that what is read is one moment."""
    system.second_beat.stop()
    for process in (system.beat, *system.workers, *system.steady, system.web):
        process.terminate()


def gather(system: System, profile: Profile, asked: list[Request], nemesis: Nemesis, watch: Watch) -> Evidence:
    return Evidence(
        plan=profile.plan(),
        observed=watch.observed(),
        requests=asked,
        sent=read_ledger(system.ledger),
        strikes=[*nemesis.strikes, *_unreported(system, nemesis.strikes)],
        **read_tables(system.engine),
    )


def _unreported(system: System, strikes: list[Strike]) -> list[Strike]:
    """Return the kills at failpoints that fired after the nemesis had looked for the last time."""
    fired = Counter(f"kill.{point}" for point, action in system.fired() if action == "kill")
    told = Counter(strike.name for strike in strikes if strike.struck and strike.name.startswith("kill."))
    return [Strike(name=name, began_at=0, ended_at=0, kills=1) for name in (fired - told).elements()]
