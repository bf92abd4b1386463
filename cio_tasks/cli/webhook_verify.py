"""`ciosync webhook verify`: is this signature right, and if not, why not (rows N1-N7)?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

from cio_tasks.cli.faults import Exit
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.webhook_inputs import Keys, load_keys, read_body, takes_body, takes_secret
from cio_tasks.cli.webhook_words import shown, summary
from cio_tasks.customerio import webhooks
from cio_tasks.customerio.webhooks import Authentic, Event, Flag
from cio_tasks.diagnostics.webhook import STALE, describe_age, explain_mismatch

RECEIVED: Final = 1_000_000
"""Bytes that the receiver takes; Customer.io's own webhooks have about one thousand."""
FLAGS: Final = {
    Flag.UNREADABLE: "it is not one JSON object in UTF-8",
    Flag.NO_EVENT_ID: "it has no event_id that can be used: repeats are known by their bytes alone",
    Flag.UNKNOWN_TYPE: "its object_type is not documented: it is kept all the same",
    Flag.UNKNOWN_METRIC: "its metric is not documented for its object_type: it is kept all the same",
    Flag.DUPLICATE_KEY: "it names something twice: the last one counts",
}
OVERSIZE: Final = "it is over 1 MB: a receiver answers 413"


@click.command(
    short_help="Is a signature right, and if not, why not?",
    epilog=examples(
        "ciosync webhook verify --body body.json --timestamp 1795300000 --signature 5f0c…",
        "ciosync webhook verify --body - --timestamp 1795300000 --signature 5f0c… < body.json",
        "ciosync webhook verify --body body.json --timestamp 1795300000 --signature 5f0c… --secret-file key --json",
    ),
)
@takes_body(required=True)
@click.option("--timestamp", required=True, help="The header X-CIO-Timestamp.")
@click.option("--signature", required=True, help="The header X-CIO-Signature.")
@takes_secret
@answers
@pass_output
@click.pass_context
def verify(
    ctx: click.Context, output: Output, /, *, body_path: str, timestamp: str, signature: str, secret_path: str | None
) -> None:
    """Check the signature of a webhook and, when it is right, what it reports.

    A signature that is wrong is explained: the mistakes that people make, alone and two together, are tried, and the one
    that would lead to it is named. The right signature is never printed. Nothing is read of a body that nobody signed.
    """
    keys = load_keys(secret_path, body_path=body_path).required()
    body = read_body(body_path)
    verdict = judge(body, timestamp=timestamp, signature=signature, keys=keys)
    output.result(verdict.as_json(), table=[[line] for line in verdict.lines()])
    ctx.exit(Exit.OK if verdict.is_good else Exit.NO)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of a webhook; `event` is None when its signature is wrong."""

    bytes: int
    keys: Keys
    milliseconds: float
    age: str | None
    event: Event | None = None
    explanation: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether a receiver would take it and could read it. A stale one was good in its time."""
        return self.event is not None and Flag.UNREADABLE not in self.event.flags and self.bytes <= RECEIVED

    @property
    def errors(self) -> list[str]:
        """What is odd about the event."""
        flags = self.event.flags if self.event else ()
        return [*(FLAGS[flag] for flag in flags), *([OVERSIZE] if self.event and self.bytes > RECEIVED else [])]

    def as_json(self) -> dict[str, Any]:
        """Return the shape that scripts rely on; the time is in milliseconds."""
        is_read = self.event is not None and Flag.UNREADABLE not in self.event.flags
        event = (
            shown(self.event.event_id) if self.event and is_read and Flag.NO_EVENT_ID not in self.event.flags else None
        )
        return {
            "signatureValid": self.event is not None,
            "payloadParsed": is_read,
            "eventsProcessed": int(is_read),
            "errors": [{"event": event, "error": error} for error in self.errors],
            "processingTime": self.milliseconds,
            "explanation": "; ".join(self._remarks()) or None,
        }

    def _remarks(self) -> Iterator[str]:
        """Yield the explanation, and the age when it is one: a timestamp that is stale."""
        if self.explanation:
            yield self.explanation
        if self.age and self.age.endswith(STALE):
            yield self.age

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        signed = f"(scheme v0, {self.bytes:,}-byte body, secret {self.keys.shown})"
        yield f"✓ signature is right {signed}" if self.event else f"✗ signature does not match {signed}"
        if self.explanation:
            yield f"  {self.explanation}"
        if self.age:
            yield f"  {self.age}"
        if self.event and Flag.UNREADABLE not in self.event.flags:
            yield f"✓ {summary(self.event)}"
        for error in self.errors:
            yield f"{'✓' if self.is_good else '✗'} {error}"


def judge(body: bytes, *, timestamp: str, signature: str, keys: Keys) -> Verdict:
    """Return what can be said of a webhook, without sending or storing anything."""
    started, now = time.perf_counter(), datetime.now(UTC)
    checked = webhooks.verify(keys.secrets, timestamp=timestamp, signature=signature, body=body)
    event, explanation = None, None
    if isinstance(checked, Authentic):
        event, explanation = webhooks.read_event(body), _remark(checked, keys)
    else:
        found = explain_mismatch(
            body, timestamp=timestamp, signature=signature, secrets=keys.secrets, others=keys.others
        )
        explanation = found.told
    elapsed = round((time.perf_counter() - started) * 1000, 2)
    return Verdict(len(body), keys, elapsed, describe_age(timestamp, now=now), event, explanation)


def _remark(checked: Authentic, keys: Keys) -> str | None:
    """Return what is worth knowing about a signature although it is right."""
    return f"signed with number {checked.secret + 1} of {len(keys.secrets)} secrets" if checked.secret else None
