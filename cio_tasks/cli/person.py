"""One person as `ciosync investigate` tells them, and how the command ends."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from cio_tasks.cli.colour import SEVERITIES, paint
from cio_tasks.cli.config import load_settings
from cio_tasks.cli.exchanges import one_line
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.output import GAP, Output, with_next
from cio_tasks.cli.progress import working
from cio_tasks.cli.timeline import draw
from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.diagnostics.customerio_side import CustomerioSide
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.own_side import Kind, OwnSide
from cio_tasks.diagnostics.person import investigate
from cio_tasks.diagnostics.person_report import PersonReport, got
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.findings import Finding, Severity, reaches
from cio_tasks.models import SyncJob
from cio_tasks.outcomes import REDIRECTED
from cio_tasks.redaction import mask_email
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus

ASKING: Final = "asking Customer.io and our own database…"
SHOWN_JOBS: Final = 4
SEVERITY_WIDTH: Final = 8
NOTHING_WRONG: Final = "issues     none found in what could be read"
EXITS: Final = {
    Trouble.REFUSED: Exit.UNAUTHORIZED,
    Trouble.NO_KEY: Exit.CONFIGURATION,
    Trouble.BAD_REQUEST: Exit.REFUSED,
    Trouble.NOT_FOUND: Exit.NOT_FOUND,
}
"""How a run ends that found nobody, by what kept it; anything else may pass."""
MOVED: Final = "CUSTOMERIO_REGION or CUSTOMERIO_APP_URL is wrong: ciosync debug auth"
DATABASE: Final = "is the database running, and is DATABASE_URL right? ciosync db check"
HINTS: Final = {
    Exit.UNAUTHORIZED: "check CUSTOMERIO_APP_API_KEY, its scope, and CUSTOMERIO_REGION: ciosync debug auth",
    Exit.CONFIGURATION: "set CUSTOMERIO_APP_API_KEY, and DATABASE_URL for our own side: ciosync config show",
    Exit.REFUSED: "look at the id again, or say what it is: --id, --email, --signup",
    Exit.NOT_FOUND: "look at the id again, or say what it is: --id, --email, --signup",
    Exit.TRY_AGAIN: "try again; where it fails: ciosync network --host app",
}


def answer(
    output: Output,
    *,
    user: str,
    kind: str | None,
    fail_on: str | None,
    within: float,
    limit: int,
    reveal: bool,
) -> None:
    """Investigate, print what was found, and end as the findings or their absence demand."""
    settings = load_settings()
    mask = Mask(settings.secrets, reveal)
    with working(ASKING, quiet=output.as_json), optional_sessions(settings, "investigate") as sessions:
        report = investigate(
            settings,
            sessions,
            user,
            kind=Kind(kind) if kind else None,
            within=timedelta(seconds=within),
            limit=limit,
        )
    output.result(report.as_json(mask), table=[[line] for line in lines(report, mask)])
    fault = _fault_of_nobody(report) or fault_of_issues(report.findings, fail_on)
    if fault is not None:
        raise CommandFailed(fault)


@contextmanager
def optional_sessions(settings: Settings, command: str) -> Iterator[Sessions | None]:
    """Give a factory of sessions for as long as the body runs, or None when no database is set."""
    if settings.database_url is None:
        yield None
        return
    engine = make_engine(settings.required_database_url(), pool_size=2, application=f"ciosync {command}")
    try:
        yield make_sessions(engine)
    finally:
        engine.dispose()


# --- how it ends ------------------------------------------------------------------------------------------------------


def _fault_of_nobody(report: PersonReport) -> Fault | None:
    """Return the error that nobody was found, told by what kept us from it; None when somebody was."""
    if report.is_known:
        return None
    profile = report.customerio.profile
    assert isinstance(profile, Failure)
    exit_code, hint = _end_of_nobody(profile, report.own)
    if exit_code is Exit.NOT_FOUND:
        nobody = "nobody who could be asked" if isinstance(report.own, Failure) else "nobody"
        return Fault("user.not_found", exit_code, f"{nobody} knows this user", _asked(report), hint)
    message = "nothing is known of this user, and not everybody could be asked"
    why = own.code if hint is DATABASE and isinstance(own := report.own, Failure) else profile.code
    return Fault(f"user.{why}", exit_code, message, _asked(report), hint)


def _end_of_nobody(profile: Failure, own: OwnSide | Failure) -> tuple[Exit, str]:
    """Return the code and what helps; our own side counts where Customer.io knows nobody, or cannot be asked at all."""
    if profile.trouble in {Trouble.NOT_FOUND, Trouble.NO_KEY} and isinstance(own, Failure) and own.may_pass:
        return Exit.TRY_AGAIN, DATABASE
    return end_of(profile, HINTS)


def end_of(failure: Failure, hints: Mapping[Exit, str]) -> tuple[Exit, str]:
    """Return with which code a run ends that the App API has kept from its answer, and what helps."""
    if failure.code == REDIRECTED:
        return Exit.CONFIGURATION, MOVED
    code = EXITS.get(failure.trouble, Exit.TRY_AGAIN)
    return code, hints.get(code, "look at the id again")


def _asked(report: PersonReport) -> str:
    profile, own = report.customerio.profile, report.own
    theirs = "no such profile" if report.customerio.exists is False else getattr(profile, "detail", "")
    ours = own.detail if isinstance(own, Failure) else "no such customer or signup"
    return f"Customer.io: {theirs}; our database: {ours}"


def fault_of_issues(findings: list[Finding], fail_on: str | None) -> Fault | None:
    """Return the error that issues this bad were found, when that is asked for."""
    if fail_on is None or not reaches(findings, Severity(fail_on)):
        return None
    worst, count = findings[0], sum(finding.severity.rank <= Severity(fail_on).rank for finding in findings)
    message = f"{count} of the issues found are {fail_on} or worse"
    return Fault(f"issues.{worst.code}", Exit.NO, message, worst.message, worst.next)


# --- what people read -------------------------------------------------------------------------------------------------


def lines(report: PersonReport, mask: Mask) -> Iterator[str]:
    """Yield the report line by line; a part that could not be read says so."""
    yield one_line(" · ".join(_who(report, mask)))
    if report.customerio.exists is not False:
        yield f"activity   {' · '.join(_activity(report, report.customerio, mask))}"
        yield f"delivery   {' · '.join(_delivery(report))}"
    if report.ours is not None:
        yield f"our queue  {' · '.join(_queue(report.ours, report)) or 'nothing of this person'}"
        yield from _reports(report.ours)
    yield from draw(report)
    yield from issue_lines(report.findings, mask)
    yield from missing_lines(report.unavailable)


def _who(report: PersonReport, mask: Mask) -> Iterator[str]:
    yield mask.text(report.user_id)
    email = report.profile.email if report.profile else None
    if email and email != report.user_id:
        yield email if mask.reveal else mask_email(email)
    yield {True: "exists", False: "NO PROFILE", None: "profile unknown"}[report.customerio.exists]
    if report.profile is not None:
        yield counted(len(report.profile.attributes), "attribute")
        segments = got(report.customerio.segments)
        yield "segments unknown" if segments is None else counted(len(segments), "segment")
        topics = got(report.customerio.subscriptions)
        if topics and topics.topics:
            yield f"{sum(topic.subscribed for topic in topics.topics)}/{len(topics.topics)} topics"
    if report.unsubscribed:
        yield "UNSUBSCRIBED"


def _activity(report: PersonReport, theirs: CustomerioSide, mask: Mask) -> Iterator[str]:
    if report.last_identify is not None:
        yield f"last identify {age(report.at - report.last_identify)} ago"
    if report.events is None:
        yield "events unknown"
        return
    if report.events:
        newest = report.events[0]
        yield f"last event {mask.text(newest.name or 'without a name')} {age(report.at - newest.at)} ago"
    least = "" if report.has_whole_day else "at least "
    yield f"{least}{counted(report.events_in_24h or 0, 'event')} in 24 h"
    listing = got(theirs.events)
    if listing is not None and listing.left_out is not None:
        yield f"only the newest {len(listing.items):,} events were read ({listing.left_out}): --limit, --within"


def _delivery(report: PersonReport) -> Iterator[str]:
    counted = {"sent": "sent", "delivered": "delivered", "opened": "opened", "bounced": "bounced"}
    if report.emails is None:
        yield "e-mails unknown"
    else:
        for name, state in {**counted, "complaints": "spammed"}.items():
            yield f"{name} {report.count_emails(state)}"
        listing = got(report.customerio.messages)
        if listing is not None and listing.left_out is not None:
            yield f"of the newest {len(listing.items):,}"
    said = {True: "YES", False: "no", None: "unknown"}[report.suppressed]
    inferred = ", in Customer.io no (there is a profile)" if report.customerio.exists else ""
    yield f"suppressed {said} (by the e-mail provider{inferred})"


def _queue(ours: OwnSide, report: PersonReport) -> Iterator[str]:
    for job in ours.jobs[:SHOWN_JOBS]:
        yield _job(job, report)
    if len(ours.jobs) > SHOWN_JOBS:
        yield f"{len(ours.jobs) - SHOWN_JOBS} older jobs"
    if not ours.gate.open:
        yield "GATE CLOSED"


def _job(job: SyncJob, report: PersonReport) -> str:
    at = job.completed_at or job.last_attempt_at or job.created_at
    when = f"{age(report.at - at)} ago"
    match job.status:
        case JobStatus.FAILED:
            error = f"{job.attempt_count}/{job.max_attempts} {job.error_type}"
            return f"{job.sync_phase} FAILED {error}, {when} (job {job.id})"
        case JobStatus.COMPLETED:
            return f"{job.sync_phase} completed{' in MOCK mode' if job.mock else ''} {when}"
        case _:
            retry = f", retry {job.attempt_count}/{job.max_attempts}" if job.attempt_count else ""
            return f"{job.sync_phase} {job.status} {when}{retry} (job {job.id})"


def _reports(ours: OwnSide) -> Iterator[str]:
    told: dict[str, int] = {}
    for webhook in ours.webhooks:
        told[webhook.metric or "unreadable"] = told.get(webhook.metric or "unreadable", 0) + 1
    if told:
        yield f"webhooks   {' · '.join(f'{one_line(metric)} {count}' for metric, count in told.items())}"


def issue_lines(findings: list[Finding], mask: Mask) -> Iterator[str]:
    """Yield the findings under a heading, each with what to do next."""
    if not findings:
        yield NOTHING_WRONG
        return
    yield "issues"
    for finding in findings:
        severity = paint(f"{finding.severity.value.upper():<{SEVERITY_WIDTH}}", SEVERITIES[finding.severity])
        line, step = f"{GAP}{severity}{one_line(mask.text(finding.message))}", one_line(mask.text(finding.next))
        yield from with_next(line, step, indent=len(GAP) + SEVERITY_WIDTH)


def missing_lines(unavailable: Iterable[tuple[str, Failure]]) -> Iterator[str]:
    """Yield what could not be read, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for part, why in unavailable:
        reasons.setdefault(one_line(why.detail), []).append(part)
    for reason, parts in reasons.items():
        yield f"not read   {', '.join(parts)}: {reason}"
