"""What Customer.io knows of a person: first the profile, then everything about it that can be asked side by side."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cio_tasks.customerio.app_answers import Failure, Listing, Trouble
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.app_campaigns import Segment
from cio_tasks.customerio.app_people import (
    Activity,
    Identifiers,
    Message,
    Person,
    Subscriptions,
    Suppression,
    Who,
)
from cio_tasks.diagnostics.budget import Budget
from cio_tasks.diagnostics.own_side import CIO_ID, Kind, OwnSide, Wanted

NEWEST_ACTIVITIES: Final = 200
"""So many activities of all types are read; events have a list of their own."""
NOT_ASKED: Final = Failure(Trouble.NOT_FOUND, "not_asked", "there is nobody to ask it about")
NOBODY: Final = Failure(Trouble.NOT_FOUND, "nobody", "no profile has this name")
CLOSED_DOORS: Final = frozenset({"no_key", "http_401", "redirected"})
"""Failures of one question that the next would only repeat; a 403 is about one kind of question."""

T = TypeVar("T")
W = TypeVar("W")
Namesakes = tuple[Identifiers, ...]


@dataclass(frozen=True, slots=True)
class CustomerioSide:
    """The answers, each of them a failure when it could not be had. `not_found` as profile says: there is none."""

    profile: Person | Failure
    namesakes: Namesakes | Failure = field(default=NOT_ASKED, repr=False)
    """Whoever has the same address."""
    segments: tuple[Segment, ...] | Failure = NOT_ASKED
    events: Listing[Activity] | Failure = NOT_ASKED
    activities: Listing[Activity] | Failure = NOT_ASKED
    """The newest of all types, for what changed the profile and what failed."""
    messages: Listing[Message] | Failure = NOT_ASKED
    subscriptions: Subscriptions | Failure = NOT_ASKED
    suppression: Suppression | Failure = NOT_ASKED
    """The e-mail provider's; Customer.io's own cannot be asked for."""

    @property
    def exists(self) -> bool | None:
        """Whether there is a profile; None when that is not known."""
        if isinstance(self.profile, Failure):
            return False if self.profile.trouble is Trouble.NOT_FOUND else None
        return True


def ask_customerio(
    api: AppAPI, wanted: Wanted, own: OwnSide | Failure, budget: Budget, *, limit: int
) -> CustomerioSide:
    """Ask all there is to ask. Whoever has no profile is asked about no further, except for the address."""
    found = _find(api, wanted, own, budget)
    if isinstance(found.profile, Failure) and found.profile.code in CLOSED_DOORS:
        return _nothing(found.profile)
    return _ask_the_rest(_Questions(api, budget, limit), found, _address(found.profile, own, wanted))


@dataclass(frozen=True, slots=True)
class _Found:
    """The profile, or why there is none; under which name to ask on; and who else has the address, if that is known."""

    profile: Person | Failure
    who: Who | None = None
    namesakes: Namesakes | Failure = NOT_ASKED


def _find(api: AppAPI, wanted: Wanted, own: OwnSide | Failure, budget: Budget) -> _Found:
    who = _name(wanted, own)
    if isinstance(who, Failure):
        return _Found(who)
    if who.kind != "email":
        return _found(_profile(api, who, budget), who)
    address = who.value
    namesakes = budget.ask(lambda: api.find_by_email(address), name="addresses").answer()
    if isinstance(namesakes, Failure) and namesakes.code in CLOSED_DOORS:
        return _Found(namesakes)
    picked = _pick(who, namesakes, own)
    profile = NOBODY if picked is None else _profile(api, picked, budget)
    if isinstance(namesakes, Failure) and isinstance(profile, Failure) and profile.trouble is Trouble.NOT_FOUND:
        profile = namesakes if picked is not None and picked.kind == "id" else profile
    return _found(profile, picked, namesakes)


def _profile(api: AppAPI, who: Who, budget: Budget) -> Person | Failure:
    return budget.ask(lambda: api.person(who), name="profile").answer()


def _found(profile: Person | Failure, who: Who | None, namesakes: Namesakes | Failure = NOT_ASKED) -> _Found:
    """Keep the surest name of a profile that was read; one that could not be read keeps the name it was asked by."""
    if isinstance(profile, Failure):
        return _Found(profile, None if profile.trouble is Trouble.NOT_FOUND else who, namesakes)
    return _Found(profile, _as_who(profile.identifiers) or who, namesakes)


def _nothing(why: Failure) -> CustomerioSide:
    return CustomerioSide(why, why, why, why, why, why, why, why)


def _name(wanted: Wanted, own: OwnSide | Failure) -> Who | Failure:
    """Return how to ask for somebody, or why that is not possible."""
    if not isinstance(own, Failure) and own.customer is not None and wanted.looks in {Kind.ID, Kind.SIGNUP}:
        return Who("id", str(own.customer.id))
    match wanted.looks:
        case Kind.SIGNUP:
            detail = "only our database knows whose signup it is"
            return Failure(own.trouble, own.code, f"{detail}: {own.detail}") if isinstance(own, Failure) else NOBODY
        case Kind.CIO_ID:
            return Who("cio_id", wanted.text.removeprefix(CIO_ID))
        case kind:
            return Who("email" if kind is Kind.EMAIL else "id", wanted.text)


def _pick(who: Who, namesakes: Namesakes | Failure, own: OwnSide | Failure) -> Who | None:
    """Return the one to ask about: ours among those with the address, else the first, else whoever has our id."""
    ours = str(own.customer.id) if not isinstance(own, Failure) and own.customer is not None else None
    if isinstance(namesakes, Failure):
        return who if ours is None else Who("id", ours)
    if not namesakes:
        return None if ours is None else Who("id", ours)
    return _as_who(next((one for one in namesakes if one.id == ours and ours), namesakes[0]))


def _as_who(one: Identifiers) -> Who | None:
    if one.cio_id:
        return Who("cio_id", one.cio_id)
    if one.id:
        return Who("id", one.id)
    return Who("email", one.email) if one.email else None


def _address(profile: Person | Failure, own: OwnSide | Failure, wanted: Wanted) -> str | None:
    if not isinstance(profile, Failure):
        return profile.email
    if not isinstance(own, Failure) and own.customer is not None:
        return own.customer.email
    return wanted.text if wanted.looks is Kind.EMAIL else None


@dataclass(frozen=True, slots=True)
class _Questions:
    """Begins questions; one that has nobody to be about is not asked."""

    api: AppAPI
    budget: Budget
    limit: int

    def about(self, whom: W | None, question: Callable[[W], T | Failure], name: str) -> Callable[[], T | Failure]:
        if whom is None:
            return lambda: NOT_ASKED
        return self.budget.ask(lambda: question(whom), name=name).answer


def _ask_the_rest(ask: _Questions, found: _Found, address: str | None) -> CustomerioSide:
    """Ask side by side what a profile, or at least an address, can be asked."""
    api, who, limit, pages = ask.api, found.who, ask.limit, ask.budget.for_pages
    few = min(limit, NEWEST_ACTIVITIES)
    segments = ask.about(who, api.segments_of, "segments")
    events = ask.about(who, lambda one: api.activities(one, type_="event", limit=limit, within=pages), "events")
    activities = ask.about(who, lambda one: api.activities(one, limit=few, within=pages), "activities")
    messages = ask.about(who, lambda one: api.messages(one, limit=limit, within=pages), "messages")
    subscriptions = ask.about(who, api.subscriptions, "subscriptions")
    suppression = ask.about(address, api.suppression, "suppression")
    others = ask.about(address if found.namesakes == NOT_ASKED else None, api.find_by_email, "addresses")
    return CustomerioSide(
        profile=found.profile,
        namesakes=others() if found.namesakes == NOT_ASKED else found.namesakes,
        segments=segments(),
        events=events(),
        activities=activities(),
        messages=messages(),
        subscriptions=subscriptions(),
        suppression=suppression(),
    )
