"""What is going to happen to a request: the answer, or the lack of one, and what gets applied."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cio_tasks.fake.calls import Dialect, Reading
from cio_tasks.fake.replies import ItemRefusal, Reply, failure, refusal, success, whole_refusal
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.validation import Violation, value_too_long


class Ending(StrEnum):
    """How the exchange ends on the wire."""

    ANSWER = "answer"
    RESET = "reset"
    HANG = "hang"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One request's fate. `withheld` is why nothing is applied; None applies all but the `refusals`."""

    reply: Reply
    ending: Ending = Ending.ANSWER
    fault: str | None = None
    slow: bool = False
    withheld: str | None = None
    refusals: Sequence[ItemRefusal] = ()

    @property
    def status(self) -> int | None:
        """The status the client is going to see; None when it gets no answer."""
        return self.reply.status if self.ending is Ending.ANSWER else None


def failing(status: int, fault: str, reading: Reading, scenario: Scenario) -> Plan:
    """Answer the whole request with an error status and apply nothing."""
    return Plan(reply=failure(status, reading.dialect, scenario), fault=fault, withheld="fault")


def silent(ending: Ending, fault: str) -> Plan:
    """Give no answer and apply nothing."""
    return Plan(reply=success({}), ending=ending, fault=fault, withheld="fault")


def unreadable(reading: Reading, scenario: Scenario) -> Plan | None:
    """Refuse a request whose body could not be read, or return None."""
    if reading.refusal is None:
        return None
    status, violation = reading.refusal
    refusals = [ItemRefusal(0, violation)]
    reply = whole_refusal(status, reading.dialect, violation, scenario)
    return Plan(reply=reply, withheld="refused", refusals=refusals)


def verdict(reading: Reading, scenario: Scenario, bad_items: frozenset[int] = frozenset()) -> Plan:
    """Answer on the merits: 200, 400 for a single operation, 207 for a batch with a bad item (source: TrackOAS).

    `bad_items` are refused although nothing is wrong with them.
    """
    refusals = [
        ItemRefusal(index, violation)
        for index, operation in enumerate(reading.operations)
        for violation in (*operation.violations, *([value_too_long("badattr")] if index in bad_items else []))
    ]
    if scenario.body_error_200 and reading.operations:
        return _refused_with_200(reading, scenario, refusals)
    if not refusals:
        return Plan(reply=success(reading.document))
    status = 207 if reading.dialect is Dialect.BATCH else 400
    return Plan(reply=refusal(status, reading.dialect, refusals, scenario), refusals=refusals)


def _refused_with_200(reading: Reading, scenario: Scenario, refusals: Sequence[ItemRefusal]) -> Plan:
    named = refusals or [ItemRefusal(0, Violation("invalid", "", "refused with 200 on request"))]
    reply = refusal(200, reading.dialect, named, scenario)
    return Plan(reply=reply, fault="body_error_200", refusals=named)
