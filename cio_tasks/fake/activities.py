"""What happened to a person, one entry for each thing, as the App API lists it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SERIAL_BITS = 80
DELIVERY_TYPES = {"email", "push", "twilio", "in_app", "slack", "webhook"}


class Activity(NamedTuple):
    """One entry; `timestamp` is unix seconds, `serial` makes the id unique, `identifiers` name somebody who is gone."""

    type: str
    timestamp: float
    serial: int
    name: str | None = None
    data: Mapping[str, Any] = {}
    delivery_id: str | None = None
    delivery_type: str | None = None
    identifiers: Mapping[str, str | None] = {}

    @property
    def id(self) -> str:
        """The activity's ULID (source: AppOAS)."""
        return ulid(self.timestamp, self.serial)

    def matches(self, type_: str | None, name: str | None) -> bool:
        """Tell whether it is of that type and name; an attribute's change has the name of each attribute in it."""
        named = name is None or name == self.name or name in self.data_names
        return named and (type_ is None or type_ == self.type)

    @property
    def data_names(self) -> frozenset[str]:
        """The attributes that an attribute change is about."""
        return frozenset(self.data) if self.type.endswith("attribute_change") else frozenset()


def ulid(timestamp: float, serial: int) -> str:
    """Return 26 characters: the time in milliseconds (48 bits), then the serial (80 bits)."""
    number = (max(int(timestamp * 1000), 0) % (1 << 48)) << SERIAL_BITS | serial % (1 << SERIAL_BITS)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


class Activities:
    """A list of activities that numbers its entries; `owner` keeps the numbers of two lists apart."""

    __slots__ = ("_noted", "_owner", "entries")

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._noted = 0
        self.entries: list[Activity] = []

    def note(self, type_: str, at: float, **fields: Any) -> None:
        """Add an entry; `at` is unix seconds."""
        self._noted += 1
        self.entries.append(Activity(type_, at, self._owner << 32 | self._noted, **fields))

    def copied(self) -> "Activities":
        """Return a copy that later entries do not reach."""
        twin = Activities(self._owner)
        twin.entries = list(self.entries)
        return twin
