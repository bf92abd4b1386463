"""What was found out about one person, from both sides; and what of it could not be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote
from typing import Any, Final, TypeVar

from cio_tasks.customerio.app_answers import Failure, Listing, Trouble
from cio_tasks.customerio.app_people import Activity, Identifiers, Message, Person, Suppression
from cio_tasks.diagnostics.customerio_side import NOT_ASKED, CustomerioSide
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.own_side import CIO_ID, OwnSide, Wanted
from cio_tasks.diagnostics.telling import DAY, iso
from cio_tasks.findings import Finding
from cio_tasks.redaction import redact

SHOWN_EVENTS: Final = 20
INFERRED: Final = "inferred: a person suppressed in Customer.io has no profile"
UNKNOWABLE: Final = "unknown: Customer.io tells nobody whom it suppresses itself"
LEFT_OUT: Final = {
    "time": "the time was used up",
    "loop": "the pages lead nowhere",
    "rate_limited": "the App API asked to wait",
}

T = TypeVar("T")


def got(answer: T | Failure) -> T | None:
    """Return what was answered, or None for a failure."""
    return None if isinstance(answer, Failure) else answer


@dataclass(slots=True)
class PersonReport:
    """One person as Customer.io and our own database know them at `at`, and the findings, worst first.

    Holds personal data; `as_json` shows what a mask lets through.
    """

    wanted: Wanted = field(repr=False)
    at: datetime
    customerio: CustomerioSide
    own: OwnSide | Failure
    findings: list[Finding] = field(default_factory=list)

    @property
    def profile(self) -> Person | None:
        """The profile, or None when there is none or it could not be read."""
        return got(self.customerio.profile)

    @property
    def ours(self) -> OwnSide | None:
        """Our side, or None when the database could not be asked."""
        return got(self.own)

    @property
    def is_ours(self) -> bool:
        """Whether it is a customer of ours."""
        return self.ours is not None and self.ours.customer is not None

    @property
    def is_known(self) -> bool:
        """Whether anybody knows them: Customer.io or we."""
        return self.profile is not None or self.is_ours

    @property
    def user_id(self) -> str:
        """The id under which Customer.io knows them or will; without one, what was asked for."""
        if self.profile is not None and self.profile.identifiers.id:
            return self.profile.identifiers.id
        if self.ours is not None and self.ours.customer is not None:
            return str(self.ours.customer.id)
        return self.wanted.text

    @property
    def handle(self) -> str:
        """What names them on a command line, quoted, without personal data; `USER` when nothing known does."""
        theirs = "" if self.profile is None else with_prefix(self.profile.identifiers)
        return next((quote(name) for name in (self.user_id, theirs) if _is_showable(name)), "USER")

    # --- activity ---

    @property
    def last_identify(self) -> datetime | None:
        """When an attribute was last set."""
        return None if self.profile is None else self.profile.last_identified_at

    @property
    def events(self) -> list[Activity] | None:
        """The events that were read, newest first, or None."""
        listing = got(self.customerio.events)
        return None if listing is None else sorted(listing.items, key=lambda one: one.at, reverse=True)

    @property
    def has_whole_day(self) -> bool:
        """Whether all events of the last 24 hours were read, and not only the newest of them."""
        return self.has_events_since(self.at - DAY)

    def has_events_since(self, then: datetime) -> bool:
        """Tell whether every event since then was read."""
        listing, events = got(self.customerio.events), self.events
        if listing is None or events is None:
            return False
        return listing.left_out is None or bool(events and events[-1].at < then)

    @property
    def events_in_24h(self) -> int | None:
        """How many events there were in the last 24 hours, among those that were read."""
        return None if self.events is None else sum(self.at - one.at <= DAY for one in self.events)

    # --- delivery ---

    @property
    def emails(self) -> list[Message] | None:
        """The e-mails of the last six months that were read, or None."""
        listing = got(self.customerio.messages)
        return None if listing is None else [one for one in listing.items if one.type == "email"]

    def count_emails(self, state: str) -> int | None:
        """Return how many e-mails came to a state, or None when that is not known."""
        return None if self.emails is None else sum(one.has(state) for one in self.emails)

    @property
    def provider_suppression(self) -> Suppression | None:
        """What the e-mail provider says of the address, or None when it could not be asked."""
        return got(self.customerio.suppression)

    @property
    def suppressed(self) -> bool | None:
        """Whether the e-mail provider suppresses the address; None when that is not known."""
        return None if self.provider_suppression is None else self.provider_suppression.suppressed

    @property
    def unsubscribed(self) -> bool | None:
        """Whether they want no messages at all; None when that is not known."""
        said = (self.profile, got(self.customerio.subscriptions))
        known = [one.unsubscribed for one in said if one is not None]
        return any(known) if known else None

    # --- what is missing ---

    @property
    def unavailable(self) -> list[tuple[str, Failure]]:
        """The parts that could not be had, and why; what there was nobody to ask about is not among them."""
        parts: dict[str, Any] = {
            "profile": None if self.customerio.exists is False else self.customerio.profile,
            "segments": self.customerio.segments,
            "activity": self.customerio.events,
            "activityLog": self.customerio.activities,
            "delivery": self.customerio.messages,
            "subscriptions": self.customerio.subscriptions,
            "suppression": self.customerio.suppression,
            "addresses": self.customerio.namesakes,
            "sync": self.own,
        }
        missing = {part: _why(answer) for part, answer in parts.items()}
        return [(part, why) for part, why in missing.items() if why is not None]

    # --- as JSON ---

    def as_json(self, mask: Mask) -> dict[str, Any]:
        """Return it in the shape that scripts rely on; what could not be had is null."""
        ours = self.ours
        return {
            "userId": mask.text(self.user_id),
            "asOf": iso(self.at),
            "profile": self._shown_profile(mask),
            "activity": self._shown_activity(mask),
            "delivery": self._shown_delivery(mask),
            "subscription": self._shown_subscription(mask),
            "sync": None if ours is None else ours.as_json(mask),
            "issues": shown_issues(self.findings, mask),
            "unavailable": [
                {"part": part, "reason": mask.text(why.detail), "code": why.code} for part, why in self.unavailable
            ],
        }

    def _shown_profile(self, mask: Mask) -> dict[str, Any]:
        profile, segments = self.profile, got(self.customerio.segments)
        listed = None if segments is None else [{"id": one.id, "name": mask.text(one.name)} for one in segments]
        return {
            "exists": self.customerio.exists,
            "cioId": None if profile is None else profile.identifiers.cio_id,
            "attributes": None if profile is None else mask_each(profile.attributes, mask),
            "segments": listed,
        }

    def _shown_activity(self, mask: Mask) -> dict[str, Any]:
        events, listing = self.events, got(self.customerio.events)
        return {
            "lastIdentify": iso(self.last_identify),
            "lastEvent": iso(events[0].at) if events else None,
            "lastEventName": mask.text(events[0].name or "") if events else None,
            "eventCount24h": self.events_in_24h,
            "eventCountIsWhole": self.has_whole_day if events is not None else None,
            "recentEvents": None if events is None else [*_shown_events(events[:SHOWN_EVENTS], mask)],
            "read": None if events is None else len(events),
            "leftOut": None if listing is None else listing.left_out,
        }

    def _shown_delivery(self, mask: Mask) -> dict[str, Any]:
        listing = got(self.customerio.messages)
        return {
            "emailsSent": self.count_emails("sent"),
            "emailsDelivered": self.count_emails("delivered"),
            "emailsOpened": self.count_emails("opened"),
            "bounces": self.count_emails("bounced"),
            "complaints": self.count_emails("spammed"),
            "suppressed": self.suppressed,
            "suppression": self._shown_suppression(mask),
            "leftOut": None if listing is None else listing.left_out,
        }

    def _shown_suppression(self, mask: Mask) -> dict[str, Any]:
        found = self.provider_suppression
        is_there = self.customerio.exists is True
        return {
            "provider": {
                "suppressed": self.suppressed,
                "category": found.category if found else None,
                "since": iso(found.since) if found else None,
                "reason": mask.text(found.reason) if found and found.reason else None,
            },
            "customerio": {"suppressed": False if is_there else None, "basis": INFERRED if is_there else UNKNOWABLE},
        }

    def _shown_subscription(self, mask: Mask) -> dict[str, Any]:
        said = got(self.customerio.subscriptions)
        topics = None if said is None else said.topics
        return {
            "unsubscribed": self.unsubscribed,
            "topics": None
            if topics is None
            else [{"id": one.id, "name": mask.text(one.name), "subscribed": one.subscribed} for one in topics],
        }


def with_prefix(identifiers: Identifiers) -> str:
    """Return Customer.io's own id as people write it, `cio_…`, or nothing when there is none."""
    return f"{CIO_ID}{identifiers.cio_id}" if identifiers.cio_id else ""


