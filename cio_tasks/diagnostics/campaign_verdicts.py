"""What the facts about one campaign mean, and what to do next. Nothing is concluded from what could not be read."""

from collections.abc import Iterator
from typing import Final

from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_campaigns import Metrics
from cio_tasks.diagnostics.campaign_report import CampaignReport
from cio_tasks.diagnostics.person_report import PersonReport, got
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.diagnostics.trigger_history import OUR_EVENTS, WEEK, TriggerHistory, is_same_but_for_spelling, meant
from cio_tasks.findings import Finding, Severity, worst_first

FINISHED: Final = "finished"
"""The state of a segment whose members are current (AppOAS)."""
MANY_BOUNCES: Final = 0.05
MANY_COMPLAINTS: Final = 0.001
"""The shares from which mailbox providers begin to hold it against a sender."""
KEEPS_OUT: Final = frozenset(
    {
        "profile_not_found",
        "address_taken",
        "id_conflict",
        "no_email",
        "suppressed",
        "unsubscribed",
        "no_topics",
        "sync_failed",
        "sync_waiting",
        "event_too_old",
        "gate_closed",
        "mock",
    }
)
"""What an investigation may find of a person that also keeps them out of a campaign."""


def judge_campaign(report: CampaignReport) -> list[Finding]:
    """Return the findings about a campaign and, if one was asked about, about a person in it, the worst first."""
    found = [*_state(report), *_audience(report), *_trigger(report), *_numbers(report)]
    return worst_first([*found, *([] if report.person is None else _person(report, report.person))])


# --- the campaign -----------------------------------------------------------------------------------------------------


def _state(report: CampaignReport) -> Iterator[Finding]:
    campaign = report.campaign
    if not campaign.active or campaign.state not in {"running", None}:
        never = "; it never was" if campaign.first_started_at is None else ""
        message = f"the campaign is not active, its state is {campaign.state or 'unknown'}{never}: it sends nothing"
        yield _high("campaign_not_active", message, "start it in the workspace, if it is meant to send")


def _audience(report: CampaignReport) -> Iterator[Finding]:
    if report.estimated_size == 0:
        message = f"nobody matches: segment {report.segment_id} has no members"
        yield _high("empty_audience", message, "look at the segment's conditions: do we send what they ask for?")
    for number, audience in report.audiences.items():
        segment = audience.segment
        if isinstance(segment, Failure):
            if segment.code == "http_404":
                yield _medium("segment_missing", f"segment {number} does not exist", "choose another in the campaign")
        elif segment.state not in {FINISHED, None}:
            message = f"segment {number} is still being built ({segment.state}): its count is not current"
            yield _low("segment_building", message, "ask again when it is finished")


def _trigger(report: CampaignReport) -> Iterator[Finding]:
    name = report.campaign.event_name
    if name is None:
        return
    if name.strip() not in OUR_EVENTS:
        yield _unknown_event(name)
        return
    history = got(report.history)
    if history is not None:
        yield from _deliveries(report, name, history)


def _unknown_event(name: str) -> Finding:
    ours = meant(name)
    if ours is None:
        listed = ", ".join(OUR_EVENTS)
        message = f"its event {name!r} is none that we send ({listed}): somebody else has to"
        return _low("unknown_trigger_event", message, "who sends it? if nobody, change the campaign's trigger")
    if is_same_but_for_spelling(name, ours):
        message = f"its event {name!r} differs from our {ours!r} only in case or punctuation, so it never comes"
        return _high("unknown_trigger_event", message, f"did you mean {ours!r}? change the campaign's trigger")
    message = f"its event {name!r} is none that we send, and looks like our {ours!r}"
    return _medium("unknown_trigger_event", message, f"did you mean {ours!r}? change the campaign's trigger")


