"""What the diagnostic routes take, and the one shape in which they answer."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, RootModel, StringConstraints

from api.job_bodies import WHOLE, Query, listed, word
from api.parameters import DIGITS
from cio_tasks.diagnostics.own_side import Kind
from cio_tasks.intake.bodies import Incoming
from cio_tasks.intake.fields import Clean

MOST: Final = 2**53
"""Beyond it a number that JSON knows is not exact."""


def _as_sent(value: Any) -> Any:
    """Turn the Decimals that JSON is read into back into numbers that JSON knows."""
    if isinstance(value, dict):
        return {name: _as_sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_sent(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < MOST else float(value)
    return value


KindWord = Annotated[Kind, word(Kind), listed(Kind)]
Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), Clean]
Values = Annotated[dict[str, Any], Field(default_factory=dict, max_length=300), BeforeValidator(_as_sent)]


class Diagnosis(RootModel[dict[str, Any]]):
    """The object that the command of the same name prints with `--json`."""


class NetworkQuery(Query):
    """How many rounds are measured."""

    count: Annotated[int, Field(ge=1, le=5), DIGITS] = 2


class ReportQuery(Query):
    """How far back to look."""

    since_seconds: Annotated[int, Field(ge=60, le=7 * 86_400), DIGITS] = 7_200


class Revealing(Incoming):
    """A question about a person."""

    reveal: bool = Field(False, description="Show personal data; the audit names who asked. Secrets stay masked.")


class InvestigateBody(Revealing):
    """Who is asked about."""

    user: Person = Field(description="An e-mail address, Customer.io's or our own id, or the id of a signup.")
    kind: KindWord | None = Field(None, description="What the user is named by; taken as it looks when absent.")


class CampaignBody(Revealing):
    """Which campaign is asked about, and for whom."""

    campaign_id: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
    user: Person | None = None


class CallBody(Revealing):
    """One call to the Track API."""

    person: Person
    api: Literal["v1", "v2"] = "v1"
    dry_run: bool = Field(False, description="Show what would be sent, and send nothing.")


class IdentifyBody(CallBody):
    """A person and their attributes."""

    attributes: Values


class TrackBody(CallBody):
    """A person, an event and its data."""

    event: Annotated[str, StringConstraints(min_length=1, max_length=200), Clean]
    data: Values


class RunbookBody(Incoming):
    """Which runbook; that of the severity found when absent."""

    severity: Literal["P1", "P2", "P3", "P4"] | None = None
