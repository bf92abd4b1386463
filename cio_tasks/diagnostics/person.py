"""Why does this person not get what they should? Both sides are asked, and what they say together is judged (rows L)."""

from datetime import UTC, datetime, timedelta
from typing import Final

from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.app_people import Person
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.budget import Budget
from cio_tasks.diagnostics.customerio_side import CustomerioSide, ask_customerio
from cio_tasks.diagnostics.own_side import NO_DATABASE, Kind, OwnSide, Wanted, read_own_side
from cio_tasks.diagnostics.person_report import PersonReport
from cio_tasks.diagnostics.person_verdicts import judge
from cio_tasks.settings import Settings

WITHIN: Final = timedelta(seconds=20)
LIMIT: Final = 500
"""How many events and how many messages are read of one person."""


def investigate(
    settings: Settings,
    sessions: Sessions | None,
    user: str,
    *,
    kind: Kind | None = None,
    within: timedelta = WITHIN,
    limit: int = LIMIT,
) -> PersonReport:
    """Return what is known of a user, and the findings; it reads only, and raises nothing for what cannot be reached.

    `user` is Customer.io's id (our customer's), an address, a `cio_…` id or the id of a signup, taken as it looks
    unless `kind` says. All questions together end within `within`; `limit` caps the events and the messages.
    """
    budget, wanted = Budget(within), Wanted(user.strip(), kind)
    own = _ask_ourselves(sessions, wanted, budget)
    api = AppAPI.from_settings(settings, total=budget.for_one)
    theirs = ask_customerio(api, wanted, own, budget, limit=limit)
    own = _look_again(sessions, own, theirs, budget)
    report = PersonReport(wanted, datetime.now(UTC), theirs, own)
    report.findings = judge(report)
    return report


def _ask_ourselves(sessions: Sessions | None, wanted: Wanted, budget: Budget) -> OwnSide | Failure:
    """The database first: whose signup it is decides whom Customer.io is asked about."""
    if sessions is None:
        return NO_DATABASE
    return budget.ask(lambda: read_own_side(sessions, wanted), name="own side").answer(at_most=budget.for_one)


def _look_again(
    sessions: Sessions | None, own: OwnSide | Failure, theirs: CustomerioSide, budget: Budget
) -> OwnSide | Failure:
    """Look for the customer by what the profile says of itself, when what was asked for meant nothing to us."""
    if isinstance(own, Failure) or own.customer is not None or isinstance(theirs.profile, Failure):
        return own
    for wanted in _names(theirs.profile):
        found = _ask_ourselves(sessions, wanted, budget)
        if isinstance(found, Failure) or found.customer is not None:
            return found
    return own


def _names(profile: Person) -> list[Wanted]:
    """Return by what to look for a profile among our customers: its id when it can be one of ours, then its address."""
    id_, email = profile.identifiers.id, profile.email
    named = [Wanted(id_, Kind.ID)] if id_ else []
    return [*named, *([Wanted(email, Kind.EMAIL)] if email else [])]
