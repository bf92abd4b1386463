"""What is known when something is wrong, part by part. A part that could not be read is unknown, which is never fine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from cio_tasks.customerio.status_page import StatusPage
from cio_tasks.diagnostics.incident.levels import (
    ERROR_RATE,
    FEWEST_ATTEMPTS,
    FEWEST_COMPLAINTS,
    FEWEST_MAILS,
    RECENT,
)
from cio_tasks.stats import Stats

UNREACHABLE: Final = "unreachable"
NOT_SET: Final = "not_set"
TIMED_OUT: Final = "timeout"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that could not be read: a stable word for why, and a few words without secrets."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Customer.io says to the Track credentials. `answered`: it said anything at all."""

    verdict: Literal["accepted", "refused", "trouble", "not_set"]
    """`trouble`: no answer, or one that says nothing of the credentials."""
    detail: str
    next: str
    answered: bool = False
    latency: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many attempts there were, and how many of them failed."""

    total: int = 0
    failed: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.total + other.total, self.failed + other.failed)

    @property
    def share(self) -> float | None:
        """The share that failed, or None when there were no attempts."""
        return self.failed / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of the last minutes that reached for Customer.io: mocked, released and unsent ones do not count."""

    taken_at: datetime
    tally: Tally
    by_type: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[str, int] = field(default_factory=dict)
    """Failures by HTTP status, or by the word for what happened when there was no answer."""
    by_phase: Mapping[str, Tally] = field(default_factory=dict)
    by_release: Mapping[str, Tally] = field(default_factory=dict)
    minutes: tuple[Tally, ...] = ()
    """By minute, the oldest first; the last one ends now."""

    @property
    def rate(self) -> float | None:
        """The share that failed, or None when there are too few attempts to speak of one."""
        return self.tally.share if self.tally.total >= FEWEST_ATTEMPTS else None

    @property
    def delivered(self) -> int:
        """How many got through."""
        return self.tally.total - self.tally.failed

    @property
    def since(self) -> datetime | None:
        """When the minutes began that lead up to now and had a high rate, as far as the minutes go back."""
        began = None
        for ago, minute in enumerate(reversed(self.minutes), 1):
            if minute.share is not None and minute.share <= ERROR_RATE:
                break
            if minute.total:
                began = self.taken_at - timedelta(minutes=ago)
        return began


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits, who works, and whether they may."""

    stats: Stats
    oldest_due: timedelta
    """For how long the job that could have run for longest has waited; zero when none could."""
    workers: int
    silent_workers: int


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters of the last hour, resolved or not, by error type."""

    lately: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Mail:
    """What was reported of e-mails within a day, by metric."""

    counts: Mapping[str, int]

    @property
    def sent(self) -> int:
        """How many were sent, as far as reported: a webhook need not be set up for every metric."""
        return max(self._of("sent"), self._of("delivered") + self._of("bounced"))

    @property
    def delivered(self) -> int:
        """How many arrived, as far as reported."""
        return self._of("delivered") or max(0, self._of("sent") - self._of("bounced"))

    @property
    def bounced(self) -> int:
        """How many came back."""
        return self._of("bounced")

    @property
    def complaints(self) -> int:
        """How many were called spam."""
        return self._of("spammed")

    @property
    def bounce_rate(self) -> float | None:
        """Bounces by what was sent, or None when that is too few."""
        return self.bounced / self.sent if self.sent >= FEWEST_MAILS else None

    @property
    def complaint_rate(self) -> float | None:
        """Complaints by what arrived, or None when either is too few."""
        enough = self.delivered >= FEWEST_MAILS and (not self.complaints or self.complaints >= FEWEST_COMPLAINTS)
        return self.complaints / self.delivered if enough else None

    def _of(self, metric: str) -> int:
        return self.counts.get(metric, 0)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What became of reporting webhooks. Counters count since ever; their times say when they last grew."""

    taken_at: datetime
    configured: bool
    last_received_at: datetime | None
    stored_lately: int = 0
    odd_lately: int = 0
    """How many of those were flagged as unreadable or of an unknown kind."""
    counters: Mapping[str, int] = field(default_factory=dict)
    last_refused_at: datetime | None = None
    """When a signature was last refused, or a signed time found too old."""
    first_delivery_at: datetime | None = None
    """The oldest attempt that is kept and got through."""
    delivered_lately: bool = False

    @property
    def silence(self) -> timedelta | None:
        """How long ago the last one came, or None when none ever did."""
        return None if self.last_received_at is None else self.taken_at - self.last_received_at

    @property
    def refuses_all(self) -> bool:
        """Whether the newest thing that happened is a refusal."""
        if self.last_refused_at is None:
            return False
        return self.last_received_at is None or self.last_refused_at > self.last_received_at


@dataclass(frozen=True, slots=True)
class Release:
    """What runs, or ran within a day: a release as the processes name it, and when its first and last began."""

    name: str
    workers: int
    first_started_at: datetime
    last_started_at: datetime


@dataclass(frozen=True, slots=True)
class Deployments:
    """The releases of the workers, the newest first."""

    taken_at: datetime
    releases: tuple[Release, ...]

    @property
    def running(self) -> list[Release]:
        """Those that a living worker has."""
        return [release for release in self.releases if release.workers]

    @property
    def recent(self) -> list[Release]:
        """Those whose first known worker began lately: a deployment, or a restart."""
        return [release for release in self.releases if self.taken_at - release.first_started_at < RECENT]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it."""

    status_page: StatusPage | Unknown
    credentials: Credentials | Unknown
    attempts: Attempts | Unknown
    queue: Queue | Unknown
    letters: Letters | Unknown
    mail: Mail | Unknown
    webhooks: Webhooks | Unknown
    deployments: Deployments | Unknown

    @property
    def is_empty(self) -> bool:
        """Whether nobody answered: not our database, not Customer.io, not its status page."""
        answered = isinstance(self.credentials, Credentials) and self.credentials.answered
        stored = (self.attempts, self.queue, self.letters, self.mail, self.webhooks, self.deployments)
        return (
            not answered and isinstance(self.status_page, Unknown) and all(isinstance(part, Unknown) for part in stored)
        )
