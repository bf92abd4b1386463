"""What the App API tells of people, as small frozen records. What `repr` shows of them holds no personal data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Self

from cio_tasks.customerio.app_values import as_list, as_number, as_object, as_text, as_time

COUNTED: Final = frozenset({"human_opened", "prefetch_opened", "human_clicked", "prefetch_clicked"})
"""Metrics of a message whose values are counts, not times (AppOAS, listMessages)."""
STATES: Final = (
    *("spammed", "bounced", "dropped", "suppressed", "undeliverable", "failed", "converted", "clicked", "opened"),
    *("delivered", "sent", "deferred", "attempted", "drafted", "created"),
)
"""What can be known of a message, the most telling first."""


class Who(NamedTuple):
    """How a person is named in a question: `kind` is the `id_type`, `value` without the `cio_` prefix."""

    kind: Literal["id", "email", "cio_id"]
    value: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `text` names somebody by, as the Track API reads it: `cio_…`, an address, or an id."""
        if text.startswith("cio_"):
            return cls("cio_id", text.removeprefix("cio_"))
        return cls("email" if "@" in text else "id", text)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Who somebody is; each may be missing (AppOAS: id and email are nullable)."""

    id: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    cio_id: str | None = None

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the identifiers in an object, or None when there is none in it."""
        held = as_object(document)
        found = cls(as_text(held.get("id")), as_text(held.get("email")), as_text(held.get("cio_id")))
        return found if found.id or found.email or found.cio_id else None


@dataclass(frozen=True, slots=True)
class Person:
    """A profile. Every attribute is a text, whatever was sent; `set_at` says when each was set (AppOAS)."""

    identifiers: Identifiers
    attributes: Mapping[str, str] = field(repr=False)
    set_at: Mapping[str, datetime] = field(repr=False)
    unsubscribed: bool = False
    devices: int = 0

    @property
    def email(self) -> str | None:
        """The e-mail address, or None when there is no usable one."""
        return (self.attributes.get("email") or self.identifiers.email or "").strip() or None

    @property
    def last_identified_at(self) -> datetime | None:
        """When an attribute was last set by an identify.

        Those that Customer.io sets itself do not count, and the id, which is set once, only when there is no other.
        """
        times = [at for name, at in self.set_at.items() if not name.startswith("_") and name not in {"id", "cio_id"}]
        return max(times, default=self.set_at.get("id"))

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the person in a `customer` object, or None."""
        held = as_object(document)
        attributes = {name: as_text(value) or "" for name, value in as_object(held.get("attributes")).items()}
        identifiers = Identifiers.read(held.get("identifiers")) or Identifiers.read({**attributes, **as_object(held)})
        if identifiers is None:
            return None
        moments = {name: as_time(value) for name, value in as_object(held.get("timestamps")).items()}
        set_at = {name: at for name, at in moments.items() if at is not None}
        return cls(identifiers, attributes, set_at, held.get("unsubscribed") is True, len(as_list(held.get("devices"))))


@dataclass(frozen=True, slots=True)
class Activity:
    """Something a person did or was sent, such as `event`, `attribute_change`, `bounced_email`."""

    id: str
    type: str
    name: str | None
    at: datetime
    data: Mapping[str, Any] = field(repr=False)
    delivery_id: str | None = None

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the activity, or None when it has no type or no time."""
        held = as_object(document)
        kind, at = as_text(held.get("type")), as_time(held.get("timestamp"))
        if kind is None or at is None:
            return None
        data, delivery = as_object(held.get("data")), as_text(held.get("delivery_id"))
        return cls(as_text(held.get("id")) or "", kind, as_text(held.get("name")), at, data, delivery)


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery. `reached` says when it got to each state, `counts` how often for the metrics that count."""

    id: str
    type: str
    created_at: datetime | None
    reached: Mapping[str, datetime]
    counts: Mapping[str, int]
    to: Identifiers
    subject: str | None = field(default=None, repr=False)
    recipient: str | None = field(default=None, repr=False)
    failure_message: str | None = field(default=None, repr=False)
    campaign_id: int | None = None
    newsletter_id: int | None = None
    action_id: str | None = None

    def has(self, state: str) -> bool:
        """Tell whether it got to that state, such as `delivered` or `bounced`."""
        return state in self.reached

    @property
    def state(self) -> str:
        """The most telling state: trouble before success, later before earlier; `unknown` when there is none."""
        return next((state for state in STATES if state in self.reached), "unknown")

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the message, or None when it has no id."""
        held = as_object(document)
        id_ = as_text(held.get("id"))
        if id_ is None:
            return None
        metrics = as_object(held.get("metrics"))
        times = {name: as_time(value) for name, value in metrics.items() if name not in COUNTED}
        counts = {name: as_number(value) for name, value in metrics.items() if name in COUNTED}
        return cls(
            id=id_,
            type=as_text(held.get("type")) or "email",
            created_at=as_time(held.get("created")),
            reached={name: at for name, at in times.items() if at is not None},
            counts={name: count for name, count in counts.items() if count is not None},
            to=Identifiers.read(held.get("customer_identifiers")) or Identifiers(as_text(held.get("customer_id"))),
            subject=as_text(held.get("subject")),
            recipient=as_text(held.get("recipient")),
            failure_message=as_text(held.get("failure_message")),
            campaign_id=as_number(held.get("campaign_id")),
            newsletter_id=as_number(held.get("newsletter_id")),
            action_id=as_text(held.get("action_id")),
        )


@dataclass(frozen=True, slots=True)
class Topic:
    """A subscription topic, and whether the person wants to hear of it."""

    id: str
    name: str
    subscribed: bool

    @classmethod
    def read(cls, document: object) -> Self | None:
        """Return the topic, or None when it has no id."""
        held = as_object(document)
        id_ = as_text(held.get("id"))
        return None if id_ is None else cls(id_, as_text(held.get("name")) or "", held.get("subscribed") is True)


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """What a person has agreed to: nothing at all when `unsubscribed`, otherwise the topics as they say."""

    unsubscribed: bool
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class Suppression:
    """Whether the e-mail provider suppresses an address; not the same as suppressed in Customer.io, which nobody can ask.

    `category` is `bounces` or `spam`; `reason` and `status` (such as 550) are the provider's (AppOAS, getSuppression).
    """

    suppressed: bool
    category: str | None = None
    since: datetime | None = None
    status: str | None = None
    reason: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return what a search says: no entry in whatever form means that the address is clean."""
        entries = [as_object(one) for one in as_list(document.get("suppressions"))]
        if not entries:
            return cls(suppressed=False)
        first = entries[0]
        since, reason = as_time(first.get("created")), as_text(first.get("reason"))
        return cls(True, as_text(document.get("category")), since, as_text(first.get("status")), reason)
