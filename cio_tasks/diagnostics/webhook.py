"""Why a webhook's signature does not match: which of the known mistakes, alone or two together, would make it match.

Every expected signature stays in here: nothing that is returned holds one, or a part of one (rows N1-N7).
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

from cio_tasks.customerio.webhooks import TOLERANCE
from cio_tasks.diagnostics import webhook_mistakes as known
from cio_tasks.diagnostics.webhook_mistakes import Digest, Mistake, Way

MOST_TOGETHER: Final = 2
"""Mistakes in one signature. With three, chance begins to explain, and a large body takes long."""
STALE: Final = ": stale, and answered 401 by a receiver that refuses those (CIO_WEBHOOK_STALE)"
SECONDS: Final = re.compile(r"[0-9]{10}", re.ASCII)
DIGEST_LIKE: Final = re.compile(r"[0-9a-zA-Z+/=_-]{40,}")
SWAPPED: Final = Mistake(
    "swapped",
    "timestamp and signature exchanged",
    "X-CIO-Timestamp has the digits, X-CIO-Signature the hex",
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found out about a signature that was refused."""

    mistakes: tuple[Mistake, ...] | None = None
    """Those that, made together, lead to the signature; None when it is not known how it was made."""

    form: tuple[str, ...] = ()
    """What is wrong with the headers, whatever they were made from."""

    tried: int = 0
    """How many ways to sign were tried."""

    @property
    def told(self) -> str:
        """All of it in one line."""
        return "; ".join([*self.form, *([_verdict(self.mistakes, self.tried)] if self.tried else [])])


def explain_mismatch(
    body: bytes, *, timestamp: str, signature: str, secrets: Sequence[str], others: Mapping[str, str] | None = None
) -> Explanation:
    """Look for the mistakes that lead from the body to a signature that was refused.

    `timestamp` and `signature` are the headers as they came; `others` are credentials that may have been taken for the
    secret, by the names under which a person knows them.
    """
    if SECONDS.fullmatch(signature.strip()) and DIGEST_LIKE.fullmatch(timestamp.strip()):
        found = explain_mismatch(body, timestamp=signature, signature=timestamp, secrets=secrets, others=others)
        return _swapped(found)
    digest, dress = known.undress(signature)
    digests, obvious = known.digests(len(digest or b""))
    form = tuple(_form(timestamp, signature, is_digest=bool(digests)))
    if digest is None or not digests:
        return Explanation(form=form)
    ways = _Ways(known.bodies(body), known.stamps(timestamp, body), known.keys(secrets, others or {}), digests)
    return _search(ways, digest, [*obvious, *dress], form)


def _swapped(found: Explanation) -> Explanation:
    """Return what was found with the headers put right; that they were wrong is plain, even if nothing fits."""
    if found.mistakes is None:
        return Explanation(None, (SWAPPED.told, *found.form), found.tried)
    return Explanation((SWAPPED, *found.mistakes), found.form, found.tried)


def describe_age(timestamp: str, *, now: datetime) -> str | None:
    """Return how old a timestamp is and, when it is stale, what follows; None when it is no unix time in seconds."""
    if not SECONDS.fullmatch(timestamp):
        return None
    age = now - datetime.fromtimestamp(int(timestamp), UTC)
    distance = f"{_duration(abs(age))} {'old' if age >= timedelta() else 'ahead of this clock'}"
    verdict = "" if abs(age) <= TOLERANCE else STALE
    return f"timestamp {distance} (tolerance {TOLERANCE.total_seconds():.0f} s){verdict}"


def _duration(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _form(timestamp: str, signature: str, *, is_digest: bool) -> Iterator[str]:
    """What can be said of the headers alone."""
    if not timestamp or not signature:
        yield "a header is empty"
        return
    if re.fullmatch(r"[0-9]{13}", timestamp, re.ASCII):
        yield "the timestamp is in milliseconds; it must be ten digits, unix time in seconds"
    elif not SECONDS.fullmatch(timestamp):
        yield "the timestamp is not ten digits, unix time in seconds"
    if not is_digest:
        yield f"the signature has {len(signature)} characters and is no digest; 64 of hex are expected"


@dataclass(frozen=True, slots=True)
class _Ways:
    """All ways to go wrong with these parts, in five directions that can be combined."""

    bodies: list[Way[bytes]]
    stamps: list[Way[bytes]]
    keys: list[Way[bytes]]
    digests: list[Way[Digest]]

    def __iter__(self) -> Iterator[tuple[tuple[Mistake, ...], bytes]]:
        """Yield each combination of at most two mistakes and the digest that it leads to."""
        for (scheme_mistake, scheme), (stamp_mistake, stamp) in product(known.SCHEMES, self.stamps):
            for body_mistake, body in self.bodies:
                made = _made(scheme_mistake, stamp_mistake, body_mistake)
                if len(made) <= MOST_TOGETHER:
                    yield from self._digests(made, scheme(stamp, body))

    def _digests(self, made: tuple[Mistake, ...], text: bytes) -> Iterator[tuple[tuple[Mistake, ...], bytes]]:
        for (key_mistake, key), (digest_mistake, digest) in product(self.keys, self.digests):
            together = (*made, *_made(key_mistake, digest_mistake))
            if len(together) <= MOST_TOGETHER:
                yield together, digest(key, text)


def _made(*mistakes: Mistake | None) -> tuple[Mistake, ...]:
    return tuple(mistake for mistake in mistakes if mistake)


def _search(ways: _Ways, digest: bytes, dress: list[Mistake], form: tuple[str, ...]) -> Explanation:
    """Return the simplest explanation: of those that match, the one with the fewest mistakes, the first of them."""
    best: tuple[Mistake, ...] | None = None
    tried = 0
    for made, expected in ways:
        tried += 1
        if hmac.compare_digest(expected, digest) and (best is None or len(made) < len(best)):
            best = made
    return Explanation(None if best is None else (*best, *dress), form, tried)


def _verdict(mistakes: tuple[Mistake, ...] | None, tried: int) -> str:
    if mistakes is None:
        return f"none of {tried} known ways to go wrong leads to this signature: another secret, or another body"
    if not mistakes:
        return "apart from that the signature fits"
    made = ", and with ".join(mistake.told for mistake in mistakes)
    advice = "; ".join(dict.fromkeys(mistake.advice for mistake in mistakes))
    return f"the signature fits with {made} ({advice})"
