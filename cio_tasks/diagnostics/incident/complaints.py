"""The reports of mail that did not arrive or was not wanted: whose, and of which campaign."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cio_tasks.diagnostics.incident.levels import MAIL_WINDOW
from cio_tasks.models import Customer, WebhookEvent

UNWANTED: Final = ("bounced", "spammed")
MOST_CAMPAIGNS: Final = 10
LATEST: Final = 200
"""Of so many of the newest reports the people are taken; a sample needs no more."""


@dataclass(frozen=True, slots=True)
class OfCampaign:
    """How many e-mails of a campaign bounced or were called spam within a day; without an id: of no campaign."""

    campaign_id: str | None
    count: int


def list_campaigns(session: Session) -> list[OfCampaign]:
    """Return the campaigns of what bounced or was called spam within a day, those with the most first."""
    campaign = WebhookEvent.campaign_id
    ordered = (
        select(campaign, func.count())
        .where(*_unwanted())
        .group_by(campaign)
        .order_by(func.count().desc(), campaign)
        .limit(MOST_CAMPAIGNS)
    )
    return [OfCampaign(campaign_id, count) for campaign_id, count in session.execute(ordered)]


def list_addresses(session: Session, *, limit: int) -> list[str]:
    """Return the addresses of some of our customers whose e-mails bounced or were called spam, the latest first."""
    newest = select(WebhookEvent.person_id).where(*_unwanted(), WebhookEvent.person_id.is_not(None))
    people = session.scalars(newest.order_by(WebhookEvent.received_at.desc()).limit(LATEST))
    ids = [one for one in map(_as_uuid, dict.fromkeys(people)) if one is not None][:limit]
    found = session.execute(select(Customer.id, Customer.email).where(Customer.id.in_(ids)))
    emails = {customer_id: str(email) for customer_id, email in found}
    return [emails[one] for one in ids if one in emails]


def _unwanted() -> list[ColumnElement[bool]]:
    return [
        WebhookEvent.object_type == "email",
        WebhookEvent.metric.in_(UNWANTED),
        WebhookEvent.received_at > func.now() - MAIL_WINDOW,
    ]


def _as_uuid(text: str | None) -> UUID | None:
    """Return a person's id if it can be one of ours; others know people by other ids."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
