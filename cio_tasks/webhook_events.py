"""The webhooks that came in: stored once each, whatever is in them, and read when somebody asks why."""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, defer

from cio_tasks.customerio.webhooks import TOLERANCE, Event, Flag, read_event
from cio_tasks.errors import NotFound
from cio_tasks.models import WebhookEvent


class Receipt(StrEnum):
    """What became of an authentic webhook. The words are labels of the counter `webhooks`."""

    STORED = "stored"
    UNREADABLE = "unreadable"
    """Stored too, but as bytes and no more."""

    DUPLICATE = "duplicate"
    REFUSED_STALE = "refused_stale"


def take(session: Session, body: bytes, *, signed_at: datetime, keep_stale: bool) -> Receipt:
    """Store an authentic webhook unless it is there already. One that was not signed about now is stale.

    A retry may carry the time of the first try (Customer.io does not say), so a stale one can be kept, with a flag.
    """
    is_stale = not _is_fresh(session, signed_at)
    if is_stale and not keep_stale:
        return Receipt.REFUSED_STALE
    event = read_event(body)
    if is_stale:
        event = replace(event, flags=(*event.flags, Flag.STALE))
    if not store(session, event, body=body, signed_at=signed_at):
        return Receipt.DUPLICATE
    return Receipt.UNREADABLE if Flag.UNREADABLE in event.flags else Receipt.STORED


def _is_fresh(session: Session, signed_at: datetime) -> bool:
    """Judge by the database's clock: that of a web host may be minutes off."""
    return abs(session.execute(select(func.now())).scalar_one() - signed_at) <= TOLERANCE


def store(session: Session, event: Event, *, body: bytes, signed_at: datetime) -> bool:
    """Store an event and return True, or return False when its id is known; then nothing at all is written."""
    added = insert(WebhookEvent).values(
        event_id=event.event_id,
        body=body,
        object_type=event.object_type,
        metric=event.metric,
        person_id=event.person_id,
        delivery_id=event.delivery_id,
        campaign_id=event.campaign_id,
        flags=list(event.flags),
        signed_at=signed_at,
        happened_at=event.happened_at,
    )
    unless_known = added.on_conflict_do_nothing(index_elements=["event_id"])
    return session.scalar(unless_known.returning(WebhookEvent.id)) is not None


def get(session: Session, webhook_id: UUID) -> WebhookEvent:
    """Return one webhook, body and all.

    Raises:
        NotFound: when there is none with this id.
    """
    found = session.get(WebhookEvent, webhook_id)
    if found is None:
        raise NotFound
    return found


def list_of_person(session: Session, person_id: str, limit: int) -> list[WebhookEvent]:
    """Return what was reported of a person, newest first. The bodies, up to a megabyte each, are not loaded."""
    newest = select(WebhookEvent).where(WebhookEvent.person_id == person_id).order_by(WebhookEvent.received_at.desc())
    return list(session.scalars(newest.limit(limit).options(defer(WebhookEvent.body, raiseload=True))))


def count_by_metric(session: Session, *, window: timedelta, object_type: str | None = None) -> dict[str, int]:
    """Count what came in during the last `window`, of all object types or one, by metric (row P3.1).

    The words are Customer.io's (`customerio.webhooks.METRICS`): a complaint is `spammed`. A metric that never came is
    absent, and so are events without a metric.
    """
    recent = [WebhookEvent.received_at > func.now() - window, WebhookEvent.metric.is_not(None)]
    if object_type is not None:
        recent.append(WebhookEvent.object_type == object_type)
    rows = session.execute(select(WebhookEvent.metric, func.count()).where(*recent).group_by(WebhookEvent.metric))
    return {str(metric): count for metric, count in rows}


def find_last_received_at(session: Session) -> datetime | None:
    """Return when the newest webhook came in, or None when none ever did."""
    return session.scalar(select(func.max(WebhookEvent.received_at)))
