"""A check as it is told: how it went, one sentence, and what to do about it. Pure: nothing is asked here."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check went. `skip` says that it could not be judged, or that there is nothing to judge."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Group(StrEnum):
    """What can be asked for by itself, in the order of the report."""

    CONFIG = "config"
    DATABASE = "database"
    REDIS = "redis"
    CELERY = "celery"
    BEAT = "beat"
    QUEUE = "queue"
    GATE = "gate"
    CUSTOMERIO = "customerio"
    WEBHOOK = "webhook"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `id` is stable and begins with its group: `beat.tick`.

    `message` and `fix` are without secrets, addresses and personal data; `fix` is a command or a setting.
    """

    id: str
    status: Status
    message: str
    fix: str | None = None

    @property
    def group(self) -> Group:
        """The group that the check belongs to."""
        return Group(self.id.partition(".")[0])

    @property
    def as_json(self) -> dict[str, str | None]:
        """The shape that scripts rely on."""
        told = {"id": self.id, "group": self.group.value, "status": self.status.value, "message": self.message}
        return {**told, "fix": self.fix}


def passed(id_: str, message: str) -> Check:
    """Return a check that found all well."""
    return Check(id_, Status.OK, message)


def warned(id_: str, message: str, fix: str) -> Check:
    """Return a check that found something which works and should be mended."""
    return Check(id_, Status.WARN, message, fix)


def failed(id_: str, message: str, fix: str) -> Check:
    """Return a check that found something which does not work."""
    return Check(id_, Status.FAIL, message, fix)


def skipped(id_: str, message: str, fix: str | None = None) -> Check:
    """Return a check that judges nothing."""
    return Check(id_, Status.SKIP, message, fix)


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one run, group by group."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.count(Status.FAIL)

    def is_good(self, *, strict: bool) -> bool:
        """Tell whether nothing failed and, when `strict`, nothing was warned of either."""
        return self.ok and not (strict and self.count(Status.WARN))

    def count(self, status: Status) -> int:
        """Return how many checks went like this."""
        return sum(check.status is status for check in self.checks)

    def as_json(self, *, strict: bool = False) -> dict[str, Any]:
        """Return the shape that scripts rely on; `ok` is what `is_good` says."""
        return {"checks": [check.as_json for check in self.checks], "ok": self.is_good(strict=strict)}
