"""Faults by address: `ann+429x2@example.com` makes the first two requests that contain her fail with 429."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cio_tasks.fake.identifiers import Identifier, identifier
from cio_tasks.fake.operations import Operation

TAG = re.compile(r"(?P<fault>[45]\d\d|timeout|resetafter|reset|slow|badattr)(?:x(?P<times>\d+))?")
TRANSIENT = re.compile(r"408|429|5\d\d|timeout|resetafter|reset|slow")


@dataclass(frozen=True, slots=True)
class Persona:
    """One fault of one address; `times` is the number of requests it spoils, None is always."""

    address: str
    fault: str
    times: int | None

    @property
    def transient(self) -> bool:
        """Whether the fault is of a kind that goes away: 408, 429, 5xx, timeout, resets and slowness."""
        return bool(TRANSIENT.fullmatch(self.fault))


@dataclass(frozen=True, slots=True)
class Strike:
    """What the people of one request bring upon it."""

    whole: str | None = None
    slow: bool = False
    bad_items: frozenset[int] = frozenset()

    @property
    def mild_fault(self) -> str | None:
        """The fault that leaves the request as a whole alone, if there is one."""
        return "persona:badattr" if self.bad_items else "persona:slow" if self.slow else None


@lru_cache(maxsize=100_000)
def personas_of(address: str) -> tuple[Persona, ...]:
    """Return the faults an e-mail address asks for in its `+` tags, in their order.

    Without `xN` a transient fault happens once, a permanent one always.
    """
    tags = address.partition("@")[0].lower().split("+")[1:]
    return tuple(_persona(address.lower(), found) for found in map(TAG.fullmatch, tags) if found)


def _persona(address: str, found: re.Match[str]) -> Persona:
    fault, times = found["fault"], found["times"]
    once = bool(TRANSIENT.fullmatch(fault))
    return Persona(address, fault, int(times) if times else (1 if once else None))


class Personas:
    """Counts how often each address has struck, over all phases, and remembers which address an id belongs to."""

    def __init__(self, email_on_file: Callable[[Identifier], str | None]) -> None:
        self._email_on_file = email_on_file
        self.clear()

    def clear(self) -> None:
        """Forget all counts and addresses."""
        self._struck: Counter[Persona] = Counter()
        self._addresses: dict[Identifier, str] = {}

    def learn(self, operations: Iterable[Operation]) -> None:
        """Remember the e-mail of every id that names one, also when the request is going to fail."""
        for operation in operations:
            names = (operation.person, identifier("id", operation.attributes.get("id")))
            if operation.email:
                self._addresses.update(dict.fromkeys(filter(None, names), operation.email))

    def strike(self, operations: Sequence[Operation]) -> Strike:
        """Decide what the people of this request bring upon it, and count it against them.

        A permanent fault of the whole request (403, 413, …) comes first and spends nothing of the transient
        ones. Otherwise everybody with a transient fault left spends one, and the first of them decides how the
        request fails; `slow` delays it and fails nothing.
        """
        items = [self._active(operation) for operation in operations]
        if not any(items):
            return Strike()
        present = list(dict.fromkeys(persona for active in items for persona in active))
        bad_items = frozenset(index for index, active in enumerate(items) if any(p.fault == "badattr" for p in active))
        permanent = [persona for persona in present if not persona.transient and persona.fault != "badattr"]
        if permanent:
            self._struck.update(permanent)
            return Strike(permanent[0].fault, bad_items=bad_items)
        self._struck.update(present)
        faults = [persona.fault for persona in present if persona.transient]
        failing = [fault for fault in faults if fault != "slow"]
        return Strike(next(iter(failing), None), slow="slow" in faults, bad_items=bad_items)

    def _active(self, operation: Operation) -> list[Persona]:
        """Return the permanent faults still in force for this person and the first transient one not used up."""
        left = [persona for persona in personas_of(self._address(operation)) if self._is_left(persona)]
        transient = [persona for persona in left if persona.transient]
        return [persona for persona in left if not persona.transient] + transient[:1]

    def _is_left(self, persona: Persona) -> bool:
        return persona.times is None or self._struck[persona] < persona.times

    def _address(self, operation: Operation) -> str:
        if operation.email or operation.person is None:
            return operation.email or ""
        return self._addresses.get(operation.person) or self._email_on_file(operation.person) or ""
