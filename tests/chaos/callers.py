"""Who else calls the API meanwhile: an operator who retries failures, and Customer.io with its webhooks."""

import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import requests

from tests.chaos.evidence import Request

TIMEOUT: Final = (2.0, 4.0)
OPERATOR_EVERY: Final = 1.5
WEBHOOK_EVERY: Final = 0.4
AGAIN_AFTER: Final = 0.5
RETRIED_AT_ONCE: Final = 2


@dataclass
class Operator:
    """Retries a few of the failures now and then, all of which fail again."""

    api_url: str
    token: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Go on until told to stop."""
        headers = {"Authorization": f"Bearer {self.token}"}
        while not self.stopping.wait(OPERATOR_EVERY):
            try:
                body = {"limit": RETRIED_AT_ONCE}
                requests.post(f"{self.api_url}/signups/customerio/retry", json=body, headers=headers, timeout=TIMEOUT)
            except requests.RequestException:
                continue


@dataclass
class WebhookSender:
    """Sends one webhook after the other, each again and again until it is taken, as Customer.io does."""

    api_url: str
    secret: str
    stopping: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)

    def run(self) -> None:
        """Go on until told to stop; what is not taken by then stays unknown."""
        while not self.stopping.wait(WEBHOOK_EVERY):
            self._deliver(f"chaos-{uuid4()}")

    def _deliver(self, event_id: str) -> None:
        began, tries, is_taken = time.time(), 0, False
        while not is_taken and not (tries and self.stopping.wait(AGAIN_AFTER)):
            tries += 1
            is_taken = self._send(event_id)
        self.requests.append(
            Request(
                key=event_id,
                kind="webhook",
                external_id=event_id,
                outcome="accepted" if is_taken else "unknown",
                began_at=began,
                ended_at=time.time(),
                tries=tries,
            )
        )

    def _send(self, event_id: str) -> bool:
        now = str(int(time.time()))
        event = {"event_id": event_id, "object_type": "email", "metric": "delivered", "timestamp": int(now), "data": {}}
        body = json.dumps(event).encode()
        signature = hmac.new(self.secret.encode(), b"v0:%s:%s" % (now.encode(), body), hashlib.sha256).hexdigest()
        headers = {"X-CIO-Timestamp": now, "X-CIO-Signature": signature, "Content-Type": "application/json"}
        try:
            url = f"{self.api_url}/webhooks/customerio"
            return requests.post(url, data=body, headers=headers, timeout=TIMEOUT).status_code == HTTPStatus.OK
        except requests.RequestException:
            return False
