"""What a client or a file says, in camelCase. Strict: a text is no number, and a field that is not listed is refused."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cio_tasks.intake.fields import Amount, Confidence, Email, ExternalId, Name, Odds, OperatorId, Phone, Team, Time


class Incoming(BaseModel):
    """The rules that all of them share; an error never holds the input."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )


class CustomerIn(Incoming):
    """The person who signed up, known by e-mail whatever its case."""

    email: Email
    first_name: Name
    last_name: Name
    phone: Phone | None = None


class SignupIn(Incoming):
    """A customer's submission."""

    customer: CustomerIn
    operator_id: OperatorId
    submitted_at: Time | None = Field(None, description="Now when absent; from the year 2000 to five minutes ahead.")
    external_id: ExternalId | None = Field(None, description="The sender's own id; the same again submits nothing.")


class ConfirmationIn(Incoming):
    """The bet slip as confirmed."""

    bet_amount: Amount
    team_bet_on: Team
    odds: Odds = Field(description="As printed on the slip: +150, -110, 2.5.")
    confidence: Confidence
