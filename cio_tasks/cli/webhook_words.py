"""An event in a few words. Whatever a sender wrote, no line tells an address or moves the cursor."""

from typing import Final

from cio_tasks.customerio.webhooks import DIGESTED, METRICS, Event
from cio_tasks.redaction import redact

LONGEST: Final = 64


def summary(event: Event) -> str:
    """Return one line about an event: what it reports, of which delivery, and its own id."""
    return f"{what(event):<16}  {shown(event.delivery_id)}  {event_id(event)}"


def what(event: Event) -> str:
    """Return object type and metric; words that are not documented are the sender's own, and are not repeated."""
    metrics = METRICS.get(event.object_type or "")
    if metrics is None:
        return "unknown event"
    return f"{event.object_type} {event.metric if event.metric in metrics else '(unknown metric)'}"


def event_id(event: Event) -> str:
    """Return the event's id as the sender gave it, or a dash."""
    return "-" if event.event_id.startswith(DIGESTED) else shown(event.event_id)


def shown(text: str | None) -> str:
    """Return an id, whatever it holds, as one short word; a dash when there is none."""
    return redact(text, limit=LONGEST) if text else "-"
