"""Why does a campaign not send, or not to this person? Customer.io says what it is, we say what we do for it (rows M)."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.app_campaigns import Campaign
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.budget import Asked, Budget
from cio_tasks.diagnostics.campaign_report import Audience, CampaignReport
from cio_tasks.diagnostics.campaign_verdicts import judge_campaign
from cio_tasks.diagnostics.customerio_side import NOT_ASKED
from cio_tasks.diagnostics.own_side import NO_DATABASE, Kind
from cio_tasks.diagnostics.person import WITHIN, investigate
from cio_tasks.diagnostics.person_report import PersonReport
from cio_tasks.diagnostics.trigger_history import OUR_EVENTS, WEEK, TriggerHistory, read_trigger_history
from cio_tasks.settings import Settings

RECENT_SENDS: Final = 10
MOST_SEGMENTS: Final = 10
"""Of more segments the rest is not counted: each costs two of the ten requests a second."""
PERSON_LIMIT: Final = 200


def examine_campaign(
    settings: Settings,
    sessions: Sessions | None,
    campaign_id: int,
    *,
    user: str | None = None,
    kind: Kind | None = None,
    within: timedelta = WITHIN,
    limit: int = RECENT_SENDS,
) -> CampaignReport | Failure:
    """Return a campaign with what its parts say and the findings, or why it cannot be read; it reads only.

    With a `user` it also says what keeps that person out. All questions together end within `within`; `limit` is how
    many of the newest messages are shown.
    """
    budget = Budget(within)
    api = AppAPI.from_settings(settings, total=budget.for_one)
    campaign = budget.ask(lambda: api.campaign(campaign_id), name="campaign").answer()
    if isinstance(campaign, Failure):
        return campaign
    report = _ask(api, campaign, budget, limit, _begin_history(sessions, campaign, budget))
    if user is not None:
        report.person = _ask_person(settings, sessions, user, kind, budget)
    report.findings = judge_campaign(report)
    return report


def list_campaigns(settings: Settings, *, within: timedelta = WITHIN) -> tuple[Campaign, ...] | Failure:
    """Return the campaigns that there are, or why they cannot be read."""
    return AppAPI.from_settings(settings, total=Budget(within).for_one).campaigns()


def _begin_history(sessions: Sessions | None, campaign: Campaign, budget: Budget) -> Asked[TriggerHistory] | Failure:
    phase = OUR_EVENTS.get((campaign.event_name or "").strip())
    if phase is None:
        return NOT_ASKED
    if sessions is None:
        return NO_DATABASE
    return budget.ask(lambda: read_trigger_history(sessions, phase), name="trigger history")


def _ask(
    api: AppAPI, campaign: Campaign, budget: Budget, limit: int, history: Asked[TriggerHistory] | Failure
) -> CampaignReport:
    now, pages = datetime.now(UTC), budget.for_pages
    numbers = campaign.segment_ids[:MOST_SEGMENTS]
    messages = budget.ask(lambda: api.campaign_messages(campaign.id, limit=limit, within=pages), name="messages")
    metrics = budget.ask(lambda: api.campaign_metrics(campaign.id, since=now - WEEK, until=now), name="metrics")
    segments = {number: budget.ask(partial(api.segment, number), name="segment") for number in numbers}
    counts = {number: budget.ask(partial(api.customer_count, number), name="count") for number in numbers}
    return CampaignReport(
        at=now,
        campaign=campaign,
        audiences={number: Audience(segments[number].answer(), counts[number].answer()) for number in numbers},
        messages=messages.answer(),
        metrics=metrics.answer(),
        history=history if isinstance(history, Failure) else history.answer(),
    )


def _ask_person(
    settings: Settings, sessions: Sessions | None, user: str, kind: Kind | None, budget: Budget
) -> PersonReport:
    """Investigate in the time that is left, which is a moment at least, so that the report says what it could not."""
    left = max(budget.left, timedelta(milliseconds=1))
    return investigate(settings, sessions, user, kind=kind, within=left, limit=PERSON_LIMIT)
