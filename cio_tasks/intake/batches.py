"""Storing the records of a file, many in a transaction; a batch that the database refuses is stored line by line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from cio_tasks.db import Sessions
from cio_tasks.enqueue import enqueue_sync
from cio_tasks.intake.bodies import ConfirmationIn
from cio_tasks.intake.faults import FieldFault
from cio_tasks.intake.records import Bad, Good, Record
from cio_tasks.intake.storing import store_bet_slips, submit_signups
from cio_tasks.states import Phase

BATCH: Final = 50
"""Lines in a transaction."""
OUT_OF_STEP: Final = frozenset({"40P01", "40001", "21000"})
"""SQLSTATEs that one line alone does not meet: deadlock, serialization failure, one customer twice in an upsert."""
REFUSED: Final = FieldFault("line", "was refused by the database")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Tally:
    """What became of the lines so far."""

    lines: int = 0
    submitted: int = 0
    existing: int = 0
    confirmed: int = 0
    unchanged: int = 0
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class LineFault:
    """One field of one line at fault."""

    line: int
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Slip:
    """A bet slip of a stored signup, still to be confirmed."""

    line: int
    signup_id: UUID
    confirmation: ConfirmationIn


@dataclass(slots=True)
class Intake:
    """Takes batches of a file in, and counts. `faults` are those of the last batch."""

    tally: Tally = field(default_factory=Tally)
    faults: list[LineFault] = field(default_factory=list)
    read: int = 0
    """Bytes of the file that are dealt with."""

    def check(self, batch: Sequence[Record]) -> list[Good]:
        """Count the lines of a batch, note the faults, and return the good ones. Nothing is stored."""
        self.faults.clear()
        for record in batch:
            if isinstance(record, Bad):
                self._refuse(record.line, record.faults)
        self.tally.lines += len(batch)
        self.read = batch[-1].read
        return [record for record in batch if isinstance(record, Good)]

    def store(self, sessions: Sessions, batch: Sequence[Record]) -> None:
        """Store the signups of a batch, then its bet slips. A second time this changes nothing.

        Raises:
            SQLAlchemyError: the database is down, or not as it should be; this batch is not counted, though some of it
                may be stored.
        """
        before = replace(self.tally), self.read
        try:
            self._confirm_all(sessions, list(self._submit_all(sessions, self.check(batch))))
        except BaseException:
            self.tally, self.read = before
            raise

    def _submit_all(self, sessions: Sessions, good: Sequence[Good]) -> Iterator[Slip]:
        for record, result in _all_or_each(sessions, good, _submit):
            if result is None:
                self._refuse(record.line, [REFUSED])
                continue
            signup_id, is_new = result
            self.tally.submitted += is_new
            self.tally.existing += not is_new
            if record.signup.extraction is not None:
                yield Slip(record.line, signup_id, record.signup.extraction)

    def _confirm_all(self, sessions: Sessions, slips: Sequence[Slip]) -> None:
        """Confirm slips; of two for one signup, the second afterwards."""
        first = {slip.signup_id: slip for slip in reversed(slips)}
        for slip, is_changed in _all_or_each(sessions, [*first.values()], _confirm):
            if is_changed is None:
                self._refuse(slip.line, [REFUSED])
            else:
                self.tally.confirmed += is_changed
                self.tally.unchanged += not is_changed
        if len(first) < len(slips):
            self._confirm_all(sessions, [slip for slip in slips if first[slip.signup_id] is not slip])

    def _refuse(self, line: int, faults: Iterable[FieldFault]) -> None:
        self.tally.invalid += 1
        self.faults += [LineFault(line, fault.field, fault.message) for fault in faults]


def in_batches(records: Iterable[Record], size: int = BATCH) -> Iterator[list[Record]]:
    """Yield the records in lists of at most `size`."""
    records = iter(records)
    while batch := list(islice(records, size)):
        yield batch


def _submit(session: Session, records: Sequence[Good]) -> list[tuple[UUID, bool]]:
    stored = submit_signups(session, [record.signup for record in records])
    return [(signup.id, is_new) for signup, is_new in stored]


def _confirm(session: Session, slips: Sequence[Slip]) -> list[bool]:
    """Store bet slips and owe them. One that is there already owes nothing: a second run must not revive failed jobs."""
    stored = store_bet_slips(session, {slip.signup_id: slip.confirmation for slip in slips})
    for signup, is_changed in stored:
        if is_changed:
            enqueue_sync(session, signup, Phase.ENRICHED)
    return [is_changed for _, is_changed in stored]


def _all_or_each(
    sessions: Sessions, items: Sequence[Item], work: Callable[[Session, Sequence[Item]], list[Result]]
) -> list[tuple[Item, Result | None]]:
    """Do `work` with the items in one transaction, and pair each with its result, or with None if it was refused.

    When the transaction fails because of what is in it, each item gets a transaction of its own.
    """
    if not items:
        return []
    try:
        with sessions.begin() as session:
            return list(zip(items, work(session, items), strict=True))
    except DBAPIError as error:
        is_refused = isinstance(error, DataError | IntegrityError)
        is_out_of_step = getattr(error.orig, "pgcode", None) in OUT_OF_STEP
        if not is_refused and (len(items) == 1 or not is_out_of_step):
            raise
    if len(items) == 1:
        return [(items[0], None)]
    return [pair for item in items for pair in _all_or_each(sessions, [item], work)]
