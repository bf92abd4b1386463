"""Who is who: every profile under each of its identifiers, created, claimed, merged and forgotten."""

from collections.abc import Iterator

from cio_tasks.fake.activities import Activities
from cio_tasks.fake.identifiers import Identifier
from cio_tasks.fake.person import Person


class Profiles:
    """The index of all people by identifier; the caller holds the lock."""

    def __init__(self) -> None:
        self._by_name: dict[Identifier, Person] = {}
        self._created = 0

    def __len__(self) -> int:
        return sum(name.kind == "cio_id" for name in self._by_name)

    def find(self, name: Identifier | None) -> Person | None:
        """Return the person with this identifier, or None."""
        return self._by_name.get(name) if name else None

    def __iter__(self) -> Iterator[Person]:
        return (person for name, person in self._by_name.items() if name.kind == "cio_id")

    def create(self, at: float) -> Person:
        """Add a person that has only the `cio_id` made here, and note when (unix seconds)."""
        self._created += 1
        person = Person(cio_id=f"{self._created:012x}", created_at=at, activities=Activities(self._created))
        person.activities.note("profile_create", at)
        self._by_name[Identifier("cio_id", person.cio_id)] = person
        return person

    def claim(self, person: Person, name: Identifier) -> Person | None:
        """Give the person this identifier and return who has it then, or None when somebody else keeps it.

        Two people who share no kind of identifier are halves of one: they are merged, and the older survives
        (source: community thread 367).
        """
        owner = self._by_name.get(name)
        if owner is not None and owner is not person:
            return self._merge_halves(person, owner)
        if name.kind != "cio_id":
            self._by_name.pop(Identifier(name.kind, person.identifiers.get(name.kind, "")), None)
            person.identifiers[name.kind] = name.value
            self._by_name[name] = person
        return person

    def _merge_halves(self, one: Person, other: Person) -> Person | None:
        if one.identifiers.keys() & other.identifiers.keys():
            return None
        older, younger = sorted((one, other), key=lambda person: person.cio_id)
        return self.unite(older, younger)

    def unite(self, primary: Person, secondary: Person) -> Person:
        """Merge the secondary into the primary, which stays (source: TrackOAS, merge)."""
        primary.absorb(secondary)
        self.forget(secondary)
        self._by_name.update(dict.fromkeys(primary.names, primary))
        return primary

    def forget(self, person: Person) -> None:
        """Remove the person and free the identifiers."""
        for name in person.names:
            if self._by_name.get(name) is person:
                del self._by_name[name]
