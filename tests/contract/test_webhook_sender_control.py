from collections.abc import Iterator
from typing import Any

import pytest

from cio_tasks.fake import FakeCustomerIO
from cio_tasks.fake.webhook_payloads import METRICS, Addressee, Message
from cio_tasks.fake.webhook_queue import EndpointSettings
from tests.contract.track import Track
from tests.eventually import eventually
from tests.receiver import Receiver

SECRET = "SECRETCANARY-webhook-signing-key"
COMMON = {"action_id", "campaign_id", "delivery_id", "journey_id", "trigger_event_id", "customer_id", "identifiers"}
FAILED = {"failure_message"}
MAIL = {"subject", "recipient"}
PERSON = Addressee(id="u1", email="ann@example.com", phone="+15550123456", cio_id="000000000001")


@pytest.fixture
def receiver(track: Track) -> Iterator[Receiver]:
    with Receiver() as receiver:
        track.control("PUT", "webhooks", {"url": receiver.url, "secret": SECRET})
        yield receiver


def data_of(object_type: str, metric: str) -> dict[str, Any]:
    data: dict[str, Any] = Message(object_type=object_type, person=PERSON).event(metric, at=1)["data"]
    return data


def delivered(track: Track, count: int) -> list[Any]:
    found = eventually(
        lambda: track.control("GET", "webhooks"), lambda shown: shown["endpoints"][0]["delivered"] == count
    )
    return list(found["deliveries"])


def test_an_endpoint_is_set_events_are_ordered_and_what_became_of_them_is_shown(
    track: Track, receiver: Receiver
) -> None:
    [event_id] = track.control("POST", "webhooks/send", {"metrics": ["bounced"]})["queued"]
    [delivery] = delivered(track, 1)

    assert (delivery["event_id"], delivery["metric"], delivery["url"]) == (event_id, "bounced", receiver.url)
    assert [attempt["status"] for attempt in delivery["tries"]] == [200]


def test_the_secret_is_never_shown(fake: FakeCustomerIO, track: Track, receiver: Receiver) -> None:
    track.control("POST", "webhooks/send", {})
    delivered(track, 1)

    assert SECRET not in track.call("GET", "/_fake/webhooks").text
    assert SECRET not in repr(EndpointSettings.model_validate({"url": receiver.url, "secret": SECRET}))


def test_deliveries_are_read_from_where_one_left_off(track: Track, receiver: Receiver) -> None:
    track.control("POST", "webhooks/send", {"metrics": ["sent", "delivered"]})
    first, second = delivered(track, 2)

    assert track.control("GET", f"webhooks?since={first['seq']}")["deliveries"] == [second]
    assert track.call("GET", "/_fake/webhooks?since=-1").status_code == 400


def test_many_messages_are_ordered_at_once(track: Track, receiver: Receiver) -> None:
    track.control("POST", "webhooks/send", {"metrics": ["sent", "opened"], "count": 20})

    assert [one["metric"] for one in delivered(track, 40)] == ["sent", "opened"] * 20


def test_a_person_of_the_workspace_is_named_in_full(track: Track, receiver: Receiver) -> None:
    track.identify("u1", email="Ann@example.com")
    track.control("POST", "webhooks/send", {"person": "ann@example.com", "data": {"subject": "Hello"}})
    delivered(track, 1)

    assert b'"identifiers":{"id":"u1","email":"ann@example.com","cio_id":"000000000001"}' in receiver.bodies()[0]
    assert b'"subject":"Hello"' in receiver.bodies()[0]


def test_a_body_of_ones_own_is_sent_as_it_stands(track: Track, receiver: Receiver) -> None:
    track.control("POST", "webhooks/send", {"raw": "[1, 2"})
    delivered(track, 1)

    assert receiver.bodies() == [b"[1, 2"]


def test_without_an_endpoint_nothing_is_ordered(track: Track) -> None:
    assert track.call("POST", "/_fake/webhooks/send", {}).status_code == 409


def test_endpoints_are_forgotten_on_request(track: Track, receiver: Receiver) -> None:
    track.control("DELETE", "webhooks")

    assert track.control("GET", "webhooks") == {"endpoints": [], "deliveries": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "webhooks", {"url": "http://x/"}, "secret"),
        ("PUT", "webhooks", {"url": "file:///etc/passwd", "secret": "s"}, "url"),
        ("PUT", "webhooks", {"url": "http://user:password@x/", "secret": "s"}, "url"),
        ("PUT", "webhooks", {"url": "http://x/", "secret": "s", "on_event": ["landed"]}, "on_event"),
        ("POST", "webhooks/send", {"count": 0}, "count"),
        ("POST", "webhooks/send", {"metrics": ["landed"]}, ""),
    ],
)
def test_what_is_wrong_is_named(track: Track, method: str, path: str, body: object, field: str) -> None:
    answer = track.call(method, f"/_fake/{path}", body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("object_type", "metric", "fields"),
    [
        ("email", "drafted", MAIL),
        ("email", "attempted", FAILED),
        ("email", "sent", MAIL),
        ("email", "delivered", MAIL),
        ("email", "opened", MAIL | {"proxied", "prefetched", "synthetic"}),
        ("email", "clicked", MAIL | {"href", "link_id", "machine"}),
        ("email", "unsubscribed", MAIL),
        ("email", "bounced", MAIL | FAILED),
        ("email", "dropped", MAIL | FAILED),
        ("email", "spammed", MAIL),
        ("email", "failed", {"subject"} | FAILED),
        ("push", "sent", {"recipients"}),
        ("push", "failed", FAILED),
        ("sms", "replied", {"recipient", "inbound_event_id", "to"}),
        ("sms", "drafted", set()),
        ("in_app", "opened", set()),
        ("in_app", "clicked", {"recipient", "href", "link_id", "tracked_response"}),
        ("slack", "undeliverable", FAILED),
    ],
)
def test_an_event_has_the_documented_fields(object_type: str, metric: str, fields: set[str]) -> None:
    assert data_of(object_type, metric).keys() == COMMON | fields


def test_an_event_of_a_person_names_the_address(track: Track) -> None:
    data = data_of("customer", "unsubscribed")
    identifiers = {"id": "u1", "email": "ann@example.com", "cio_id": "000000000001"}
    assert data == {"customer_id": "u1", "email_address": "ann@example.com", "identifiers": identifiers}


@pytest.mark.parametrize("metric", ["bounced", "dropped"])
def test_a_push_fails_device_by_device(metric: str) -> None:
    [device] = data_of("push", metric)["recipients"]
    assert device.keys() == {"device_id", "device_platform", "failure_message"}


def test_every_documented_event_can_be_made() -> None:
    made = [
        Message(object_type=object_type).event(metric, at=7.9)
        for object_type, metrics in METRICS.items()
        for metric in metrics
    ]
    assert all(one.keys() == {"data", "event_id", "metric", "object_type", "timestamp"} for one in made)
    assert {one["timestamp"] for one in made} == {7}
    assert len({one["event_id"] for one in made}) == len(made) == sum(map(len, METRICS.values()))
