"""Reporting webhooks: who signed one, and what can be read of it (rows N1, N2).

The scheme, the shape and the words are those of Customer.io's OpenAPI file for reporting webhooks. Nothing here raises,
whatever bytes come in: what cannot be read is left out and flagged.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

TIMESTAMP_HEADER: Final = "X-CIO-Timestamp"
SIGNATURE_HEADER: Final = "X-CIO-Signature"
TOLERANCE: Final = timedelta(minutes=5)
"""How far the signed time may be from now. Customer.io names no window; this is the one that n8n uses."""

STAMP: Final = re.compile(rb"[0-9]{10}")
DIGEST: Final = re.compile(rb"(?:v0=)?([0-9a-f]{64})")
"""The prefix is not Customer.io's; the client library `async-customerio` tolerates it too."""

DIGESTED: Final = "sha256:"
"""What the id of an event that brought none begins with."""
EVENT_ID: Final = re.compile(rf"(?!{DIGESTED})[!-~]{{1,200}}")
"""A ULID as far as seen; other plain ids are kept as they are."""
UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
LONGEST_TEXT: Final = 200
LONGEST_NUMBER: Final = 18
"""Digits; Python refuses to read thousands of them, and none of Customer.io's numbers has as many as this."""
LATEST: Final = 10**10
"""Seconds since 1970 in the year 2286; a greater number is not in seconds."""

MESSAGE: Final = frozenset({"drafted", "attempted", "sent", "converted", "failed", "undeliverable"})
METRICS: Final[Mapping[str, frozenset[str]]] = {
    "customer": frozenset({"subscribed", "unsubscribed", "cio_subscription_preferences_changed"}),
    "email": MESSAGE
    | {"delivered", "opened", "clicked", "bounced", "dropped", "spammed", "deferred", "subscribed", "unsubscribed"},
    "push": MESSAGE | {"delivered", "opened", "clicked", "bounced", "dropped"},
    "sms": MESSAGE | {"delivered", "clicked", "bounced", "replied"},
    "whatsapp": MESSAGE | {"delivered", "opened", "clicked", "bounced", "dropped", "replied"},
    "slack": MESSAGE | {"clicked"},
    "webhook": MESSAGE | {"clicked"},
    "in_app": MESSAGE | {"opened", "clicked"},
}
"""What may be reported of what. `deferred` and the `converted` of slack and webhook stand only in the enum of the App API's
OpenAPI file, and `subscribed` of an email in the samples of RudderStack's integration."""


