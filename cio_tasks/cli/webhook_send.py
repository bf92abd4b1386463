"""`ciosync webhook send`: a stored webhook, or one from a file, once more to a receiver, freshly signed."""

from importlib import import_module
from typing import Any

import click

from cio_tasks.cli.faults import CommandFailed
from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.webhook_inputs import load_keys, read_body, takes_body, takes_secret
from cio_tasks.cli.webhook_sign import signed_headers
from cio_tasks.cli.webhook_target import Target, fault_of, is_taken, milliseconds, outcome, read_target
from cio_tasks.cli.webhook_words import event_id, shown, what
from cio_tasks.customerio.transport import Reply
from cio_tasks.customerio.webhooks import Event, read_event


@click.command(
    short_help="A stored webhook once more, freshly signed.",
    epilog=examples(
        "ciosync webhook send 01JD3YQ8… --to http://127.0.0.1:5000/api/v1/webhooks/customerio",
        "ciosync webhook send --body body.json --to http://127.0.0.1:8026 --json",
        "ciosync webhook send 01JD3YQ8… --to https://staging.example.com/hook --yes --dry-run",
    ),
)
@click.argument("id", required=False)
@takes_body(required=False)
@click.option("--to", "target", metavar="URL", callback=read_target, required=True, help="The receiver's address.")
@takes_secret
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before it goes to another machine.")
@answers
@pass_output
def send(
    output: Output,
    /,
    *,
    id: str | None,  # noqa: A002 - the name that the help shows
    body_path: str | None,
    target: Target,
    secret_path: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send the stored webhook ID, our id or the event's own, or the body of a file.

    The body is sent byte for byte as it came, with a new timestamp and a signature made with your secret, so that a
    receiver takes it; its event id is the same, so that a good receiver stores it only once. Exits with 7 when no such
    webhook is stored, and with 4, 5 or 6 when the receiver does not take it.
    """
    if (id is None) == (body_path is None):
        raise click.UsageError("give either the ID of a stored webhook or --body FILE")
    keys = load_keys(secret_path, body_path=body_path).required()
    body = read_body(body_path) if body_path is not None else _stored(id or "")
    about = {**_about(read_event(body)), "url": target.shown, "bytes": len(body), "dryRun": dry_run}
    if dry_run:
        output.result({"sent": False, **about, "status": None, "failure": None, "latency": None})
        return
    target.confirm(yes=yes)
    reply = target.post(body, {"Content-Type": "application/json", **signed_headers(keys, body)})
    output.result({"sent": is_taken(reply), **about, **_shown(reply)}, table=[[_line(reply, target, body)]])
    if fault := fault_of(reply, target):
        raise CommandFailed(fault)


def _about(event: Event) -> dict[str, Any]:
    return {"eventId": event_id(event), "event": what(event), "delivery": shown(event.delivery_id)}


def _shown(reply: Reply) -> dict[str, Any]:
    return {"status": reply.status, "failure": reply.failure, "latency": milliseconds(reply)}


def _line(reply: Reply, target: Target, body: bytes) -> str:
    event = read_event(body)
    return f"[{outcome(reply)}] POST {target.shown}  {milliseconds(reply)} ms  {what(event)}  {event_id(event)}"


def _stored(key: str) -> bytes:
    """Return the body of a stored webhook. What reads it is loaded only now: SQLAlchemy takes longer than all the rest."""
    body: bytes = import_module("cio_tasks.cli.webhook_stored").read(key)
    return body
