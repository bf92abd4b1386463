"""The webhook receiver: what Customer.io signed is stored as it came, once, and answered within a second.

While one webhook is refused, Customer.io holds back all that follow, after most statuses for an hour (its OpenAPI file for
reporting webhooks); a 503 is tried again sooner. So a good signature and a working database are all that it takes to be
stored: a body that makes no sense is kept as well, and flagged.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from threading import Semaphore
from typing import Final, TypeVar

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.auth import public
from api.bodies import read_bytes
from api.errors import DatabaseSilent, NoWebhookSecret, SignatureRefused
from api.operations import answer, operation
from api.schemas import WebhookTaken
from api.sessions import Database
from cio_tasks import counters, failpoints, webhook_events
from cio_tasks.customerio.webhooks import SIGNATURE_HEADER, TIMESTAMP_HEADER, Refused, check, read_headers
from cio_tasks.settings import Settings
from cio_tasks.webhook_events import Receipt

WEBHOOK_BYTES: Final = 1_000_000
BOUND_SECONDS: Final = 0.8
"""How long the database may take; an answer is promised within a second."""
THREADS: Final = 8
"""As many connections as may hang on a silent database at once."""
COUNTER: Final = "webhooks"
REFUSED_SIGNATURE: Final = "refused_signature"

Sent = TypeVar("Sent")

log: Final = structlog.stdlib.get_logger("api")
webhooks: Final = Blueprint("webhooks", __name__, url_prefix="/api/v1/webhooks")


class Inbox:
    """Where webhooks go. A database that hangs holds a few threads and as many bodies, never a request."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.secrets = settings.webhook_secrets
        self._database = database
        self._keep_stale = settings.webhook_stale == "keep"
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="webhooks")
        self._free = Semaphore(THREADS)

    def take(self, body: bytes, signed_at: datetime) -> Receipt:
        """Store an authentic webhook.

        Raises:
            DatabaseSilent: when that took too long. It may be stored all the same; when it comes again it is a duplicate.
        """
        until = time.monotonic() + BOUND_SECONDS
        # Waited for here and not in the pool's queue, which has no end and keeps what nobody waits for any more.
        if not self._free.acquire(timeout=BOUND_SECONDS):
            raise DatabaseSilent
        storing = self._threads.submit(copy_context().run, self._take, body, signed_at)
        storing.add_done_callback(lambda _: self._free.release())
        try:
            return storing.result(max(until - time.monotonic(), 0))
        except TimeoutError:
            raise DatabaseSilent from None

    def _take(self, body: bytes, signed_at: datetime) -> Receipt:
        with self._database.sessions.begin() as session:
            receipt = webhook_events.take(session, body, signed_at=signed_at, keep_stale=self._keep_stale)
        counters.add(COUNTER, receipt)  # also when nobody waits for it any more
        return receipt


def receive_webhooks(app: Flask, database: Database, settings: Settings) -> None:
    """Give `app` the receiver."""
    app.extensions["inbox"] = Inbox(database, settings)
    app.register_blueprint(webhooks)


@webhooks.post("/customerio")
@public
@operation(
    "Take a reporting webhook of Customer.io; its signature is the authentication.",
    answers={200: WebhookTaken},
    problems=(400, 401, 408, 413, 415, 503),
)
def receive() -> Response:
    """Store a webhook that Customer.io signed. All that can be refused unread is refused before the body is read."""
    inbox: Inbox = current_app.extensions["inbox"]
    if not inbox.secrets:
        raise NoWebhookSecret
    _check_declaration()
    signature = _unless_refused(
        read_headers(request.headers.get(TIMESTAMP_HEADER), request.headers.get(SIGNATURE_HEADER))
    )
    body = read_bytes(WEBHOOK_BYTES)
    authentic = _unless_refused(check(signature, inbox.secrets, body))
    failpoints.hit("webhook.before_insert")
    receipt = inbox.take(body, authentic.signed_at)
    failpoints.hit("webhook.before_answer")
    if receipt is Receipt.REFUSED_STALE:
        log.warning("webhook_stale", signed_at=authentic.signed_at.isoformat())
        raise SignatureRefused
    return answer(WebhookTaken(duplicate=receipt is Receipt.DUPLICATE))


def _check_declaration() -> None:
    """Refuse another type or an encoding, which Customer.io does not send, and a body that says it is too large."""
    if request.mimetype != "application/json" or "Content-Encoding" in request.headers:
        raise UnsupportedMediaType
    if (request.content_length or 0) > WEBHOOK_BYTES:
        raise RequestEntityTooLarge


def _unless_refused(judged: Sent | Refused) -> Sent:
    """Return what was judged. The sender of a bad signature learns nothing more; the reason is in the log."""
    if isinstance(judged, Refused):
        counters.add(COUNTER, REFUSED_SIGNATURE)
        log.warning("webhook_refused", reason=judged.reason)
        raise SignatureRefused
    return judged
