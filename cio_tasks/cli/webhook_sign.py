"""`ciosync webhook sign`: the headers with which a receiver of one's own can be tried."""

import re
import time

import click

from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.webhook_inputs import Keys, load_keys, read_body, takes_body, takes_secret
from cio_tasks.customerio.webhooks import SIGNATURE_HEADER, TIMESTAMP_HEADER
from cio_tasks.customerio.webhooks import sign as signature_of


def _check_timestamp(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9]{10}", value, re.ASCII):
        raise click.BadParameter("must be ten digits, unix time in seconds")
    return value


@click.command(
    short_help="The headers to try a receiver of your own with.",
    epilog=examples(
        "ciosync webhook sign --body body.json",
        "ciosync webhook sign --body body.json --timestamp 1795300000 --json",
        "curl -H @<(ciosync webhook sign --body b.json) -H 'Content-Type: application/json' --data-binary @b.json URL",
    ),
)
@takes_body(required=True)
@click.option("--timestamp", callback=_check_timestamp, help="Unix time in seconds; by default now.")
@takes_secret
@answers
@pass_output
def sign(output: Output, /, *, body_path: str, timestamp: str | None, secret_path: str | None) -> None:
    """Print the headers that Customer.io would send with a body, to try a receiver of your own.

    They are made with your own secret, the first if there are two, and hold for these bytes and this time only.
    """
    keys = load_keys(secret_path, body_path=body_path).required()
    body = read_body(body_path)
    headers = signed_headers(keys, body, timestamp)
    output.result(
        {"headers": headers, "bytes": len(body)}, table=[[f"{name}: {value}"] for name, value in headers.items()]
    )
    output.note("for a receiver of your own: send the very same bytes with them, within five minutes of the timestamp")


def signed_headers(keys: Keys, body: bytes, timestamp: str | None = None) -> dict[str, str]:
    """Return the two headers of a webhook, signed with the first key, by default now."""
    stamp = timestamp or str(int(time.time()))
    return {TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signature_of(keys.secrets[0], stamp, body)}
