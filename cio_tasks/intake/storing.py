"""Storing what came in together with the jobs that it owes, in the caller's transaction: one or many at once."""

import string
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Numeric,
    Text,
    Uuid,
    cast,
    column,
    func,
    literal,
    select,
    text,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cio_tasks.enqueue import enqueue_sync
from cio_tasks.errors import NotFound
from cio_tasks.intake.bodies import ConfirmationIn, CustomerIn, SignupIn
from cio_tasks.journal import SYSTEM
from cio_tasks.models import Customer, Signup
from cio_tasks.states import Phase

FOLD: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""Two addresses that are alike after this are alike to the database, whatever its locale."""

# --- signups ----------------------------------------------------------------------------------------------------------


def submit_signup(session: Session, signup_in: SignupIn, *, actor: str = SYSTEM) -> tuple[Signup, bool]:
    """Store a signup with its initial job; return it, and whether it is new (row B1).

    The customer is found by e-mail, whatever its case: the newest names win, and a phone number that is absent now stays.
    An `external_id` that is there already changes nothing and returns the signup of the first time, also when several
    senders bring it at once. `actor` is who the audit names.
    """
    return submit_signups(session, [signup_in], actor=actor)[0]


def submit_signups(
    session: Session, signups_in: Sequence[SignupIn], *, actor: str = SYSTEM
) -> list[tuple[Signup, bool]]:
    """Do the same for many, in their order."""
    known = _find_by_external_id(session, signups_in)
    fresh = list(_fresh(signups_in, known))
    with session.begin_nested() as savepoint:
        stored = _insert(session, [signups_in[place] for place in fresh])
        if len(stored) < len(fresh):
            # Another transaction brought one of the external ids a moment earlier: take back what was written to its
            # customer too. That transaction has ended, so the next look finds its signup.
            savepoint.rollback()
    if len(stored) < len(fresh):
        return submit_signups(session, signups_in, actor=actor)
    for signup in stored:
        enqueue_sync(session, signup, Phase.INITIAL, actor=actor)
    new = dict(zip(fresh, stored, strict=True))
    known |= {signup.external_id: signup for signup in stored}
    return [
        (new[place], True) if place in new else (known[signup_in.external_id], False)
        for place, signup_in in enumerate(signups_in)
    ]


def _find_by_external_id(session: Session, signups_in: Iterable[SignupIn]) -> dict[str | None, Signup]:
    wanted = [signup_in.external_id for signup_in in signups_in if signup_in.external_id is not None]
    if not wanted:
        return {}
    return {
        signup.external_id: signup for signup in session.scalars(select(Signup).where(Signup.external_id.in_(wanted)))
    }


def _fresh(signups_in: Sequence[SignupIn], known: Mapping[str | None, Signup]) -> Iterable[int]:
    """Yield the places of the signups that are to be stored: not known, and the first with their external id."""
    seen = set(known)
    for place, signup_in in enumerate(signups_in):
        if signup_in.external_id is None or signup_in.external_id not in seen:
            seen.add(signup_in.external_id)
            yield place


def _insert(session: Session, signups_in: Sequence[SignupIn]) -> list[Signup]:
    """Store signups and their customers; return those whose external id nobody brought meanwhile."""
    if not signups_in:
        return []
    customer_ids = _upsert_customers(session, [signup_in.customer for signup_in in signups_in])
    rows: list[dict[str, Any]] = [
        {
            "id": uuid7(),
            "customer_id": customer_ids[signup_in.customer.email],
            "operator_id": signup_in.operator_id,
            "external_id": signup_in.external_id,
            "submitted_at": signup_in.submitted_at or func.now(),
        }
        for signup_in in signups_in
    ]
    statement = insert(Signup).values(sorted(rows, key=lambda row: row["external_id"] or ""))
    stored = session.scalars(
        statement.on_conflict_do_nothing(index_elements=["external_id"])
        .returning(Signup)
        .execution_options(populate_existing=True)
    )
    by_id = {signup.id: signup for signup in stored}
    return [by_id[row["id"]] for row in rows if row["id"] in by_id]


def _upsert_customers(session: Session, customers_in: Iterable[CustomerIn]) -> dict[str, UUID]:
    """Store customers and return their ids by their e-mails as given. Rows are locked in the order of the e-mails."""
    merged: dict[str, dict[str, Any]] = {}
    emails = []
    for customer_in in customers_in:
        emails.append(customer_in.email)
        row = merged.setdefault(customer_in.email.translate(FOLD), {"email": customer_in.email, "phone": None})
        row |= customer_in.model_dump(exclude={"email"}, exclude_none=True)
    statement = insert(Customer).values([merged[key] for key in sorted(merged)])
    newest = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[text("lower(email)")],
            set_={
                "first_name": newest.first_name,
                "last_name": newest.last_name,
                "phone": func.coalesce(newest.phone, Customer.phone),
                "updated_at": func.now(),
            },
        )
    )
    email = func.unnest(literal(emails, ARRAY(Text))).column_valued("given")
    found = session.execute(select(email, Customer.id).where(func.lower(Customer.email) == func.lower(email)))
    return {row.given: row.id for row in found}


# --- bet slips --------------------------------------------------------------------------------------------------------


def confirm_extraction(
    session: Session, signup_id: UUID, confirmation: ConfirmationIn, *, actor: str = SYSTEM
) -> Signup:
    """Put a bet slip on a signup and owe its enriched job (rows B4, B5); return the signup.

    Other values than before are a correction: a new version, which is sent even when the old one was.

    Raises:
        NotFound: there is no such signup.
    """
    [(signup, _)] = store_bet_slips(session, {signup_id: confirmation})
    enqueue_sync(session, signup, Phase.ENRICHED, actor=actor)
    return signup


def store_bet_slips(session: Session, slips: Mapping[UUID, ConfirmationIn]) -> list[tuple[Signup, bool]]:
    """Put bet slips on their signups, and lock these; return them in the order given, and whether each changed.

    Nothing is enqueued.

    Raises:
        NotFound: there is no such signup.
    """
    locked = select(Signup).where(Signup.id.in_(slips)).order_by(Signup.id).with_for_update(key_share=True)
    signups = {signup.id: signup for signup in session.scalars(locked.execution_options(populate_existing=True))}
    if len(signups) < len(slips):
        raise NotFound("there is no such signup")
    changed = {signup_id: slip for signup_id, slip in slips.items() if _differs(signups[signup_id], slip)}
    if changed:
        _write(session, changed)
    return [(signups[signup_id], signup_id in changed) for signup_id in slips]


def _differs(signup: Signup, slip: ConfirmationIn) -> bool:
    same = all(getattr(signup, name) == value for name, value in slip.model_dump().items())
    return not (signup.extraction_version and same)


def _after_the_last() -> ColumnElement[datetime]:
    """Return the time of a confirmation: now, and at least a second after the one before.

    Customer.io orders the values of an attribute by whole seconds, so two corrections in one second would have no order.
    """
    return func.greatest(func.clock_timestamp(), Signup.extraction_confirmed_at + timedelta(seconds=1))


def _write(session: Session, slips: Mapping[UUID, ConfirmationIn]) -> None:
    """Write bet slips as new versions. The clock is read under the lock: a later version has a later time."""
    rows = [(signup_id, s.bet_amount, s.team_bet_on, s.odds, s.confidence) for signup_id, s in slips.items()]
    slip = values(
        column("id", Uuid),
        column("bet_amount", Numeric(12, 2)),
        column("team_bet_on", Text),
        column("odds", Text),
        column("confidence", Float),
        name="slip",
    ).data(rows)
    written = session.scalars(
        update(Signup)
        .where(Signup.id == cast(slip.c.id, Uuid))
        .values(
            bet_amount=slip.c.bet_amount,
            team_bet_on=slip.c.team_bet_on,
            odds=slip.c.odds,
            confidence=slip.c.confidence,
            extraction_version=Signup.extraction_version + 1,
            extraction_confirmed_at=_after_the_last(),
            updated_at=func.now(),
        )
        .returning(Signup)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    written.all()
