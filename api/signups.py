"""Submitting a signup, confirming its extraction, and reading it."""

from typing import Final

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from api import reading
from api.auth import Action, caller, requires
from api.idempotency import once
from api.masking import show_person
from api.operations import answer, operation
from api.paths import parse_id
from api.schemas import Confirmed, SignupDetails, Submitted
from api.sessions import snapshot
from cio_tasks.intake import ConfirmationIn, SignupIn, confirm_extraction, submit_signup
from cio_tasks.states import Phase

signups: Final = Blueprint("signups", __name__, url_prefix="/api/v1/signups")


@signups.post("")
@requires(Action.SUBMIT)
@operation(
    "Submit a signup. The same externalId again answers 200 with the first one.",
    body=SignupIn,
    answers={201: Submitted, 200: Submitted},
    problems=(409,),
    repeatable=True,
)
def submit(body: SignupIn) -> Response:
    """Store a signup and the job that it owes."""

    def work(session: Session) -> tuple[Submitted, int]:
        signup, is_new = submit_signup(session, body, actor=caller().name)
        jobs = reading.list_jobs(session, signup.id)
        return Submitted(id=signup.id, customer_id=signup.customer_id, sync_jobs=jobs), 201 if is_new else 200

    return once(body, work)


@signups.post("/<signup_id>/extraction/confirm")
@requires(Action.SUBMIT)
@operation(
    "Confirm the extraction of a bet slip. Other values than before are a correction and are sent again.",
    body=ConfirmationIn,
    answers={200: Confirmed},
    problems=(404, 409),
    repeatable=True,
)
def confirm(signup_id: str, body: ConfirmationIn) -> Response:
    """Store a bet slip and the job that it owes."""

    def work(session: Session) -> tuple[Confirmed, int]:
        signup = confirm_extraction(session, parse_id(signup_id), body, actor=caller().name)
        return Confirmed(id=signup.id, sync_jobs=reading.list_jobs(session, signup.id, Phase.ENRICHED)), 200

    return once(body, work)


@signups.get("/<signup_id>")
@requires(Action.READ)
@operation("Read a signup, its jobs and their attempts.", answers={200: SignupDetails}, problems=(404,))
def show(signup_id: str) -> Response:
    """Return a signup, with personal data as the caller may see it."""
    with snapshot() as session:
        signup = reading.get_signup(session, parse_id(signup_id))
        jobs = reading.list_jobs_with_attempts(session, signup.id)
        reveal = caller().may(Action.REVEAL)
        person = show_person(signup.customer, reveal=reveal)
        return answer(reading.describe_signup(signup, jobs, person, reveal=reveal))
