"""What the facts about one person mean, and what to do next. Nothing is concluded from what could not be read."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_api import ACTIVITY_HISTORY
from cio_tasks.customerio.app_people import Message, Suppression
from cio_tasks.diagnostics.person_report import PersonReport, got
from cio_tasks.diagnostics.sync_verdicts import judge_missing_profile, judge_sync
from cio_tasks.diagnostics.telling import DAY, age, counted
from cio_tasks.diagnostics.value_differences import list_differences
from cio_tasks.findings import Finding, Severity, worst_first
from cio_tasks.redaction import redact

STALE: Final = DAY
SETTLED: Final = timedelta(minutes=10)
"""After this, what was sent should show; Customer.io names no time."""
UNDELIVERED: Final = ("dropped", "undeliverable", "failed", "suppressed")
SHOWN_REASON: Final = 120


def judge(report: PersonReport) -> list[Finding]:
    """Return the findings about a person, the worst first. Without a profile it is asked no further why."""
    if report.customerio.exists is False:
        found = [*judge_missing_profile(report), *_suppression(report), *_bounces(report), *_complaints(report)]
    else:
        found = [
            *_identity(report),
            *_email(report),
            *_suppression(report),
            *_subscription(report),
            *_bounces(report),
            *_complaints(report),
            *_undelivered(report),
            *_reach(report),
            *_freshness(report),
            *_differences(report),
            *_events(report),
        ]
    return worst_first([*found, *judge_sync(report)])


# --- who it is --------------------------------------------------------------------------------------------------------


def _identity(report: PersonReport) -> Iterator[Finding]:
    """Several people with one address, or one person under two ids: the answer to both is 200 (TrackOAS, identify)."""
    namesakes, ours = got(report.customerio.namesakes) or (), report.ours
    if len(namesakes) > 1:
        message = f"{len(namesakes)} people in Customer.io have this address"
        yield _medium("duplicate_address", message, "merge them in the workspace, or give each an address of their own")
    if report.profile is None or ours is None or ours.customer is None:
        return
    theirs = report.profile.identifiers.id
    if theirs != str(ours.customer.id):
        held = "has another id there" if theirs else "has no id there"
        message = f"the profile with this address {held} than the customer {ours.customer.id}, under whom we send"
        if not theirs:
            message = f"the profile with this address {held}; we send under {ours.customer.id}"
        yield _high(
            "id_conflict", message, "look for a failed attribute change in its activity log, then merge the two"
        )


def _email(report: PersonReport) -> Iterator[Finding]:
    if report.profile is not None and report.profile.email is None:
        message = "the profile has no e-mail address: no e-mail can be sent"
        yield _high("no_email", message, f"ciosync debug identify {report.handle} -a email=…")


# --- what keeps messages away (row Q4) --------------------------------------------------------------------------------


def _suppression(report: PersonReport) -> Iterator[Finding]:
    found = report.provider_suppression
    if found is None or not found.suppressed:
        return
    message = f"the e-mail provider suppresses the address{_since(report, found)}: e-mails are dropped"
    what_next = "is it theirs, and do they want mail? then remove it from the suppression list in the workspace"
    yield _high("suppressed", message, what_next)


def _since(report: PersonReport, found: Suppression) -> str:
    why = {"bounces": " after a bounce", "spam": " after a complaint"}.get(found.category or "", "")
    return f"{why}, {age(report.at - found.since)} ago" if found.since else why


def _subscription(report: PersonReport) -> Iterator[Finding]:
    if report.unsubscribed:
        message = "unsubscribed from everything: only messages that ignore it are sent"
        yield _medium("unsubscribed", message, "that is their wish; only they may change it")
    said = got(report.customerio.subscriptions)
    if said and said.topics and not report.unsubscribed and not any(topic.subscribed for topic in said.topics):
        yield _low("no_topics", "subscribed to none of the topics", "messages of a topic are not sent to them")


def _bounces(report: PersonReport) -> Iterator[Finding]:
    count, source = _count(report, "bounced")
    if count:
        last = _last(report, "bounced")
        message = f"{counted(count, 'bounce')}{source}{_when(report, last)}{_reason(last)}"
        yield _medium("bounces", message, "check the address: after a hard bounce the provider suppresses it")


def _complaints(report: PersonReport) -> Iterator[Finding]:
    count, source = _count(report, "spammed")
    if count:
        message = f"HIGH PRIORITY: {counted(count, 'complaint')}{source}{_when(report, _last(report, 'spammed'))}"
        yield _high("complaints", message, "send this person nothing more, and look at what was sent and why")


def _count(report: PersonReport, metric: str) -> tuple[int, str]:
    """Return how often something happened to their e-mails; our webhooks tell when the App API does not."""
    told = report.count_emails(metric)
    if told is not None or report.ours is None:
        return told or 0, ""
    return report.ours.count_reported(metric), ", by the webhooks that came in"


def _last(report: PersonReport, metric: str) -> Message | None:
    reached = [one for one in report.emails or () if one.has(metric)]
    return max(reached, key=lambda one: one.reached[metric], default=None)


def _when(report: PersonReport, message: Message | None) -> str:
    if message is None:
        return ""
    at = message.reached.get("bounced") or message.reached.get("spammed")
    return f", the last {age(report.at - at)} ago" if at else ""


def _reason(message: Message | None) -> str:
    said = redact(message.failure_message or "", limit=SHOWN_REASON) if message else ""
    return f" ({said})" if said else ""


def _undelivered(report: PersonReport) -> Iterator[Finding]:
    lost = [one for one in report.emails or () if any(one.has(state) for state in UNDELIVERED)]
    if lost:
        newest = max(lost, key=lambda one: max(one.reached.values(), default=report.at))
        message = f"{counted(len(lost), 'e-mail')} not delivered, the last {newest.state}{_reason(newest)}"
        yield _medium("undelivered", message, "suppression and address above; else the workspace's sending domain")


def _reach(report: PersonReport) -> Iterator[Finding]:
    what_next = f"what keeps them out of the campaign ID: ciosync debug campaign ID --user {report.handle}"
    segments = got(report.customerio.segments)
    if segments is not None and not segments:
        yield _low("no_segments", "in no segment: campaigns that choose by segment pass them over", what_next)
    listing = got(report.customerio.messages)
    if listing is not None and not listing.items and listing.left_out is None:
        yield _low("no_messages", "no message was made for them in six months", what_next)


# --- activity ---------------------------------------------------------------------------------------------------------


def _freshness(report: PersonReport) -> Iterator[Finding]:
    last = report.last_identify
    if last is not None and report.at - last > STALE:
        message = f"the profile was not updated for 24 h: the last time was {age(report.at - last)} ago"
        yield _low("stale_profile", message, "nothing to do when nothing has happened; else: ciosync jobs list")


def _differences(report: PersonReport) -> Iterator[Finding]:
    if report.profile is None or report.ours is None:
        return
    names = list_differences(report.ours.expected, report.profile.attributes)
    if names:
        message = f"the profile does not have what we sent: {', '.join(names)}"
        yield _medium("values_differ", message, "who else writes these? the activity log in the workspace tells")


def _events(report: PersonReport) -> Iterator[Finding]:
    """Row Q5: which of our events do not show although the person is identified, and which were refused."""
    if report.events is None:
        return
    missing = [*_missing_events(report)]
    if missing:
        known = report.profile is not None
        first = "the person is identified, so that is not why" if known else "is the person identified?"
        message = (
            f"{counted(len(missing), 'event')} of ours not in the activity log ({', '.join(sorted(set(missing)))})"
        )
        what_next = f"ciosync debug track {report.handle} {missing[0]} --dry-run, then the log"
        yield _medium("events_missing", f"{message}; {first}", what_next)
    elif not report.events and got(report.customerio.events) is not None:
        message = "no event in 30 days" + ("; the person is identified" if report.profile is not None else "")
        yield _low("no_events", message, "is anything meant to send some? ciosync jobs list")
    failed = [one for one in _activities(report) if one.startswith("failed_")]
    if failed:
        kinds = ", ".join(sorted(set(failed)))
        message = f"Customer.io took {counted(len(failed), 'call')} and could not apply them ({kinds})"
        yield _medium("failed_activities", message, "the reasons stand in the activity log in the workspace")


def _missing_events(report: PersonReport) -> Iterator[str]:
    """Yield the names of events that should show: taken long enough ago, and not before what is kept."""
    if report.ours is None:
        return
    shown = {(one.name, int(one.at.timestamp())) for one in report.events or ()}
    for name, at, job in report.ours.sent:
        is_kept = report.at - at < ACTIVITY_HISTORY - DAY and report.has_events_since(at)
        is_settled = job.completed_at is not None and report.at - job.completed_at > SETTLED
        if is_kept and is_settled and (name, int(at.timestamp())) not in shown:
            yield name


def _activities(report: PersonReport) -> list[str]:
    listing = report.customerio.activities
    return [] if isinstance(listing, Failure) else [one.type for one in listing.items]


# --- findings ---------------------------------------------------------------------------------------------------------


def _high(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.HIGH, code, message, what_next)


def _medium(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.MEDIUM, code, message, what_next)


def _low(code: str, message: str, what_next: str) -> Finding:
    return Finding(Severity.LOW, code, message, what_next)
