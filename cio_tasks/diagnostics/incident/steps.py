"""A step of a runbook: what is looked at, what was seen, and what to do next."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy.orm import Session

from cio_tasks.db import Sessions
from cio_tasks.diagnostics.incident.evidence import NOT_SET, UNREACHABLE, Evidence, Unknown
from cio_tasks.diagnostics.incident.gathering import EACH, read_within
from cio_tasks.diagnostics.incident.severity import Verdict
from cio_tasks.settings import Settings

NOTHING: Final = "nothing to do"
LONGEST: Final = timedelta(seconds=30)
"""What one step may take, all its questions together."""
ALTOGETHER: Final = timedelta(seconds=60)
"""What the steps of a runbook may take, one after the other: whoever waits for it has an incident."""

T = TypeVar("T")


class Status(StrEnum):
    """What a step found."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    HUMAN = "human"
    """A person has to look or decide: nothing here can know, or it could not be read."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step saw, in one line without personal data, and what to do: a command, or a sentence."""

    status: Status
    evidence: str
    next: str = NOTHING


@dataclass(frozen=True, slots=True)
class Case:
    """What the steps look at: the evidence that was gathered, and the ways to ask for more."""

    settings: Settings
    sessions: Sessions | None
    evidence: Evidence
    verdict: Verdict
    each: timedelta = EACH

    def read(self, read: Callable[[Session], T]) -> T | Unknown:
        """Return what our rows say, or why they could not be read."""
        if self.sessions is None:
            return Unknown(NOT_SET, "DATABASE_URL is not set")
        return read_within(self.sessions, read, self.each)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a runbook. `check` reads, and changes nothing."""

    id: str
    title: str
    check: Callable[[Case], Result]


@dataclass(frozen=True, slots=True)
class Taken:
    """A step and what it found."""

    step: Step
    result: Result

    def shown(self) -> dict[str, str]:
        """Return the shape that scripts rely on."""
        result = self.result
        return {
            "id": self.step.id,
            "title": self.step.title,
            "status": result.status.value,
            "evidence": result.evidence,
            "next": result.next,
        }


def passed(evidence: str, what_next: str = NOTHING) -> Result:
    """Return that it is as it should be."""
    return Result(Status.PASS, evidence, what_next)


def failed(evidence: str, what_next: str) -> Result:
    """Return that it is not as it should be."""
    return Result(Status.FAIL, evidence, what_next)


def human(evidence: str, what_next: str) -> Result:
    """Return that a person has to look or decide."""
    return Result(Status.HUMAN, evidence, what_next)


def unread(part: Unknown) -> Result:
    """Return what a part that could not be read means: nothing is known to be broken, so a person has to look."""
    if part.code == UNREACHABLE:
        return human(f"not known: {part.detail}", "is it running, and is DATABASE_URL right? ciosync db check")
    return human(f"not known: {part.detail}", "look again: ciosync incident runbook; or ciosync doctor")
