"""One person as Customer.io would hold it: identifiers, attributes with their times, events, activities."""

from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from cio_tasks.fake.activities import Activities
from cio_tasks.fake.event_log import Event
from cio_tasks.fake.identifiers import Identifier

CONTROL_ATTRIBUTES = {"_timestamp", "_update", "cio_relationships"}


class PersonRecord(TypedDict):
    """A person as the control routes show it; `stamps` is the unix time of each attribute's value."""

    cio_id: str
    id: str | None
    email: str | None
    phone: str | None
    attributes: dict[str, Any]
    stamps: dict[str, float]
    events: list[Event]


@dataclass(slots=True, kw_only=True, eq=False)
class Person:
    """A profile; `identifiers` are in comparable form (e-mail lower-case), attributes as they were sent."""

    cio_id: str
    created_at: float
    activities: Activities
    identifiers: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def names(self) -> frozenset[Identifier]:
        """Every identifier of this person, its `cio_id` included."""
        return frozenset(Identifier(*pair) for pair in (*self.identifiers.items(), ("cio_id", self.cio_id)))

    def fresh(self, attributes: dict[str, Any], stamp: float) -> dict[str, Any]:
        """Return the attributes that are not older than what is there (source: TrackOAS, `_timestamp`).

        `stamp` is unix seconds, and compared per attribute.
        """
        return {name: value for name, value in attributes.items() if stamp >= self.stamps.get(name, stamp)}

    def take(self, attributes: dict[str, Any], stamp: float) -> dict[str, Any]:
        """Store the attributes that are fresh, and return what changed: `{name: {"from": …, "to": …}}`.

        Null or an empty string clears: TrackOAS says so of relationships; for people it is assumed.
        """
        changes = {}
        for name, value in self.fresh(attributes, stamp).items():
            before = self.attributes.get(name)
            self._set(name, value)
            self.stamps[name] = stamp
            if self.attributes.get(name) != before:
                changes[name] = {"from": before, "to": self.attributes.get(name)}
        return changes

    def _set(self, name: str, value: object) -> None:
        if value is None or value == "":
            self.attributes.pop(name, None)
        else:
            self.attributes[name] = value

    def absorb(self, other: "Person") -> None:
        """Take over what a merged person has and this one lacks: identifiers, attributes, events (source: TrackOAS)."""
        self.identifiers = {**other.identifiers, **self.identifiers}
        self.attributes = {**other.attributes, **self.attributes}
        self.stamps = {**other.stamps, **self.stamps}
        self.events.extend(other.events)
        self.activities.entries.extend(other.activities.entries)

    def copied(self) -> "Person":
        """Return a copy that later changes leave alone."""
        return replace(
            self,
            identifiers=dict(self.identifiers),
            attributes=dict(self.attributes),
            stamps=dict(self.stamps),
            events=list(self.events),
            activities=self.activities.copied(),
        )

    def record(self) -> PersonRecord:
        """Return a copy that is safe to hand out."""
        return {
            "cio_id": self.cio_id,
            "id": self.identifiers.get("id"),
            "email": self.identifiers.get("email"),
            "phone": self.identifiers.get("phone"),
            "attributes": dict(self.attributes),
            "stamps": dict(self.stamps),
            "events": list(self.events),
        }