class Reason(StrEnum):
    """Why a signature is not taken for genuine. For our own eyes: whoever sent it is told none of them."""

    MISSING_HEADER = "missing_header"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_SIGNATURE_FORMAT = "bad_signature_format"
    MISMATCH = "mismatch"


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that Customer.io did not sign, as far as can be told."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Authentic:
    """A request that the holder of a secret signed. Whether it is fresh is another question."""

    signed_at: datetime
    secret: int = 0
    """Which of the secrets it was signed with, by its place among them."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The two headers of a request, well formed and not yet believed."""

    timestamp: str
    digest: bytes

    @property
    def signed_at(self) -> datetime:
        """The time at which it says it was made."""
        return datetime.fromtimestamp(int(self.timestamp), UTC)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of `body`: HMAC-SHA256 over `v0:<timestamp>:<body>`, in lower-case hex."""
    mac = hmac.new(secret.encode(), f"v0:{timestamp}:".encode(), hashlib.sha256)
    mac.update(body)
    return mac.hexdigest()


def verify(
    secrets: Sequence[str], *, timestamp: bytes | str | None, signature: bytes | str | None, body: bytes
) -> Authentic | Refused:
    """Tell whether one of `secrets` signed `body`. `timestamp` and `signature` are the headers as they came."""
    sent = read_headers(timestamp, signature)
    return sent if isinstance(sent, Refused) else check(sent, secrets, body)


def read_headers(timestamp: bytes | str | None, signature: bytes | str | None) -> Signature | Refused:
    """Return what the two headers say. This costs next to nothing, so it can come before the body is read."""
    if not timestamp or not signature:
        return Refused(Reason.MISSING_HEADER)
    stamp = STAMP.fullmatch(_raw(timestamp))
    if stamp is None:
        return Refused(Reason.BAD_TIMESTAMP)
    digest = DIGEST.fullmatch(_raw(signature))
    if digest is None:
        return Refused(Reason.BAD_SIGNATURE_FORMAT)
    return Signature(stamp[0].decode(), digest[1])


def _raw(header: bytes | str) -> bytes:
    """Return a header as bytes: WSGI hands them over as Latin-1, and anything beyond that is no digit."""
    return header if isinstance(header, bytes) else header.encode("latin-1", "replace")


def check(signature: Signature, secrets: Sequence[str], body: bytes) -> Authentic | Refused:
    """Tell whether one of `secrets` made `signature` for `body`. All are compared, whichever it was, or none.

    An empty secret is none: anybody could sign with it.
    """
    expected = [sign(secret, signature.timestamp, body).encode() if secret else b"" for secret in secrets]
    matches = [hmac.compare_digest(digest, signature.digest) for digest in expected]
    if True not in matches:
        return Refused(Reason.MISMATCH)
    return Authentic(signature.signed_at, matches.index(True))


class Flag(StrEnum):
    """What was odd about an event that is kept all the same."""

    UNREADABLE = "unreadable"
    """Its body is not one JSON object in UTF-8, or is nested too deep."""

    NO_EVENT_ID = "no_event_id"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_METRIC = "unknown_metric"
    DUPLICATE_KEY = "duplicate_key"
    """An object in it names something twice; the last one counted."""

    STALE = "stale"
    """It was signed too long ago, or ahead of time, and kept because the settings say so."""


@dataclass(frozen=True, slots=True)
class Event:
    """What could be read of an event. Every text can be stored: no NUL, no lone surrogate, at most 200 characters."""

    event_id: str
    """The sender's; when it has none that is usable, `sha256:` and the digest of the body."""
    object_type: str | None = None
    metric: str | None = None
    person_id: str | None = None
    """`data.identifiers.id`, or the deprecated `data.customer_id`."""
    delivery_id: str | None = None
    campaign_id: str | None = None
    happened_at: datetime | None = None
    flags: tuple[Flag, ...] = ()


def read_event(body: bytes) -> Event:
    """Return what can be read of the body of a webhook: one JSON object, one event."""
    digest = DIGESTED + hashlib.sha256(body).hexdigest()
    sent, flags = _parse(body)
    if sent is None:
        return Event(digest, flags=(Flag.UNREADABLE,))
    event_id, object_type, metric = _event_id(sent), _text(sent.get("object_type")), _text(sent.get("metric"))
    data = _object(sent.get("data"))
    return Event(
        event_id=event_id or digest,
        object_type=object_type,
        metric=metric,
        person_id=_text(_object(data.get("identifiers")).get("id")) or _text(data.get("customer_id")),
        delivery_id=_text(data.get("delivery_id")),
        campaign_id=_text(data.get("campaign_id")),
        happened_at=_time(sent.get("timestamp")),
        flags=(*flags, *([] if event_id else [Flag.NO_EVENT_ID]), *_unknown(object_type, metric)),
    )


def _parse(body: bytes) -> tuple[dict[str, Any] | None, list[Flag]]:
    """Return the object that `body` is, or None. Of two equal names the last one counts, as with most readers."""
    flags: list[Flag] = []

    def by_name(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(pairs)
        if len(named) < len(pairs):
            flags[:] = [Flag.DUPLICATE_KEY]
        return named

    try:
        content = json.loads(body.decode("utf-8-sig"), object_pairs_hook=by_name, parse_int=_whole)
    except (ValueError, RecursionError):
        return None, flags
    return content if isinstance(content, dict) else None, flags


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_NUMBER else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _event_id(sent: Mapping[str, Any]) -> str | None:
    value = sent.get("event_id")
    return value if isinstance(value, str) and EVENT_ID.fullmatch(value) else None


def _text(value: Any) -> str | None:
    """Return a text or a whole number as a text that can be stored. A longer one is dropped: half an id is a wrong id."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or UNSTORABLE.search(value):
        return None
    return value


def _time(value: Any) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if type(value) is int and 0 <= value < LATEST else None


def _unknown(object_type: str | None, metric: str | None) -> list[Flag]:
    metrics = METRICS.get(object_type or "")
    if metrics is None:
        return [Flag.UNKNOWN_TYPE]
    return [] if metric in metrics else [Flag.UNKNOWN_METRIC]
