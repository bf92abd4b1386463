"""How much chaos: a quick run for every day, a full one for `make chaos`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.attacks import VISITED
from tests.chaos.evidence import Plan
from tests.chaos.system import Shape


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a run sets out to do. `attacks` counts them by name; `kills` is how many processes must have died at least."""

    name: str
    signups: int
    per_second: float
    minutes: float
    kills: int
    attacks: Mapping[str, int]
    shape: Shape = field(default_factory=Shape)
    trouble: bool = True
    faults: int = 0
    """How many faults must have struck at least, of whatever kind."""
    quiet_seconds: float = 150.0

    @property
    def is_storm(self) -> bool:
        """Whether attacks are drawn for as long as it lasts, and not from a deck."""
        return not self.attacks

    def plan(self) -> Plan:
        """Return what the checker insists on."""
        return Plan(signups=self.signups, kills=self.kills, strikes=dict(self.attacks), faults=self.faults)

    def changed(self, *, signups: int | None, kills: int | None, minutes: float | None) -> "Profile":
        """Return this profile with other figures. More kills are more of those at failpoints, each in its turn."""
        attacks = dict(self.attacks)
        for number in range((kills or self.kills) - self.kills):
            name = f"kill.{VISITED[number % len(VISITED)]}"
            attacks[name] = attacks.get(name, 0) + 1
        return replace(
            self,
            signups=signups or self.signups,
            per_second=self.per_second * (signups or self.signups) / self.signups,
            kills=kills or self.kills,
            minutes=minutes or self.minutes,
            attacks=attacks,
        )


QUICK: Final = Profile(
    name="quick",
    signups=200,
    per_second=20,
    minutes=0.5,
    kills=7,
    attacks={
        "kill.worker.after_claim": 1,
        "kill.worker.before_record": 1,
        "kill.worker.record_unanswered": 1,
        "kill.web.after_commit": 1,
        "kill.web.before_commit": 1,
        "kill.reaper.before_commit": 1,
        "worker.kill": 1,
        "redis.flush": 1,
        "postgres.kill": 1,
        "postgres.lost_commit": 1,
    },
    trouble=False,
    quiet_seconds=90.0,
)

FULL: Final = Profile(
    name="full",
    signups=5_000,
    per_second=16,
    minutes=8,
    kills=66,
    attacks={
        **{f"kill.{point}": 3 for point in VISITED},
        "worker.kill": 5,
        "worker.kill_all": 2,
        "worker.stop": 2,
        "web.kill": 4,
        "beat.kill": 3,
        "beat.second": 2,
        "redis.flush": 10,
        "redis.kill": 10,
        "redis.refuse": 2,
        "redis.blackhole": 2,
        "redis.reset": 2,
        "redis.trickle": 1,
        "postgres.kill": 6,
        "postgres.refuse": 2,
        "postgres.reset": 3,
        "postgres.blackhole": 1,
        "postgres.delay": 1,
        "postgres.limit": 1,
        "postgres.lost_commit": 4,
        "customerio.outage": 2,
        "customerio.long_outage": 1,
        "customerio.errors": 2,
        "customerio.unheard": 3,
        "customerio.storm": 3,
        "customerio.reset": 2,
        "customerio.blackhole": 1,
        "customerio.cut_answer": 2,
        "customerio.cut_request": 2,
    },
)

SOAKING_PER_SECOND: Final = 5
FAULTS_PER_MINUTE: Final = 5


def soak(minutes: float) -> Profile:
    """Return a profile without a deck, for a storm of so many minutes under a moderate load."""
    return Profile(
        name="soak",
        signups=max(1, int(60 * minutes * SOAKING_PER_SECOND)),
        per_second=SOAKING_PER_SECOND,
        minutes=minutes,
        kills=int(minutes),
        attacks={},
        faults=int(minutes * FAULTS_PER_MINUTE),
        shape=Shape(steady=True),
    )


PROFILES: Final = {profile.name: profile for profile in (QUICK, FULL)}
