"""Every event of the workspace in order of arrival, and the ids that have been seen."""

from typing import Any, TypedDict

from cio_tasks.fake.operations import Operation


class Event(TypedDict):
    """One recorded event; `timestamp` (when it happened) and `received_at` are unix seconds."""

    action: str
    name: str | None
    id: str | None
    person: dict[str, str] | None
    timestamp: float
    received_at: float
    attributes: dict[str, Any]


class EventLog:
    """Events and their dedupe memory, one for v1 and v2 together; it never forgets (the real span is unknown)."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._seen_ids: set[str] = set()
        self.duplicates_dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def drop_duplicate(self, operation: Operation) -> bool:
        """Tell whether the event's id was received before, and count it if so (source: TrackOAS, dedupe id)."""
        seen = operation.event_id in self._seen_ids
        self.duplicates_dropped += seen
        return seen

    def add(self, operation: Operation, at: float) -> Event:
        """Record an event that arrived `at` (unix seconds), which is also its time when it names none."""
        event: Event = {
            "action": operation.action,
            "name": operation.name,
            "id": operation.event_id,
            "person": dict([operation.person]) if operation.person else None,
            "timestamp": operation.timestamp if operation.timestamp is not None else at,
            "received_at": at,
            "attributes": operation.attributes,
        }
        self._events.append(event)
        if operation.event_id is not None:
            self._seen_ids.add(operation.event_id)
        return event

    def list_newest(self, name: str | None, limit: int | None) -> list[Event]:
        """Return the events of that name (None: of any) in order of arrival, only the last `limit` of them."""
        events = [event for event in self._events if name is None or event["name"] == name]
        return events if limit is None else events[max(len(events) - limit, 0) :]
