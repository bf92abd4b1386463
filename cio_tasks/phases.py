"""What each phase sends: a signup becomes operations. A new phase is added here and nowhere else.

The payload is built from the row at the moment of sending; its times are the row's own, so a repeat or a late delivery says
the same thing about the same moment.
"""

from datetime import datetime
from typing import Any, Final

from cio_tasks.claims import Claim
from cio_tasks.customerio import track
from cio_tasks.customerio.limits import find_excess
from cio_tasks.customerio.track import Operation
from cio_tasks.errors import PayloadError
from cio_tasks.event_ids import event_id
from cio_tasks.models import Signup
from cio_tasks.states import Phase

SIGNUP_SUBMITTED: Final = "signup_submitted"
EXTRACTION_CONFIRMED: Final = "signup_extraction_confirmed"


def payload_version(signup: Signup, phase: Phase) -> int:
    """Return which version of the payload this phase owes now: corrections of the bet slip count, the rest does not."""
    return max(signup.extraction_version, 1) if phase is Phase.ENRICHED else 1


def build(claim: Claim) -> list[Operation]:
    """Return the operations that deliver a claim, person first.

    Raises:
        PayloadError: when an operation exceeds a limit of Customer.io (naming the attribute) or has no data to send.
    """
    operations = _initial(claim) if claim.phase is Phase.INITIAL else _enriched(claim)
    for operation in operations:
        excess = find_excess(operation)
        if excess is not None:
            raise PayloadError(excess)
    return operations


def _initial(claim: Claim) -> list[Operation]:
    """Rows A8 and A9: the whole profile, then `signup_submitted`."""
    signup, customer = claim.signup, claim.signup.customer
    facts = {
        "signup_id": str(signup.id),
        "operator_id": signup.operator_id,
        "submitted_at": _unix(signup.submitted_at),
    }
    profile = {
        "email": customer.email,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "phone": customer.phone,
        "created_at": _unix(customer.created_at),
        **facts,
    }
    return _pair(claim, profile, SIGNUP_SUBMITTED, facts, at=signup.submitted_at)


def _enriched(claim: Claim) -> list[Operation]:
    """Rows A10 and A11: the bet slip, then `signup_extraction_confirmed`."""
    signup = claim.signup
    if signup.extraction_confirmed_at is None or signup.bet_amount is None:
        raise PayloadError("the extraction of this signup was not confirmed: there is no bet slip to send")
    bet_slip = {
        "bet_amount": float(signup.bet_amount),
        "team_bet_on": signup.team_bet_on,
        "odds": signup.odds,
        "confidence": signup.confidence,
    }
    facts = {"signup_id": str(signup.id), "operator_id": signup.operator_id, **bet_slip}
    return _pair(claim, bet_slip, EXTRACTION_CONFIRMED, facts, at=signup.extraction_confirmed_at)


def _pair(
    claim: Claim, attributes: dict[str, Any], event: str, facts: dict[str, Any], *, at: datetime
) -> list[Operation]:
    identifier = event_id(signup_id=claim.signup_id, phase=claim.phase, event=event, version=claim.payload_version)
    known = {name: value for name, value in attributes.items() if value is not None}
    return [
        track.identify(claim.contact_id, known, at=at),
        track.event(claim.contact_id, event, facts, event_id=identifier, at=at),
    ]


def _unix(moment: datetime) -> int:
    return int(moment.timestamp())
