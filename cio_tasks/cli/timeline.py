"""What happened to a person in the last days, as one line for people."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from cio_tasks.customerio.app_people import Activity, Message
from cio_tasks.diagnostics.person_report import PersonReport, got
from cio_tasks.diagnostics.telling import DAY

DAYS: Final = 7
CELLS: Final = 8
"""Characters of a day, so one stands for three hours."""
CELL: Final = DAY / CELLS
IDENTIFIED, EVENT, SENT, OPENED, TROUBLE = "·", "•", "↗", "◉", "✗"
LEGEND: Final = {
    IDENTIFIED: "profile changed",
    EVENT: "event",
    SENT: "e-mail sent",
    OPENED: "opened",
    TROUBLE: "bounced, dropped or complained of",
}
"""The marks, least telling first: of several in one place the last of these is shown."""
CHANGES: Final = frozenset({"attribute_change", "profile_create", "profile_merge"})
STATES: Final = {
    "sent": SENT,
    "opened": OPENED,
    "bounced": TROUBLE,
    "dropped": TROUBLE,
    "undeliverable": TROUBLE,
    "failed": TROUBLE,
    "spammed": TROUBLE,
}

Mark = tuple[datetime, str]


def draw(report: PersonReport) -> list[str]:
    """Return the line and its legend, or nothing when nothing happened, as far as that is known."""
    cells = _cells(_marks(report), report.at)
    if not cells:
        return []
    days = [
        "".join(cells.get(day * CELLS + cell, " ") for cell in reversed(range(CELLS))) for day in reversed(range(DAYS))
    ]
    legend = "  ".join(f"{mark} {what}" for mark, what in LEGEND.items() if mark in cells.values())
    return [f"{DAYS} days     ▕{'┊'.join(days)}▏ now", f"           {legend}"]


def _cells(marks: Iterable[Mark], now: datetime) -> dict[int, str]:
    """Return the mark of each cell that has one, by how many cells ago it is."""
    order, cells = [*LEGEND], dict[int, str]()
    for at, mark in marks:
        cell = (now - at) // CELL if at < now else 0
        if cell < DAYS * CELLS and order.index(mark) >= order.index(cells.get(cell, IDENTIFIED)):
            cells[cell] = mark
    return cells


def _marks(report: PersonReport) -> Iterator[Mark]:
    if report.profile is not None:
        yield from ((at, IDENTIFIED) for name, at in report.profile.set_at.items() if not name.startswith("_"))
    activities = got(report.customerio.activities)
    yield from _changes(activities.items if activities else ())
    yield from ((one.at, EVENT) for one in report.events or ())
    yield from _deliveries(report.emails or ())


def _changes(activities: Iterable[Activity]) -> Iterator[Mark]:
    return ((one.at, IDENTIFIED) for one in activities if one.type in CHANGES)


def _deliveries(messages: Iterable[Message]) -> Iterator[Mark]:
    for message in messages:
        yield from ((at, STATES[state]) for state, at in message.reached.items() if state in STATES)
