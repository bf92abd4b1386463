"""A request as it arrived, and what could be read out of it."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Any, NamedTuple

from cio_tasks.fake.operations import Operation
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.validation import Violation

MAX_DEPTH = 200
"""Nesting that is read; deeper would exhaust the parser's stack, or that of whoever writes it out again."""
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
BRACKET = re.compile(r"[\[\]{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One Track request; `at` is its arrival in unix seconds, `parameters` the decoded parts of the path."""

    at: float
    method: str
    path: str
    parameters: Mapping[str, str]
    authorization: str | None
    body: bytes

    def document(self) -> object:
        """Parse the body.

        Raises ValueError when it is no UTF-8, no JSON, nested too deep, or holds NaN, Infinity or a number that
        is no finite float: such a body was once answered 200 and lost (source: customerio-python#35).
        """
        text = self.body.decode()
        if _depth(text) > MAX_DEPTH:
            raise ValueError("nested too deep")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def _depth(text: str) -> int:
    """Return how deep the brackets outside of strings nest, looked at only where there are enough of them."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    brackets = BRACKET.findall(STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def _refuse_constant(token: str) -> object:
    raise ValueError(token)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


class Dialect(StrEnum):
    """The shapes in which Customer.io reports refusals; merging has one of its own (source: TrackOAS, merge)."""

    V1 = "v1"
    V1_MERGE = "v1_merge"
    ENTITY = "entity"
    BATCH = "batch"


class Refusal(NamedTuple):
    """A request refused as a whole before its operations were looked at."""

    status: int
    violation: Violation


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request asks for; `document` is the body of a success."""

    dialect: Dialect
    operations: tuple[Operation, ...] = ()
    refusal: Refusal | None = None
    document: Mapping[str, Any] = field(default_factory=dict)


Reader = Callable[[Call, Scenario], Reading]


def refused(dialect: Dialect, message: str, *, field: str = "", status: int = 400) -> Reading:
    """Return the reading of a request that is refused as a whole."""
    return Reading(dialect, refusal=Refusal(status, Violation("invalid", field, message)))
