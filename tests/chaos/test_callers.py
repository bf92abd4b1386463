"""The other callers, against a server that answers as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.answering import Api
from tests.chaos.callers import Operator, WebhookSender
from tests.eventually import eventually


@contextmanager
def running(caller: Operator | WebhookSender) -> Iterator[None]:
    thread = threading.Thread(target=caller.run)
    thread.start()
    yield
    caller.stopping.set()
    thread.join()


def test_a_webhook_is_sent_again_until_it_is_taken(api: Api) -> None:
    api.statuses = [503, 0, 200]
    sender = WebhookSender(f"http://127.0.0.1:{api.server_port}", "secret")
    with running(sender):
        eventually(lambda: sender.requests)
    first = sender.requests[0]

    assert (first.kind, first.outcome, first.tries) == ("webhook", "accepted", 3)
    assert {body["event_id"] for _, _, body in api.asked[:3]} == {first.key}


def test_a_webhook_that_was_never_taken_stays_unknown(api: Api) -> None:
    api.statuses = [503]
    sender = WebhookSender(f"http://127.0.0.1:{api.server_port}", "secret")
    with running(sender):
        eventually(lambda: len(api.asked) >= 2)

    assert [request.outcome for request in sender.requests] == ["unknown"]


def test_the_operator_retries_a_few_failures_now_and_then(api: Api) -> None:
    with running(Operator(f"http://127.0.0.1:{api.server_port}", "token")):
        eventually(lambda: len(api.asked) >= 2)

    assert api.asked[0][::2] == ("/signups/customerio/retry", {"limit": 2})
