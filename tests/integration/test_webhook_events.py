from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from cio_tasks import webhook_events
from cio_tasks.customerio.webhooks import TOLERANCE, Event, Flag
from cio_tasks.db import Sessions
from cio_tasks.errors import NotFound
from cio_tasks.models import WebhookEvent
from cio_tasks.webhook_events import Receipt
from tests.concurrency.together import blocked, together
from tests.eventually import eventually
from tests.factories import Factory

SIGNED_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
BODY = b'{"event_id":"e1","object_type":"email","metric":"sent","timestamp":1700000000}'
SECOND = timedelta(seconds=1)
VERSIONS = text("SELECT xmin, xmax, ctid, * FROM customerio_webhook_events")


def store(session: Session, event_id: str, **read: Any) -> bool:
    event = Event(event_id, **{"object_type": "email", "metric": "sent", **read})
    return webhook_events.store(session, event, body=event_id.encode(), signed_at=SIGNED_AT)


def take(session: Session, *, age: timedelta = timedelta(0), keep_stale: bool = False) -> Receipt:
    now = session.execute(select(func.now())).scalar_one()
    return webhook_events.take(session, BODY, signed_at=now - age, keep_stale=keep_stale)


def age_all(session: Session, by: timedelta) -> None:
    session.execute(update(WebhookEvent).values(received_at=WebhookEvent.received_at - by))


def test_an_event_is_stored_with_what_was_read_of_it(sessions: Sessions, make: Factory) -> None:
    read = {
        "object_type": "sms",
        "metric": "replied",
        "person_id": "p",
        "delivery_id": "d",
        "campaign_id": "c",
        "happened_at": SIGNED_AT - SECOND,
    }
    with sessions.begin() as session:
        assert store(session, "e1", **read, flags=(Flag.DUPLICATE_KEY,))
    [row] = make.all(WebhookEvent)
    assert {name: getattr(row, name) for name in read} == read
    assert (row.event_id, row.body, row.signed_at, row.flags) == ("e1", b"e1", SIGNED_AT, ["duplicate_key"])


def test_a_known_event_leaves_its_row_as_it_is(sessions: Sessions) -> None:
    def versions() -> list[Any]:
        with sessions() as session:
            return [tuple(row) for row in session.execute(VERSIONS)]

    with sessions.begin() as session:
        assert store(session, "e1")
    before = versions()
    with sessions.begin() as session:
        assert not store(session, "e1", metric="bounced")
    assert versions() == before


def test_one_of_two_that_store_an_event_at_once_waits_and_knows_it(sessions: Sessions) -> None:
    def compete(number: int) -> bool:
        with sessions.begin() as session:
            is_new = store(session, "e1")
            if is_new:
                eventually(lambda: blocked(sessions) == 1)
            return is_new

    assert sorted(together(2, compete)) == [False, True]


@pytest.mark.parametrize("age", [timedelta(0), TOLERANCE, -TOLERANCE])
def test_a_webhook_signed_about_now_is_taken(age: timedelta, session: Session) -> None:
    assert take(session, age=age) is Receipt.STORED
    assert take(session, age=age) is Receipt.DUPLICATE


@pytest.mark.parametrize("age", [TOLERANCE + SECOND, -TOLERANCE - SECOND, timedelta(days=8)])
def test_a_stale_one_is_refused_or_kept_with_a_flag(age: timedelta, session: Session) -> None:
    assert take(session, age=age) is Receipt.REFUSED_STALE
    assert session.scalars(select(WebhookEvent)).all() == []
    assert take(session, age=age, keep_stale=True) is Receipt.STORED
    assert session.scalars(select(WebhookEvent)).one().flags == ["stale"]
    assert take(session, keep_stale=True) is Receipt.DUPLICATE


def test_an_unreadable_one_is_taken_once(session: Session) -> None:
    told = [webhook_events.take(session, b"\0[", signed_at=SIGNED_AT, keep_stale=True) for _ in range(2)]
    assert told == [Receipt.UNREADABLE, Receipt.DUPLICATE]


def test_a_webhook_is_found_by_its_id(session: Session) -> None:
    store(session, "e1")
    found = session.scalars(select(WebhookEvent)).one()
    assert webhook_events.get(session, found.id).body == b"e1"
    with pytest.raises(NotFound):
        webhook_events.get(session, UUID(int=1))


def test_what_was_reported_of_a_person_is_listed_newest_first(session: Session) -> None:
    for event_id, person_id in [("e1", "p"), ("e2", "q"), ("e3", "p"), ("e4", None), ("e5", "p")]:
        age_all(session, SECOND)
        store(session, event_id, person_id=person_id)
    listed = webhook_events.list_of_person(session, "p", limit=2)
    assert [event.event_id for event in listed] == ["e5", "e3"]
    assert webhook_events.list_of_person(session, "nobody", limit=2) == []


def test_a_list_loads_no_bodies(sessions: Sessions) -> None:
    with sessions.begin() as session:
        store(session, "e1", person_id="p")
    with sessions() as session, pytest.raises(InvalidRequestError, match="body"):
        _ = webhook_events.list_of_person(session, "p", limit=1)[0].body


@pytest.mark.row("P3.1")
def test_what_came_in_lately_is_counted_by_metric(session: Session) -> None:
    store(session, "old", metric="bounced")
    age_all(session, timedelta(hours=2))
    for number, metric in enumerate(["delivered", "delivered", "bounced", "spammed", None]):
        store(session, f"e{number}", metric=metric)
    store(session, "push", object_type="push", metric="bounced")
    hour = timedelta(hours=1)
    email = {"delivered": 2, "bounced": 1, "spammed": 1}
    assert webhook_events.count_by_metric(session, window=hour, object_type="email") == email
    assert webhook_events.count_by_metric(session, window=hour) == email | {"bounced": 2}


def test_when_the_last_one_came_in_is_known(session: Session) -> None:
    assert webhook_events.find_last_received_at(session) is None
    store(session, "e1")
    age_all(session, SECOND)
    store(session, "e2")
    now = session.execute(select(func.now())).scalar_one()
    assert webhook_events.find_last_received_at(session) == now
