"""The runbooks: for each severity the steps to take, in their order, run one after the other."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from cio_tasks.diagnostics.bounded import within
from cio_tasks.diagnostics.incident import runbook_delivery, runbook_errors, runbook_outage, runbook_webhooks
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.steps import ALTOGETHER, LONGEST, Case, Result, Status, Step, Taken, human

RUNBOOKS: Final[Mapping[Level, tuple[Step, ...]]] = {
    Level.P1: runbook_outage.STEPS,
    Level.P2: runbook_errors.STEPS,
    Level.P3: runbook_delivery.STEPS,
    Level.P4: runbook_webhooks.STEPS,
    Level.NONE: (),
}


def take_steps(
    case: Case,
    level: Level,
    *,
    longest: timedelta = LONGEST,
    altogether: timedelta = ALTOGETHER,
    runbooks: Mapping[Level, tuple[Step, ...]] = RUNBOOKS,
) -> Iterator[Taken]:
    """Take the steps of a runbook and yield each when it is done. Nothing is changed.

    A step that breaks or takes longer than `longest` is left to a person, and so are those that are not begun when the
    time for all of them, `altogether`, is over.
    """
    until = time.monotonic() + altogether.total_seconds()
    for step in runbooks[level]:
        left = timedelta(seconds=until - time.monotonic())
        yield Taken(step, _take(step, case, min(longest, left)))


def _take(step: Step, case: Case, longest: timedelta) -> Result:
    if longest <= timedelta(0):
        return human("not looked at: the steps before it took all the time", "look by hand, or run it again")
    try:
        return within(longest, partial(step.check, case), name=f"step {step.id}")
    except TimeoutError:
        return human(f"did not end within {longest.total_seconds():.1f} s", "look by hand")
    except Exception as error:  # noqa: BLE001 - a step that breaks must not keep the others from being taken
        return human(f"could not be looked at: {type(error).__name__}", "look by hand")


def failed_steps(taken: Sequence[Taken]) -> list[Taken]:
    """Return the steps that found something amiss."""
    return [one for one in taken if one.result.status is Status.FAIL]


def shown_runbook(level: Level, taken: Sequence[Taken]) -> dict[str, Any]:
    """Return the shape that scripts rely on."""
    return {"severity": level.value, "steps": [one.shown() for one in taken]}
