import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.fake.webhook_queue import DeliveryRecord
from tests.contract.track import Track, identify
from tests.eventually import eventually
from tests.receiver import Answer, Receiver

SECRET = "SECRETCANARY-webhook-signing-key"
HOUR, WEEK = 3_600, 7 * 24 * 3_600


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def told(fake: FakeCustomerIO, receiver: Receiver) -> FakeCustomerIO:
    """A Customer.io that tells the receiver, on a clock on which a day takes less than a second."""
    fake.webhooks.add(url=receiver.url, secret=SECRET, time_scale=1e-5)
    return fake


def settled(fake: FakeCustomerIO) -> list[DeliveryRecord]:
    """Return the deliveries when nothing waits any more."""
    return eventually(
        fake.webhooks.deliveries, lambda found: all(one["state"] in {"delivered", "expired"} for one in found)
    )


def tried(fake: FakeCustomerIO, times: int = 1) -> DeliveryRecord:
    """Return the first delivery when it was tried so often."""
    return eventually(lambda: fake.webhooks.deliveries()[0], lambda one: len(one["tries"]) >= times)


def wait_after(fake: FakeCustomerIO, receiver: Receiver, *answers: Answer) -> float:
    """Return the seconds between the last of these answers and the next try, on a clock that is not scaled."""
    receiver.answer(*answers)
    fake.webhooks.add(url=receiver.url, secret=SECRET, time_scale=1e-5, timeout_seconds=0.3)
    fake.webhooks.send("sent")
    eventually(lambda: receiver.received, lambda found: len(found) >= len(answers))
    first = tried(fake, len(answers))["tries"][len(answers) - 1]
    second = tried(fake, len(answers) + 1)["tries"][len(answers)]
    return (second["at"] - first["at"] - first["ms"] / 1000) / 1e-5


def test_an_event_is_signed_over_version_timestamp_and_raw_body(told: FakeCustomerIO, receiver: Receiver) -> None:
    before = int(time.time())
    told.webhooks.send("delivered")
    settled(told)

    [request] = receiver.received
    timestamp = request.headers["x-cio-timestamp"]
    expected = hmac.new(SECRET.encode(), f"v0:{timestamp}:".encode() + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-cio-signature"] == expected
    assert before <= int(timestamp) <= time.time()
    assert (request.path, request.headers["content-type"]) == ("/hook", "application/json")


def test_every_request_carries_one_event(told: FakeCustomerIO, receiver: Receiver) -> None:
    ids = told.webhooks.send("sent", "delivered", "opened")
    settled(told)

    events = [json.loads(body) for body in receiver.bodies()]
    assert [event["event_id"] for event in events] == ids
    assert [event["metric"] for event in events] == ["sent", "delivered", "opened"]
    assert len({event["data"]["delivery_id"] for event in events}) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521, "eof", "reset"])
def test_these_failures_wait_for_an_hour(fake: FakeCustomerIO, receiver: Receiver, status: Answer) -> None:
    assert wait_after(fake, receiver, status) >= HOUR


@pytest.mark.parametrize("status", [503, 504, 302, 418, "hang", "drip", "rubbish"])
def test_all_others_wait_for_the_backoff_alone(fake: FakeCustomerIO, receiver: Receiver, status: Answer) -> None:
    receiver.answer(status)
    fake.webhooks.add(url=receiver.url, secret=SECRET, first_backoff_seconds=10, timeout_seconds=0.3)
    fake.webhooks.send("sent")

    [attempt], at = tried(fake)["tries"], tried(fake)["next_try_at"]
    assert at == pytest.approx(attempt["at"] + attempt["ms"] / 1000 + 10)


