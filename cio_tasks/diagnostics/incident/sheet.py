"""The note of an incident: five answers of a person, and what could be measured beside them (rows J1 to J5)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from cio_tasks.diagnostics.incident.evidence import Attempts, Evidence, Queue, Unknown
from cio_tasks.diagnostics.incident.history import Moment, list_moments
from cio_tasks.diagnostics.incident.picture import clock, spark
from cio_tasks.diagnostics.incident.runbook import shown_runbook
from cio_tasks.diagnostics.incident.severity import AGAINST, Verdict
from cio_tasks.diagnostics.incident.shapes import shown_verdict
from cio_tasks.diagnostics.incident.steps import NOTHING, Case, Taken
from cio_tasks.diagnostics.incident.stored import read_now
from cio_tasks.diagnostics.telling import iso

QUESTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "J1": ("Expected behaviour", "What should happen?"),
    "J2": ("Actual behaviour", "What happens instead?"),
    "J3": ("Start", "When did it start, and what was changed then?"),
    "J4": ("Extent", "How many users or messages are affected?"),
    "J5": ("Pattern", "Is it consistent or intermittent?"),
}
"""By row: the heading, and the question as a person is asked it."""
LOOKED_BACK: Final = timedelta(hours=24)
MARKS: Final = {"pass": "[x]", "fail": "[!]", "human": "[ ]"}
COMMANDS: Final = (
    "ciosync incident severity --explain",
    "ciosync incident report --since 24h",
    "ciosync failures groups",
    "ciosync gate show",
    "ciosync network --host track",
)


@dataclass(frozen=True, slots=True)
class Note:
    """All that goes on the sheet."""

    written_at: datetime
    answers: Mapping[str, str]
    verdict: Verdict
    evidence: Evidence
    taken: tuple[Taken, ...]
    moments: tuple[Moment, ...] | Unknown

    @property
    def commands(self) -> list[str]:
        """How to look at the same again."""
        level = self.verdict.level
        runbook = [f"ciosync incident runbook {level}"] if self.taken else []
        return [*runbook, *COMMANDS]

    def shown(self) -> dict[str, Any]:
        """Return the shape for scripts."""
        moments = self.moments
        missing = [{"part": "timeline", "reason": moments.detail}] if isinstance(moments, Unknown) else []
        return {
            "writtenAt": iso(self.written_at),
            "answers": dict(self.answers),
            "incident": shown_verdict(self.verdict, self.evidence),
            "runbook": shown_runbook(self.verdict.level, self.taken),
            "timeline": [one.shown() for one in moments] if not isinstance(moments, Unknown) else [],
            "unavailable": missing,
            "commands": self.commands,
        }


def read_moments(case: Case) -> tuple[Moment, ...] | Unknown:
    """Return what happened within the last day, or why that is not known."""
    now = case.read(read_now)
    if isinstance(now, Unknown):
        return now
    moments = case.read(partial(list_moments, since=now - LOOKED_BACK, until=now))
    return moments if isinstance(moments, Unknown) else tuple(moments)


# --- as text ----------------------------------------------------------------------------------------------------------


def markdown(note: Note) -> str:
    """Return the note as a page of Markdown."""
    level = note.verdict.level
    parts = [
        f"# Incident {level}: {level.meaning}",
        f"Written {clock(note.written_at)}; began {_beginning(note)}.",
        *_answers(note.answers),
        "## Severity",
        _bullets(note.verdict.reasons),
        *([f"Not worse: {note.verdict.why_not_worse}"] if note.verdict.why_not_worse else []),
        "## Evidence",
        _bullets(dict.fromkeys(_evidence(note.evidence))),
        "## Runbook",
        _bullets(_step(taken) for taken in note.taken) if note.taken else "No runbook is called for.",
        "## Timeline",
        _timeline(note.moments),
        "## To look again",
        "```sh\n" + "\n".join(note.commands) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _beginning(note: Note) -> str:
    """Return since when it has been so: as measured, else in the words of the person who was asked."""
    told = note.answers.get("J3", "").rstrip(" .")
    return clock(note.verdict.since) or (f"{told} (as told)" if told else "at an unknown time")


def _answers(answers: Mapping[str, str]) -> Iterator[str]:
    for row, (heading, _) in QUESTIONS.items():
        yield f"## {heading} ({row})"
        yield f"> {answers[row]}" if answers.get(row) else "> not answered"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _evidence(evidence: Evidence) -> Iterator[str]:
    for against in AGAINST.values():
        yield from against(evidence)
    attempts, queue = evidence.attempts, evidence.queue
    if isinstance(queue, Queue):
        stats = queue.stats
        yield f"{stats.pending} pending, {stats.processing} processing, {stats.failed} failed, {stats.stuck} stuck"
    if isinstance(attempts, Attempts):
        yield f"error rate per minute, 15 min to now: {spark([minute.share for minute in attempts.minutes])}"


def _step(taken: Taken) -> str:
    result = taken.result
    seen = f"{MARKS[result.status]} {taken.step.id} {taken.step.title}: {result.evidence.rstrip('.')}."
    return seen if result.next == NOTHING else f"{seen} Next: {result.next}"


def _timeline(moments: tuple[Moment, ...] | Unknown) -> str:
    if isinstance(moments, Unknown):
        return f"Not known: {moments.detail}"
    return _bullets(f"{clock(one.at)}: {one.what}" for one in moments) or "Nothing was noted within a day."
