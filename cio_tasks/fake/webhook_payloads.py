"""What a reporting webhook says: one event about one message, in the shape documented for its kind (source: HookOAS)."""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from cio_tasks.fake.operations import JsonObject

MESSAGE = frozenset({"drafted", "attempted", "sent", "clicked", "failed", "undeliverable"})
METRICS: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"subscribed", "unsubscribed", "cio_subscription_preferences_changed"}),
    "email": MESSAGE | {"delivered", "opened", "converted", "unsubscribed", "bounced", "dropped", "spammed"},
    "push": MESSAGE | {"delivered", "opened", "converted", "bounced", "dropped"},
    "sms": MESSAGE | {"delivered", "converted", "bounced", "replied"},
    "whatsapp": MESSAGE | {"delivered", "opened", "converted", "bounced", "dropped", "replied"},
    "slack": MESSAGE,
    "webhook": MESSAGE,
    "in_app": MESSAGE | {"opened", "converted"},
}
"""The metrics of each object type (source: HookOAS)."""

FAILURES = {"attempted", "bounced", "dropped", "failed", "undeliverable"}
WITH_RECIPIENT = {"sent", "delivered", "opened", "clicked", "converted", "bounced", "dropped", "replied"}
EMAIL_WITH_RECIPIENT = WITH_RECIPIENT | {"drafted", "unsubscribed", "spammed", "undeliverable"}
FAILURE_MESSAGES = {
    "attempted": "451 4.7.1 Greylisted, please try again later",
    "bounced": "550 5.1.1 The email account that you tried to reach does not exist",
    "dropped": "Recipient is suppressed",
    "failed": "The delivery provider refused the message",
    "undeliverable": "Message limit reached",
}
HREF = "https://example.com/slip"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """The person an event is about, by the names that Customer.io gives (source: HookOAS, webhook_identifiers)."""

    id: str | None = "42"
    email: str | None = "ada@example.com"
    phone: str | None = None
    cio_id: str = "d9c106000001"


def ulid() -> str:
    """Return a new ULID, as event and journey ids are: 48 bits of milliseconds, 80 random ones."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _delivery_id() -> str:
    return urlsafe_b64encode(secrets.token_bytes(18)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a campaign to one person: what all its events have in common."""

    object_type: str = "email"
    person: Addressee = field(default_factory=Addressee)
    campaign_id: int = 5
    action_id: int = 96
    delivery_id: str = field(default_factory=_delivery_id)
    journey_id: str = field(default_factory=ulid)
    trigger_event_id: str | None = None
    subject: str = "Your bet slip is in"

    def event(self, metric: str, *, at: float, data: Mapping[str, object] | None = None) -> JsonObject:
        """Return a new event of this message that happened `at` (unix seconds); `data` adds to its data or replaces.

        Raises ValueError for a metric that is not documented for the object type.
        """
        if metric not in METRICS.get(self.object_type, frozenset()):
            raise ValueError(f"{self.object_type} has no metric {metric}")
        details = _customer_data(self, metric) if self.object_type == "customer" else _message_data(self, metric)
        return {
            "data": {**details, **(data or {})},
            "event_id": ulid(),
            "metric": metric,
            "object_type": self.object_type,
            "timestamp": int(at),
        }


def _identifiers(person: Addressee) -> JsonObject:
    return {"id": person.id, "email": person.email, "cio_id": person.cio_id}


def _customer_data(message: Message, metric: str) -> JsonObject:
    person = message.person
    data = {"customer_id": person.id or "", "email_address": person.email, "identifiers": _identifiers(person)}
    if metric != "cio_subscription_preferences_changed":
        return data
    return {**data, **_origin(message), "content": '{"topics":{"topic_1":true}}'}


def _message_data(message: Message, metric: str) -> JsonObject:
    person = message.person
    common = {**_origin(message), "customer_id": person.id or "", "identifiers": _identifiers(person)}
    details = {"email": _email_data, "push": _push_data}.get(message.object_type, _other_data)(message, metric)
    return {**common, **details, **_click_data(message, metric)}


def _origin(message: Message) -> JsonObject:
    """A message of a campaign: broadcasts, newsletters and transactional messages carry other ids instead."""
    return {
        "action_id": message.action_id,
        "campaign_id": message.campaign_id,
        "delivery_id": message.delivery_id,
        "journey_id": message.journey_id,
        "trigger_event_id": message.trigger_event_id,
    }


def _email_data(message: Message, metric: str) -> JsonObject:
    data: JsonObject = {} if metric == "attempted" else {"subject": message.subject}
    if metric in EMAIL_WITH_RECIPIENT:
        data["recipient"] = message.person.email or ""
    if metric == "opened":
        data |= {"proxied": False, "prefetched": False, "synthetic": False}
    return data | _failure(metric)


def _push_data(message: Message, metric: str) -> JsonObject:
    """A push that bounced or was dropped says so of each device rather than as a whole."""
    if metric not in WITH_RECIPIENT:
        return _failure(metric)
    device = {"device_id": f"device-{message.person.cio_id}", "device_platform": "ios", **_failure(metric)}
    return {"recipients": [device]}


def _other_data(message: Message, metric: str) -> JsonObject:
    data = _failure(metric)
    if metric in WITH_RECIPIENT and (message.object_type, metric) != ("in_app", "opened"):
        data["recipient"] = _recipient(message)
    if metric == "replied":
        data |= {"inbound_event_id": ulid(), "to": "+15550100000"}
    return data


def _recipient(message: Message) -> str:
    person = message.person
    match message.object_type:
        case "sms" | "whatsapp":
            return person.phone or "+15550123456"
        case "slack":
            return "#general"
        case "webhook":
            return "https://example.com/hook"
        case _:
            return person.id or person.email or ""


def _click_data(message: Message, metric: str) -> JsonObject:
    if metric != "clicked":
        return {}
    extras: dict[str, JsonObject] = {"email": {"machine": False}, "in_app": {"tracked_response": "open_slip"}}
    return {"href": HREF, "link_id": 1, **extras.get(message.object_type, {})}


def _failure(metric: str) -> JsonObject:
    return {"failure_message": FAILURE_MESSAGES[metric]} if metric in FAILURES else {}