def test_a_retry_is_the_same_event_with_a_new_timestamp(fake: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(503)
    fake.webhooks.add(url=receiver.url, secret=SECRET, first_backoff_seconds=1.1)
    fake.webhooks.send("sent")
    settled(fake)

    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["x-cio-timestamp"] < second.headers["x-cio-timestamp"]
    assert first.headers["x-cio-signature"] != second.headers["x-cio-signature"]


def test_a_retry_may_repeat_its_first_timestamp(fake: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(503)
    fake.webhooks.add(url=receiver.url, secret=SECRET, first_backoff_seconds=1.1, fresh_timestamp=False)
    fake.webhooks.send("sent")
    settled(fake)

    assert len(set(receiver.headers("x-cio-timestamp"))) == 1
    assert len(set(receiver.headers("x-cio-signature"))) == 1


def test_a_failing_event_holds_up_those_behind_it(told: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(503, 401)
    ids = told.webhooks.send("sent", "delivered", "opened")
    settled(told)

    arrived = [json.loads(body)["event_id"] for body in receiver.bodies()]
    assert arrived == [ids[0], ids[0], *ids]


def test_a_failing_endpoint_holds_up_no_other(told: FakeCustomerIO, receiver: Receiver) -> None:
    with Receiver(401) as stubborn:
        told.webhooks.add(url=stubborn.url, secret=SECRET)
        told.webhooks.send("sent", "delivered")
        eventually(lambda: len(receiver.received) == 2)
        eventually(lambda: told.webhooks.endpoints()[1]["retrying"] == 1)

    assert told.webhooks.endpoints()[1]["queued"] == 1


def test_after_seven_days_an_event_is_given_up_and_the_next_one_comes(fake: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(*[503] * 16)
    fake.webhooks.add(url=receiver.url, secret=SECRET, time_scale=1e-6)
    fake.webhooks.send("sent", "delivered")

    lost, delivered = settled(fake)
    assert (lost["state"], delivered["state"]) == ("expired", "delivered")
    assert lost["tries"][-1]["at"] - lost["tries"][0]["at"] <= WEEK * 1e-6


def test_an_answer_that_is_not_complete_in_time_is_none(fake: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer("drip")
    fake.webhooks.add(url=receiver.url, secret=SECRET, timeout_seconds=0.4)
    fake.webhooks.send("sent")

    attempt = tried(fake)["tries"][0]
    assert (attempt["status"], attempt["failure"]) == (None, "timeout")
    assert 400 <= attempt["ms"] < 2_000


def test_the_receiver_has_four_seconds(fake: FakeCustomerIO) -> None:
    with Receiver("hang") as slow:
        fake.webhooks.add(url=slow.url, secret=SECRET)
        fake.webhooks.send("sent")
        attempt = tried(fake)["tries"][0]

    assert attempt["failure"] == "timeout"
    assert 4_000 <= attempt["ms"] < 6_000


@pytest.mark.parametrize(("answer", "failure"), [("eof", "eof"), ("reset", "reset"), ("rubbish", "not_http")])
def test_a_failure_is_named(told: FakeCustomerIO, receiver: Receiver, answer: Answer, failure: str) -> None:
    receiver.answer(answer)
    told.webhooks.send("sent")

    assert tried(told)["tries"][0]["failure"] == failure


@pytest.mark.parametrize(
    ("url", "failure"), [("http://127.0.0.1:1/", "refused"), ("http://nowhere.invalid/", "dns"), ("https:", "tls")]
)
def test_an_endpoint_that_cannot_be_reached_is_named(
    fake: FakeCustomerIO, receiver: Receiver, url: str, failure: str
) -> None:
    address = receiver.url.replace("http:", url) if failure == "tls" else url
    fake.webhooks.add(url=address, secret=SECRET)
    fake.webhooks.send("sent")

    assert tried(fake)["tries"][0]["failure"] == failure


def test_a_redirect_is_not_followed(told: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(307)
    told.webhooks.send("sent")
    [one] = settled(told)

    assert [attempt["status"] for attempt in one["tries"]] == [307, 200]
    assert len(receiver.received) == 2


def test_every_event_may_come_twice(fake: FakeCustomerIO, receiver: Receiver) -> None:
    fake.webhooks.add(url=receiver.url, secret=SECRET, duplicate_rate=1)
    fake.webhooks.send("sent", "delivered")
    eventually(lambda: len(receiver.received) == 4)

    assert receiver.bodies()[:2] == receiver.bodies()[2:]
    assert [one["duplicate"] for one in settled(fake)] == [False, False, True, True]


def test_events_may_come_out_of_order(fake: FakeCustomerIO, receiver: Receiver) -> None:
    fake.webhooks.add(url=receiver.url, secret=SECRET, overtake_rate=1)
    ids = fake.webhooks.send("sent", "delivered", "opened")
    settled(fake)

    assert [json.loads(body)["event_id"] for body in receiver.bodies()] == [ids[1], ids[2], ids[0]]


def test_disorder_repeats_with_its_seed(fake: FakeCustomerIO) -> None:
    orders = []
    for _ in range(2):
        with Receiver() as receiver:
            fake.webhooks.clear()
            fake.webhooks.add(url=receiver.url, secret=SECRET, overtake_rate=0.5, seed=7)
            fake.webhooks.send(*["opened"] * 20)
            numbers = {one["event_id"]: n for n, one in enumerate(settled(fake))}
            orders.append([numbers[json.loads(body)["event_id"]] for body in receiver.bodies()])

    assert orders[0] == orders[1] != sorted(orders[0])


def test_an_endpoint_that_is_mended_need_not_wait_for_its_hour(fake: FakeCustomerIO, receiver: Receiver) -> None:
    receiver.answer(401)
    fake.webhooks.add(url=receiver.url, secret="wrong")
    fake.webhooks.send("sent", "delivered")
    tried(fake)
    fake.webhooks.add(url=receiver.url, secret=SECRET, time_scale=1e-6)

    assert [one["state"] for one in settled(fake)] == ["delivered", "delivered"]


def test_rubbish_can_be_sent_well_signed(told: FakeCustomerIO, receiver: Receiver) -> None:
    told.webhooks.send_raw(b"\x00\xff")
    told.webhooks.send_events([{"event_id": "x", "object_type": "pigeon", "metric": "landed"}])
    settled(told)

    assert receiver.bodies() == [b"\x00\xff", b'{"event_id":"x","object_type":"pigeon","metric":"landed"}']


def test_stopping_loses_nothing_that_was_reported() -> None:
    with Receiver("hang") as slow, FakeCustomerIO() as fake:
        fake.webhooks.add(url=slow.url, secret=SECRET)
        ids = fake.webhooks.send("sent", "delivered")
        eventually(lambda: slow.received)
        fake.stop()

    cut, waiting = fake.webhooks.deliveries()
    assert [cut["event_id"], waiting["event_id"]] == ids
    assert (cut["state"], cut["tries"][0]["failure"], waiting["state"]) == ("retrying", "stopped", "queued")


def test_events_that_happen_before_the_start_are_sent_after_it(receiver: Receiver) -> None:
    fake = FakeCustomerIO()
    fake.webhooks.add(url=receiver.url, secret=SECRET)
    fake.webhooks.send("sent")
    with fake:
        assert settled(fake)[0]["state"] == "delivered"


def test_reset_forgets_endpoints_and_cuts_what_is_on_its_way(fake: FakeCustomerIO) -> None:
    with Receiver("hang", 200) as slow:
        fake.webhooks.add(url=slow.url, secret=SECRET)
        fake.webhooks.send("sent", "delivered")
        eventually(lambda: slow.received)
        fake.reset()
        assert (fake.webhooks.endpoints(), fake.webhooks.deliveries()) == ([], [])
        fake.webhooks.add(url=slow.url, secret=SECRET)
        fake.webhooks.send("opened")
        settled(fake)

    assert [json.loads(body)["metric"] for body in slow.bodies()] == ["sent", "opened"]


def test_after_a_reset_nothing_is_retried(fake: FakeCustomerIO, receiver: Receiver) -> None:
    with Receiver(503) as forgotten:
        fake.webhooks.add(url=forgotten.url, secret=SECRET, first_backoff_seconds=0.3)
        fake.webhooks.send("sent")
        tried(fake)
        fake.reset()
        receiver.answer(503)
        fake.webhooks.add(url=receiver.url, secret=SECRET, first_backoff_seconds=0.3)
        fake.webhooks.send("sent")
        settled(fake)

    assert (len(forgotten.received), len(receiver.received)) == (1, 2)


def test_an_identified_person_may_cause_a_message(fake: FakeCustomerIO, track: Track, receiver: Receiver) -> None:
    fake.webhooks.add(url=receiver.url, secret=SECRET, on_identify=["sent", "delivered"])
    track.batch(identify("u1", email="Ann@example.com"), identify("u2"))
    track.identify("u3", email="bob+500@example.com")
    eventually(lambda: len(receiver.received) == 2)

    sent, delivered = [json.loads(body) for body in receiver.bodies()]
    assert (sent["metric"], delivered["metric"]) == ("sent", "delivered")
    assert sent["data"]["identifiers"] == {"id": "u1", "email": "ann@example.com", "cio_id": "000000000001"}
    assert sent["data"]["delivery_id"] == delivered["data"]["delivery_id"]


def test_a_tracked_event_may_cause_a_message_once(fake: FakeCustomerIO, track: Track, receiver: Receiver) -> None:
    event_id = "01HF0000000000000000000000"
    fake.webhooks.add(url=receiver.url, secret=SECRET, on_event=["sent"])
    track.identify("u1", email="ann@example.com")
    track.event("u1", "signup_submitted", id=event_id)
    track.event("u1", "signup_submitted", id=event_id)
    eventually(lambda: receiver.received)
    track.region()

    assert [json.loads(body)["data"]["trigger_event_id"] for body in receiver.bodies()] == [event_id]
    assert len(fake.webhooks.deliveries()) == 1


@pytest.mark.parametrize(
    "options", [{"url": "ftp://x/"}, {"time_scale": 0}, {"on_identify": ["landed"]}, {"weather": 1}, {"secret": ""}]
)
def test_an_impossible_endpoint_is_refused(fake: FakeCustomerIO, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        fake.webhooks.add(**{"url": "http://127.0.0.1/", "secret": SECRET, **options})

    assert fake.webhooks.endpoints() == []


def test_an_undocumented_metric_is_refused(fake: FakeCustomerIO) -> None:
    with pytest.raises(ValueError, match="sms has no metric opened"):
        fake.webhooks.send("opened", object_type="sms")