def _deliveries(report: CampaignReport, name: str, history: TriggerHistory) -> Iterator[Finding]:
    """Connect both sides: what we sent, and what came of it there."""
    if history.last_delivered_at is None:
        message = f"we have never delivered its event {name}, as far as the attempts are kept"
        yield _high("trigger_never_sent", message, f"ciosync jobs list --phase {history.phase}")
    elif report.at - history.last_delivered_at > WEEK:
        message = f"we have not delivered its event {name} for {age(report.at - history.last_delivered_at)}"
        yield _medium("trigger_not_sent_lately", message, f"ciosync jobs list --phase {history.phase}")
    if history.too_old:
        message = (
            f"{counted(history.too_old, 'event')} {name} owed for more than 72 h: sent now, they trigger no campaign"
        )
        yield _medium("events_too_old", message, "send what they missed by hand, after ciosync failures list")
    metrics = got(report.metrics)
    if metrics is not None and report.campaign.active and history.delivered_in_week and not metrics.total("sent"):
        message = (
            f"we delivered {name} {counted(history.delivered_in_week, 'time')} in 7 days, and the campaign sent nothing"
        )
        yield _medium(
            "sends_nothing", message, f"who should have got it? ciosync debug campaign {report.campaign.id} --user USER"
        )


def _numbers(report: CampaignReport) -> Iterator[Finding]:
    metrics = got(report.metrics)
    if metrics is None:
        return
    failed = metrics.total("failed") + metrics.total("undeliverable")
    if failed:
        yield _medium(
            "failed_sends",
            f"{counted(failed, 'message')} failed in 7 days",
            "the reasons stand in its deliveries there",
        )
    if _share(metrics, "bounced", "sent") > MANY_BOUNCES:
        message = f"{metrics.total('bounced')} of {metrics.total('sent')} messages bounced in 7 days"
        yield _medium("many_bounces", message, "whom is it sent to, and where do these addresses come from?")
    if _share(metrics, "spammed", "delivered") > MANY_COMPLAINTS:
        message = f"HIGH PRIORITY: {counted(metrics.total('spammed'), 'complaint')} in 7 days"
        yield _high("many_complaints", message, "stop it, and look at what it sends to whom")


def _share(metrics: Metrics, part: str, whole: str) -> float:
    return metrics.total(part) / max(metrics.total(whole), 1)


# --- one person in it -------------------------------------------------------------------------------------------------


def _person(report: CampaignReport, person: PersonReport) -> Iterator[Finding]:
    yield from (finding for finding in person.findings if finding.code in KEEPS_OUT)
    yield from _membership(report, person)
    yield from _event_of(report, person)
    sent = report.sent_to(person)
    if sent:
        newest = max(sent, key=lambda one: one.created_at or report.at)
        when = f" {age(report.at - newest.created_at)} ago" if newest.created_at else ""
        message = f"this person was sent it {counted(len(sent), 'time')}, the last{when}: {newest.state}"
        yield _low("already_sent", message, "may somebody get it again? the campaign's settings say how often")


def _membership(report: CampaignReport, person: PersonReport) -> Iterator[Finding]:
    segments = got(person.customerio.segments)
    if segments is None:
        return
    held = {segment.id for segment in segments}
    for what, wanted in (
        ("starts it", report.campaign.trigger_segment_ids),
        ("filters it", report.campaign.filter_segment_ids),
    ):
        if wanted and not held & set(wanted):
            numbers = ", ".join(map(str, wanted))
            message = f"this person is in no segment that {what} ({numbers})"
            what_next = f"compare the segment's conditions with the profile: ciosync investigate {person.handle}"
            yield _high("not_in_segment", message, what_next)


def _event_of(report: CampaignReport, person: PersonReport) -> Iterator[Finding]:
    name = report.campaign.event_name
    if name is None or person.events is None:
        return
    listing = got(person.customerio.events)
    is_whole = listing is not None and listing.left_out is None
    if is_whole and name.strip() not in {event.name for event in person.events}:
        message = f"this person has no event {name!r} in the last 30 days, which would start it"
        yield _high("trigger_not_done", message, f"did we send it? our jobs: ciosync investigate {person.handle}")


def _high(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.HIGH, code, message, what_next)


def _medium(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.MEDIUM, code, message, what_next)


def _low(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.LOW, code, message, what_next)
