"""The way in for signups and bet slips, by HTTP or from a file: one set of rules, and one way to store them."""

from cio_tasks.intake.bodies import ConfirmationIn, CustomerIn, SignupIn
from cio_tasks.intake.documents import Unreadable, parse_json
from cio_tasks.intake.faults import FieldFault, list_faults
from cio_tasks.intake.storing import confirm_extraction, store_bet_slips, submit_signup, submit_signups

__all__ = [
    "ConfirmationIn",
    "CustomerIn",
    "FieldFault",
    "SignupIn",
    "Unreadable",
    "confirm_extraction",
    "list_faults",
    "parse_json",
    "store_bet_slips",
    "submit_signup",
    "submit_signups",
]
