"""What the operating routes take: query strings and bodies."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from api.parameters import DIGITS, SearchText
from api.paths import CANONICAL_UUID
from cio_tasks.intake.bodies import Incoming
from cio_tasks.intake.fields import Clean
from cio_tasks.outcomes import ErrorType
from cio_tasks.states import JobStatus, Phase

LONGEST_CLOSING: Final = 30 * 86_400
MOST_IDS: Final = 1_000
MOST_RETRIED: Final = 100_000


def word(kind: type[StrEnum]) -> BeforeValidator:
    """Take a word of an enum, of which a strict model takes the members only."""

    def parse(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(kind):
            raise PydanticCustomError("word", "must be one of {words}", {"words": ", ".join(kind)})
        return kind(value)

    return BeforeValidator(parse)


def listed(kind: type[StrEnum]) -> WithJsonSchema:
    """Describe it as one of these words."""
    return WithJsonSchema({"type": "string", "enum": list(kind)})


def _parse_id(value: Any) -> UUID:
    if not isinstance(value, str) or not CANONICAL_UUID.fullmatch(value):
        raise PydanticCustomError("uuid", "must be a UUID")
    return UUID(value)


def _parse_count(value: Any) -> int:
    """Take a number without a fraction; JSON is read into Decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise PydanticCustomError("whole_number", "must be a whole number")
    if abs(Decimal(value)) > 2**31 or Decimal(value) != int(value):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return int(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


PhaseWord = Annotated[Phase, word(Phase), listed(Phase)]
ErrorTypeWord = Annotated[ErrorType, word(ErrorType), listed(ErrorType)]
StatusWord = Annotated[JobStatus, word(JobStatus), listed(JobStatus)]
Id = Annotated[UUID, BeforeValidator(_parse_id), WithJsonSchema({"type": "string", "format": "uuid"})]
WHOLE: Final = BeforeValidator(_parse_count)
ShortText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), Clean]


class Query(BaseModel):
    """A query string, in camelCase; a parameter that is not listed is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


class NoQuery(Query):
    """No parameter at all."""


class PhaseQuery(Query):
    """Which phase is meant; both when absent."""

    sync_phase: PhaseWord | None = None


class FailuresQuery(PhaseQuery):
    """Which failures, and which part of the list."""

    error_type: ErrorTypeWord | None = None
    search: SearchText | None = Field(None, description="Part of the name or e-mail, in any case; no wildcards.")
    limit: Annotated[int, Field(ge=1, le=200), DIGITS] = 50
    offset: Annotated[int, Field(ge=0, le=10_000), DIGITS] = 0


class JobsQuery(PhaseQuery):
    """Which jobs, newest first."""

    status: StatusWord | None = None
    limit: Annotated[int, Field(ge=1, le=200), DIGITS] = 50
    cursor: str | None = Field(None, max_length=200, description="`nextCursor` of the page before.")


class ProcessQuery(Query):
    """How many jobs to deliver at most."""

    limit: Annotated[int, Field(ge=1, le=1_000), DIGITS] = 100


class RetryMany(Incoming):
    """Which failures to retry; every one when nothing is said."""

    sync_phase: PhaseWord | None = None
    error_type: ErrorTypeWord | None = None
    search: ShortText | None = None
    ids: Annotated[tuple[Id, ...], Field(max_length=MOST_IDS), BeforeValidator(_tuple)] | None = Field(
        None, description="The ids of jobs."
    )
    limit: Annotated[int, Field(ge=1, le=MOST_RETRIED), WHOLE] | None = None
    dry_run: bool = Field(False, description="Count only.")


class CloseGate(Incoming):
    """Stop deliveries."""

    reason: ShortText
    seconds: Annotated[int, Field(ge=1, le=LONGEST_CLOSING), WHOLE] | None = Field(
        None, description="Until someone opens it, when absent."
    )
