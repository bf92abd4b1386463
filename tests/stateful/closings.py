"""The twin's gate: which of its rows close it, and what of the attempts would."""

from collections.abc import Iterable, Iterator

from cio_tasks import gate
from cio_tasks.gate import Reason
from cio_tasks.outcomes import CREDENTIALS_AT_FAULT
from tests.stateful.rows import Closing, World, seconds


def stands(row: Closing, now: int) -> bool:
    """Tell whether a row closes the gate. An operator's closing ends by itself, the others by a probe."""
    elapsed = row.reason is Reason.OPERATOR and row.until is not None and row.until <= now
    return row.closed_at is not None and not elapsed


def closed_for(world: World, reasons: Iterable[Reason]) -> Iterator[Closing]:
    """Return the rows that are closed for one of these reasons."""
    wanted = set(reasons)
    return iter([row for row in world.gate if row.reason in wanted and row.closed_at is not None])


def put_closing(world: World, row: Closing) -> World:
    """Return the world in which the gate has this row."""
    others = [other for other in world.gate if other.reason is not row.reason]
    return world._replace(gate=tuple(sorted([*others, row], key=lambda one: one.reason)))


def is_outage(world: World) -> bool:
    """Tell whether half of the attempts of late found Customer.io out of order."""
    recent = [broken for at, broken in world.noticed.recent if at > world.now - seconds(gate.OUTAGE_WINDOW)]
    return len(recent) >= gate.OUTAGE_ATTEMPTS and 2 * sum(recent) >= len(recent)


def credentials_fail(world: World) -> bool:
    """Tell whether the last answers were all about the credentials."""
    last = world.noticed.answers
    return len(last) == gate.UNAUTHORIZED_IN_A_ROW and all(code in CREDENTIALS_AT_FAULT for code in last)
