"""Mistakes at the doors: webhooks and repeated requests."""

from typing import Final

from tests.sabotage.records import Edit, sabotage

WEBHOOKS: Final = "cio_tasks/customerio/webhooks.py"
STORED: Final = "cio_tasks/webhook_events.py"
ONCE: Final = "api/idempotency.py"

SABOTAGES: Final = (
    sabotage(
        "webhook not deduplicated",
        "A webhook has one effect, however often it comes.",
        Edit(STORED, "event_id=event.event_id,", 'event_id=f"{event.event_id}-{uuid4()}",'),
        Edit(STORED, "from uuid import UUID\n", "from uuid import UUID, uuid4\n"),
        caught_by=("api/test_webhooks.py::test_an_event_that_comes_a_hundred_times_is_stored_once",),
    ),
    sabotage(
        "signature over parsed JSON",
        "The signature is that of the bytes, not of what they mean.",
        Edit(WEBHOOKS, "mac.update(body)", 'mac.update(json.dumps(json.loads(body or b"0")).encode())'),
        caught_by=("unit/test_webhook_signature.py::test_the_known_signature_is_made",),
    ),
    sabotage(
        "signature not looked at",
        "Only a holder of the secret can send a webhook.",
        Edit(WEBHOOKS, "    if True not in matches:\n", "    if not matches:\n"),
        Edit(WEBHOOKS, "matches.index(True)", "0"),
        caught_by=(
            "unit/test_webhook_signature.py::test_only_a_holder_of_a_secret_can_sign",
            "api/test_webhook_forgeries.py::test_a_signature_that_is_nearly_right_is_wrong",
        ),
    ),
    sabotage(
        "empty secret",
        "An empty secret opens nothing.",
        Edit(WEBHOOKS, 'body).encode() if secret else b"" for secret', "body).encode() for secret"),
        caught_by=("unit/test_webhook_signature.py::test_an_empty_secret_opens_nothing",),
    ),
    sabotage(
        "stale webhook taken",
        "An old signature is not good for ever.",
        Edit(
            STORED,
            "return abs(session.execute(select(func.now())).scalar_one() - signed_at) <= TOLERANCE",
            "return signed_at is not None",
        ),
        caught_by=("api/test_webhooks.py::test_a_stale_event_is_refused",),
    ),
    sabotage(
        "webhook judged by the host's clock",
        "The clock of the database decides what is stale.",
        Edit(
            STORED,
            "abs(session.execute(select(func.now())).scalar_one() - signed_at)",
            "abs(datetime.now().astimezone() - signed_at)",
        ),
        caught_by=("api/test_webhooks.py::test_the_clock_of_the_web_host_decides_nothing",),
    ),
    sabotage(
        "same key, done again",
        "A request that is repeated under its key is not done again.",
        Edit(
            ONCE,
            "    if not _take(session, key, request_hash):\n",
            "    if _take(session, key, request_hash) is None:\n",
        ),
        caught_by=("api/test_idempotency.py::test_the_same_key_and_body_get_the_first_answer",),
    ),
    sabotage(
        "same key, another request",
        "A key that was used for another request is refused.",
        Edit(ONCE, "if first.request_hash != request_hash:", "if first.request_hash is None:"),
        caught_by=("api/test_idempotency.py::test_another_body_under_the_same_key_is_a_conflict",),
    ),
)
