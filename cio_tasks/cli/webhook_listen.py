"""`ciosync webhook listen`: webhooks as they come, a line each, perhaps forwarded to a receiver that is being written."""

import errno
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.output import Output, answers, examples, pass_output, say
from cio_tasks.cli.webhook_inputs import Keys, load_keys, takes_secret
from cio_tasks.cli.webhook_listener import Incoming, Listener
from cio_tasks.cli.webhook_target import Target, consequence, is_taken, milliseconds, outcome, read_target
from cio_tasks.cli.webhook_words import event_id, shown, summary
from cio_tasks.customerio import webhooks
from cio_tasks.customerio.transport import Reply
from cio_tasks.customerio.webhooks import METRICS, SIGNATURE_HEADER, TIMESTAMP_HEADER, Refused, read_event
from cio_tasks.diagnostics.webhook import explain_mismatch

PORT: Final = 8026


@click.command(
    short_help="Webhooks as they come, a line each.",
    epilog=examples(
        "ciosync webhook listen",
        "ciosync webhook listen --forward-to http://127.0.0.1:5000/api/v1/webhooks/customerio",
        "ciosync webhook listen --port 0 --count 1 --json",
    ),
)
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes one that is free."
)
@click.option(
    "--forward-to", "target", metavar="URL", callback=read_target, help="A receiver that gets each webhook as it came."
)
@click.option("--count", type=click.IntRange(min=1), help="End after N webhooks.")
@takes_secret
@click.option("--yes", is_flag=True, help="Do not ask before forwarding to another machine.")
@answers
@pass_output
@click.pass_context
def listen(
    ctx: click.Context,
    output: Output,
    /,
    *,
    port: int,
    target: Target | None,
    count: int | None,
    secret_path: str | None,
    yes: bool,
) -> None:
    """Receive webhooks on this machine until Ctrl-C and tell each in a line, without personal data.

    Every one is answered 200 at once. Signatures are checked when a secret is known. With --forward-to the raw body and
    its headers go on to a receiver, which has four seconds, as it would have from Customer.io. With --count the exit code
    is 1 when a signature was wrong or a webhook was not taken. --json prints a line of JSON for each.
    """
    keys = load_keys(secret_path)
    if target is not None:
        target.confirm(yes=yes)
    with _listening(port) as listener:
        board = Board(output, keys, target)
        board.begin(listener.url)
        try:
            board.tell_all(listener, count)
        finally:
            board.end(listener.waiting)
    ctx.exit(Exit.OK if board.tally.is_good else Exit.NO)


def _listening(port: int) -> Listener:
    try:
        return Listener(port)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        taken = error.errno == errno.EADDRINUSE
        message = f"port {port} of 127.0.0.1 is {'taken' if taken else 'reserved'}"
        hint = "another one: --port N, or any that is free: --port 0"
        raise CommandFailed(Fault("port.taken", Exit.TRY_AGAIN, message, str(error.strerror).lower(), hint)) from error


@dataclass
class Tally:
    """What has come so far."""

    received: int = 0
    refused: int = 0
    forwarded: int = 0
    not_taken: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every signature was right and every webhook was taken."""
        return not (self.refused or self.not_taken)

    def line(self, waiting: int) -> str:
        """Return the counts in words."""
        words = f"{self.received} webhook{'s' * (self.received != 1)}, {self.refused} with a wrong signature"
        if self.forwarded or self.not_taken:
            words += f", {self.forwarded} forwarded, {self.not_taken} not taken"
        return words + (f", {waiting} not looked at" if waiting else "")


class Board:
    """Tells what comes and what becomes of it."""

    def __init__(self, output: Output, keys: Keys, target: Target | None) -> None:
        self.tally = Tally()
        self._output = output
        self._keys = keys
        self._target = target

    def begin(self, url: str) -> None:
        """Tell where we listen. With `--json` that is the first line of the result, for scripts that take port 0."""
        if self._output.as_json:
            forward_to = self._target.shown if self._target else None
            self._print({"listening": url, "forwardTo": forward_to, "verifies": bool(self._keys.secrets)})
        checks = f"secret {self._keys.shown}" if self._keys.secrets else "no secret: signatures are not checked"
        self._output.note(f"Ready on {url.removeprefix('http://')} ({checks}; Ctrl-C ends)." + self._forwarding())

    def tell_all(self, listener: Listener, count: int | None) -> None:
        """Tell and forward what comes, in order, `count` of them or for ever."""
        for incoming in listener.incoming():
            self._tell(incoming)
            if self._target is not None:
                self._forward(incoming, self._target)
            if self.tally.received == count:
                return

    def end(self, waiting: int) -> None:
        """Tell what it came to."""
        self._output.note(self.tally.line(waiting))

    def _tell(self, incoming: Incoming) -> None:
        self.tally.received += 1
        event, explanation = read_event(incoming.body), self._explain(incoming)
        self.tally.refused += explanation is not None
        if self._output.as_json:
            self._print(
                {
                    "at": incoming.at.isoformat(),
                    "direction": "in",
                    "objectType": event.object_type if event.object_type in METRICS else None,
                    "metric": event.metric if event.metric in METRICS.get(event.object_type or "", ()) else None,
                    "deliveryId": shown(event.delivery_id) if event.delivery_id else None,
                    "eventId": event_id(event),
                    "bytes": len(incoming.body),
                    "signatureValid": explanation is None if self._keys.secrets else None,
                    "explanation": explanation,
                }
            )
            return
        say(f"{_clock(incoming.at)}  -->  {summary(event)}{'  ✗ signature' if explanation else ''}")
        if explanation:
            self._output.note(f"          {explanation}")

    def _explain(self, incoming: Incoming) -> str | None:
        """Return what is wrong with the signature, or None when it is right or cannot be checked."""
        if not self._keys.secrets:
            return None
        timestamp, signature = incoming.header(TIMESTAMP_HEADER) or "", incoming.header(SIGNATURE_HEADER) or ""
        checked = webhooks.verify(self._keys.secrets, timestamp=timestamp, signature=signature, body=incoming.body)
        if not isinstance(checked, Refused):
            return None
        return explain_mismatch(
            incoming.body,
            timestamp=timestamp,
            signature=signature,
            secrets=self._keys.secrets,
            others=self._keys.others,
        ).told

    def _forward(self, incoming: Incoming, target: Target) -> None:
        reply = target.post(incoming.body, incoming.headers)
        self.tally.forwarded += is_taken(reply)
        self.tally.not_taken += not is_taken(reply)
        at, hint = datetime.now(UTC), consequence(reply)
        if self._output.as_json:
            told = {"status": reply.status, "failure": reply.failure, "latency": milliseconds(reply), "hint": hint}
            self._print(
                {"at": at.isoformat(), "direction": "out", "eventId": event_id(read_event(incoming.body)), **told}
            )
            return
        say(
            f"{_clock(at)}  <--  [{outcome(reply)}] POST {target.path}  {_duration(reply)}"
            + (f"  {hint}" if hint else "")
        )

    def _forwarding(self) -> str:
        return f" Forwarding to {self._target.shown}" if self._target else ""

    def _print(self, line: dict[str, Any]) -> None:
        say(json.dumps(line))


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S}"


def _duration(reply: Reply) -> str:
    return f"{reply.elapsed.total_seconds():.1f} s" if reply.failure == "timeout" else f"{milliseconds(reply):.0f} ms"
