"""The workspace: what each operation does to people and events, and what is answered 200 yet changes nothing."""

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cio_tasks.fake.activities import Activities, Activity
from cio_tasks.fake.event_log import Event, EventLog
from cio_tasks.fake.identifiers import Identifier, identifier, identifier_in, identifiers_from_path
from cio_tasks.fake.operations import JsonObject, Operation
from cio_tasks.fake.person import CONTROL_ATTRIBUTES, Person, PersonRecord
from cio_tasks.fake.profiles import Profiles


class Effect(NamedTuple):
    """What an accepted operation did; `why` says why nothing changed although the answer is 200."""

    applied: bool
    why: str | None = None


APPLIED = Effect(applied=True)


def ignored(why: str) -> Effect:
    """Return the effect of an operation that is answered with success and changes nothing."""
    return Effect(applied=False, why=why)


class People:
    """State of one workspace; every public method may be called from any thread."""

    def __init__(
        self,
        *,
        event_creates_person: Callable[[], bool] = lambda: True,
        email_identifies: Callable[[], bool] = lambda: True,
    ) -> None:
        self._event_creates_person = event_creates_person
        self._email_identifies = email_identifies
        self._lock = threading.RLock()
        self._verbs = {
            "identify": self._identify,
            "delete": self._delete,
            "event": self._event,
            "page": self._event,
            "screen": self._event,
            "merge": self._merge,
            "suppress": self._suppress,
            "unsuppress": self._unsuppress,
        }
        self.clear()

    def clear(self) -> None:
        """Forget everybody and everything."""
        with self._lock:
            self._profiles = Profiles()
            self._log = EventLog()
            self._suppressed: dict[Identifier, frozenset[Identifier]] = {}
            self._of_nobody = Activities(0)

    def __deepcopy__(self, memo: dict[int, Any]) -> "People":
        twin = People(event_creates_person=self._event_creates_person, email_identifies=self._email_identifies)
        with self._lock:
            state = {name: vars(self)[name] for name in ("_profiles", "_log", "_suppressed", "_of_nobody")}
            vars(twin).update(copy.deepcopy(state, memo))
        return twin

    def apply(self, operation: Operation, at: float) -> Effect:
        """Carry out one valid operation that arrived `at` (unix seconds).

        Devices, relationships, objects and deliveries are accepted and not modelled. A suppressed identifier is
        ignored in every later call (source: TrackOAS, suppress).
        """
        verb = self._verbs.get(operation.action) if operation.type == "person" else None
        if verb is None:
            return ignored("not_modelled")
        with self._lock:
            if operation.person in self._suppressed and operation.action != "unsuppress":
                return ignored("suppressed")
            return verb(operation, at)

    def find(self, identifier: str) -> PersonRecord | None:
        """Return the person with this id, e-mail or `cio_…`, or None."""
        with self._lock:
            person = self._profiles.find(identifier_in(identifiers_from_path(identifier)))
            return person.record() if person else None

    def find_email(self, name: Identifier) -> str | None:
        """Return the lower-case e-mail of the person with this identifier, or None."""
        with self._lock:
            person = self._profiles.find(name)
            return person.identifiers.get("email") if person else None

    def find_by_name(self, name: Identifier) -> Person | None:
        """Return a copy of the person with this identifier, or None."""
        with self._lock:
            person = self._profiles.find(name)
            return person.copied() if person else None

    def list_people(self) -> list[Person]:
        """Return a copy of everybody, in the order in which they came."""
        with self._lock:
            return [person.copied() for person in self._profiles]

    def list_activities_of_nobody(self) -> list[Activity]:
        """Return what happened to people who are gone or never were."""
        with self._lock:
            return list(self._of_nobody.entries)

    def note(self, whom: Identifier, type_: str, at: float, **fields: Any) -> None:
        """Add an activity (unix seconds) to the person with this identifier; nothing happens when there is none."""
        with self._lock:
            if person := self._profiles.find(whom):
                person.activities.note(type_, at, **fields)

    def list_events(self, name: str | None = None, limit: int | None = None) -> list[Event]:
        """Return the recorded events of that name in order of arrival; with `limit` only the newest of them."""
        with self._lock:
            return self._log.list_newest(name, limit)

    def count(self) -> int:
        """Return the number of people that exist now."""
        with self._lock:
            return len(self._profiles)

    def count_events(self) -> int:
        """Return the number of recorded events, dropped duplicates not counted."""
        with self._lock:
            return len(self._log)

    def count_duplicates_dropped(self) -> int:
        """Return the number of events dropped because their id had been seen before."""
        with self._lock:
            return self._log.duplicates_dropped

    def _identify(self, operation: Operation, at: float) -> Effect:
        """Upsert: an unknown `cio_id` is dropped, `_update` creates nobody and is noted (source: TrackOAS, identify)."""
        person = self._profiles.find(operation.person) or self._owner_of_attributes(operation)
        if person is None:
            if operation.person and operation.person.kind == "cio_id":
                return ignored("unknown_cio_id")
            if operation.attributes.get("_update") is True:
                self._note_of_nobody("failed_attribute_change", at, [operation.person])
                return ignored("unknown_person")
            person = self._profiles.create(at)
        if operation.person:
            person = self._profiles.claim(person, operation.person) or person
        return self._take_attributes(person, operation, at)

    def _owner_of_attributes(self, operation: Operation) -> Person | None:
        """An unknown path id whose body e-mail is known means that person, who gets the id (source: TrackOAS)."""
        named = (identifier(kind, operation.attributes.get(kind)) for kind in ("email", "id"))
        owner = next(filter(None, map(self._profiles.find, named)), None)
        kind = operation.person.kind if operation.person else ""
        return None if owner is None or kind in owner.identifiers else owner

    def _take_attributes(self, person: Person, operation: Operation, at: float) -> Effect:
        """Identifiers first: a claim may merge, and the attributes then belong to the survivor.

        An id or e-mail that somebody else keeps is left out, which only an activity tells: the answer is still 200
        (source: TrackOAS).
        """
        stamp = at if operation.timestamp is None else operation.timestamp
        offered = {name: value for name, value in operation.attributes.items() if name not in CONTROL_ATTRIBUTES}
        fresh = person.fresh(offered, stamp)
        if offered and not fresh:
            return ignored("stale")
        person, contested = self._claim(person, fresh)
        changes = person.take({name: value for name, value in fresh.items() if name not in contested}, stamp)
        if changes:
            person.activities.note("attribute_change", at, data=changes)
        if not contested:
            return APPLIED
        failures = {name: {"from": person.attributes.get(name), "to": fresh[name]} for name in contested}
        person.activities.note("failed_attribute_change", at, data=failures)
        return Effect(applied=True, why="identifier_conflict")

    def _claim(self, person: Person, attributes: JsonObject) -> tuple[Person, set[str]]:
        contested = set()
        for kind in attributes.keys() & ({"id", "email"} if self._email_identifies() else {"id"}):
            name = identifier(kind, attributes[kind])
            holder = self._profiles.claim(person, name) if name else person
            if holder is None:
                contested.add(kind)
            person = holder or person
        return person, contested

    def _delete(self, operation: Operation, at: float) -> Effect:
        """Deleting an unknown person is no error, and deleting is not suppressing (source: SDK README)."""
        person = self._profiles.find(operation.person)
        if person is None:
            return ignored("unknown_person")
        self._forget(person, at)
        return APPLIED

    def _forget(self, person: Person, at: float) -> None:
        self._note_of_nobody("profile_delete", at, person.names)
        self._profiles.forget(person)

    def _note_of_nobody(self, type_: str, at: float, names: Iterable[Identifier | None]) -> None:
        self._of_nobody.note(type_, at, identifiers=dict(filter(None, names)))

    def _event(self, operation: Operation, at: float) -> Effect:
        """A repeated id is dropped, whichever API version brought it first (source: TrackOAS, dedupe id)."""
        if self._log.drop_duplicate(operation):
            return ignored("duplicate")
        person = self._profiles.find(operation.person) or self._author(operation.person, at)
        if person is None and operation.person:
            return ignored("unknown_person")
        event = self._log.add(operation, at)
        if person:
            person.events.append(event)
            person.activities.note(operation.action, event["timestamp"], name=event["name"], data=event["attributes"])
        return APPLIED

    def _author(self, name: Identifier | None, at: float) -> Person | None:
        """Create the unknown person of an event; whether Customer.io does is not confirmed, so it is a knob."""
        if name is None or name.kind == "cio_id" or not self._event_creates_person():
            return None
        return self._profiles.claim(self._profiles.create(at), name)

    def _merge(self, operation: Operation, at: float) -> Effect:
        """A missing side changes nothing and is still answered 200 (source: TrackOAS, merge)."""
        primary, secondary = self._profiles.find(operation.person), self._profiles.find(operation.secondary)
        if primary is None or secondary is None or primary is secondary:
            return ignored("unknown_person")
        self._profiles.unite(primary, secondary).activities.note("profile_merge", at)
        return APPLIED

    def _suppress(self, operation: Operation, at: float) -> Effect:
        """Delete the profile and ignore all its identifiers from now on (source: TrackOAS, suppress)."""
        person = self._profiles.find(operation.person)
        names = person.names if person else frozenset(filter(None, [operation.person]))
        self._suppressed.update(dict.fromkeys(names, names))
        if person:
            self._forget(person, at)
        return APPLIED

    def _unsuppress(self, operation: Operation, _at: float) -> Effect:
        """Free the identifiers suppressed together; the old profile does not come back (source: TrackOAS)."""
        names = self._suppressed.get(operation.person, frozenset()) if operation.person else frozenset()
        for name in names:
            del self._suppressed[name]
        return APPLIED if names else ignored("unknown_person")