def _is_showable(name: str) -> bool:
    """Tell whether a name is nobody's address, and no option on a command line."""
    return bool(name) and redact(name) == name and not name.startswith("-")


def shown_issues(findings: list[Finding], mask: Mask) -> list[dict[str, str]]:
    """Return findings for scripts; they hold no personal data, and names that others chose are not trusted with that."""
    return [{name: mask.text(text) for name, text in finding.as_issue.items()} for finding in findings]


def mask_each(values: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """Mask values one by one: what they are called is theirs, so that no name among them is the API's."""
    return {mask.text(name): mask.value(value, name) for name, value in values.items()}


def _shown_events(events: list[Activity], mask: Mask) -> Iterator[dict[str, Any]]:
    for event in events:
        yield {"name": mask.text(event.name or ""), "timestamp": iso(event.at), "data": mask_each(event.data, mask)}


def _why(answer: object) -> Failure | None:
    """Return why an answer, or a part of it, is missing; a list that was only asked for so far misses nothing."""
    if isinstance(answer, Failure):
        return None if answer == NOT_ASKED else answer
    if isinstance(answer, Listing) and answer.left_out not in {None, "limit"}:
        return _rest(answer)
    return None


def _rest(listing: Listing[Any]) -> Failure:
    read = f"only the newest {len(listing.items):,} were read"
    because = LEFT_OUT.get(listing.left_out or "", "the next page could not be read")
    return Failure(Trouble.UNREACHABLE, f"rest_{listing.left_out}", f"{read}: {because}")
