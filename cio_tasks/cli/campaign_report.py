"""One campaign as `ciosync debug campaign` tells it, and how the command ends."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cio_tasks.cli.config import load_settings
from cio_tasks.cli.exchanges import one_line
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.output import GAP, Output, align
from cio_tasks.cli.person import ASKING, end_of, fault_of_issues, issue_lines, missing_lines, optional_sessions
from cio_tasks.cli.progress import working
from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.customerio.app_campaigns import Campaign
from cio_tasks.diagnostics.campaign import examine_campaign, list_campaigns
from cio_tasks.diagnostics.campaign_report import CampaignReport
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.person_report import PersonReport, got, with_prefix
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.redaction import redact
from cio_tasks.settings import Settings

NAMED: Final = 8
"""So many campaigns are named to somebody who asked for one that is not there."""
HINTS: Final = {
    Exit.UNAUTHORIZED: "check CUSTOMERIO_APP_API_KEY, its scope, and CUSTOMERIO_REGION: ciosync debug auth",
    Exit.CONFIGURATION: "campaigns can only be read with a key of the App API: set it, then run the command again",
    Exit.TRY_AGAIN: "try again; where it fails: ciosync network --host app",
}


def answer(
    output: Output,
    *,
    campaign_id: int,
    user: str | None,
    fail_on: str | None,
    within: float,
    limit: int,
    reveal: bool,
) -> None:
    """Examine the campaign, print what was found, and end as the findings demand."""
    settings, time = load_settings(), timedelta(seconds=within)
    mask = Mask(settings.secrets, reveal)
    with working(ASKING, quiet=output.as_json), optional_sessions(settings, "debug campaign") as sessions:
        report = examine_campaign(settings, sessions, campaign_id, user=user, within=time, limit=limit)
    if isinstance(report, Failure):
        raise CommandFailed(_fault(report, campaign_id, settings, time))
    output.result(report.as_json(mask), table=[[line] for line in _lines(report, mask)])
    fault = fault_of_issues(report.findings, fail_on)
    if fault is not None:
        raise CommandFailed(fault)


def _fault(failure: Failure, campaign_id: int, settings: Settings, within: timedelta) -> Fault:
    exit_code, hint = end_of(failure, HINTS)
    if failure.trouble is Trouble.NOT_FOUND:
        hint = f"those that there are: {_named(list_campaigns(settings, within=within))}"
        return Fault("campaign.not_found", exit_code, f"there is no campaign {campaign_id}", failure.detail, hint)
    message = f"campaign {campaign_id} cannot be read"
    return Fault(f"campaign.{failure.code}", exit_code, message, failure.detail, hint, request_id=failure.request_id)


def _named(found: tuple[Campaign, ...] | Failure) -> str:
    if isinstance(found, Failure):
        return "the workspace lists them"
    if not found:
        return "none, this workspace has no campaigns; does the key belong to the right one?"
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(f"{one.id} {redact(one.name, limit=40)!r}" for one in found[:NAMED]) + more


# --- what people read -------------------------------------------------------------------------------------------------


def _lines(report: CampaignReport, mask: Mask) -> Iterator[str]:
    campaign = report.campaign
    mark = "✓" if campaign.active else "✗"
    yield one_line(f"campaign {campaign.id} {mask.text(campaign.name)!r}   {campaign.state or 'state unknown'} {mark}")
    yield from align([*_rows(report, mask)])
    yield from _sends(report, mask)
    yield from issue_lines(report.findings, mask)
    yield from missing_lines(report.unavailable)


def _rows(report: CampaignReport, mask: Mask) -> Iterator[tuple[str, str]]:
    yield "trigger", one_line(" · ".join(_trigger(report, mask)))
    yield "audience", " · ".join(_audience(report, mask))
    metrics = got(report.metrics)
    if metrics is not None:
        told = ("sent", "delivered", "opened", "bounced", "failed", "spammed")
        yield "7 days", " · ".join(f"{name} {metrics.total(name):,}" for name in told)
    if report.person is not None:
        yield "user", " · ".join(_user(report, report.person, mask))


def _user(report: CampaignReport, person: PersonReport, mask: Mask) -> Iterator[str]:
    yield mask.text(person.user_id)
    yield {True: "has a profile", False: "NO PROFILE", None: "profile unknown"}[person.customerio.exists]
    if person.emails is not None:
        yield f"sent it {counted(len(report.sent_to(person)), 'time')}"


def _trigger(report: CampaignReport, mask: Mask) -> Iterator[str]:
    campaign, history = report.campaign, got(report.history)
    yield campaign.type or "type unknown"
    if campaign.event_name is not None:
        yield mask.text(campaign.event_name)
    if campaign.trigger_segment_ids:
        yield f"segments {', '.join(map(str, campaign.trigger_segment_ids))}"
    if history is not None:
        last = history.last_delivered_at
        yield "never delivered by us" if last is None else f"last delivered by us {age(report.at - last)} ago"
        yield f"{counted(history.delivered_in_week, 'time')} in 7 days"


def _audience(report: CampaignReport, mask: Mask) -> Iterator[str]:
    if not report.audiences:
        yield "everybody, no segment decides"
        return
    size = report.estimated_size
    yield "size unknown" if size is None else f"at most {size:,}"
    for number, audience in report.audiences.items():
        segment, count = got(audience.segment), got(audience.count)
        name = f" {mask.text(segment.name)!r}" if segment is not None else ""
        yield one_line(f"segment {number}{name}: {'unknown' if count is None else f'{count:,}'}")


def _sends(report: CampaignReport, mask: Mask) -> Iterator[str]:
    messages = got(report.messages)
    if messages is None or not messages.items:
        return
    yield "newest messages"
    rows = [
        (mask.text(one.to.id or with_prefix(one.to) or "-"), one.state, _ago(report, one.created_at))
        for one in messages.items
    ]
    yield from (one_line(f"{GAP}{line}") for line in align(rows))


def _ago(report: CampaignReport, at: datetime | None) -> str:
    return f"{age(report.at - at)} ago" if at is not None else "-"
