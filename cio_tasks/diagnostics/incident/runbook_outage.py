"""P1, an outage: is it them, is it us, is anything lost, and who has to know (rows P1.1 to P1.6)."""

from datetime import timedelta
from typing import Final

from cio_tasks.customerio.status_page import COLLECTION, PROCESSING, Indicator
from cio_tasks.diagnostics.incident.evidence import Attempts, Queue, Unknown
from cio_tasks.diagnostics.incident.levels import OVERDUE, WINDOW, Level
from cio_tasks.diagnostics.incident.picture import clock
from cio_tasks.diagnostics.incident.severity import OUT, page_text
from cio_tasks.diagnostics.incident.steps import Case, Result, Step, failed, human, passed, unread
from cio_tasks.diagnostics.network import measure
from cio_tasks.diagnostics.requests import milliseconds
from cio_tasks.diagnostics.targets import list_targets
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.findings import Severity
from cio_tasks.gate import Reason

ROUNDS: Final = 3
"""Fresh connections of the direct test: one may be slow by chance."""


def check_status_page(case: Case) -> Result:
    """P1.1: what Customer.io itself says."""
    page = case.evidence.status_page
    address = case.settings.customerio_status_url
    if isinstance(page, Unknown):
        return human(page.detail, f"open {address} in a browser, from another network too")
    said = "; ".join([page_text(page), *(f"incident: {one.name} ({one.status})" for one in page.incidents)])
    if page.indicator in OUT or page.status_of(COLLECTION):
        return failed(said, f"wait, and follow {address}: jobs are kept and sent when it is over")
    if page.status_of(PROCESSING):
        return human(said, "what is sent is taken, but shows later: nothing needs to be sent again")
    if page.indicator is not Indicator.NONE or page.degraded or page.incidents:
        return human(said, f"does it touch what fails here? {address}")
    return passed(said, "so look at what is between us and them: the next steps")


def check_credentials(case: Case) -> Result:
    """P1.2: whether Customer.io accepts us."""
    credentials = case.evidence.credentials
    if isinstance(credentials, Unknown):
        return unread(credentials)
    if credentials.verdict == "accepted":
        return passed(credentials.detail)
    if credentials.verdict == "trouble":
        return human(f"could not be told: {credentials.detail}", credentials.next)
    return failed(credentials.detail, credentials.next)


def try_directly(case: Case) -> Result:
    """P1.3: the way to the Track API, step by step, by reads over fresh connections."""
    (report,) = measure(list_targets(case.settings, ("track",)), count=ROUNDS, timeout=case.each)
    serious = [one for one in report.findings if one.severity is not Severity.LOW]
    took = "" if report.median is None else f", median {milliseconds(report.median)} ms"
    seen = f"{len(report.answered)} of {len(report.rounds)} reads of {report.target.host} answered{took}"
    if not serious:
        return passed(f"{seen}: the way is open")
    worst = serious[0]
    result = failed if worst.severity is Severity.HIGH else human
    return result(f"{seen}: {worst.message}", worst.next)


def check_gate(case: Case) -> Result:
    """P1.4: whether deliveries may run."""
    queue = case.evidence.queue
    if isinstance(queue, Unknown):
        return unread(queue)
    closed = queue.stats.gate.reasons
    if not closed:
        return passed("the gate is open: deliveries run")
    told = [
        f"{one.reason} since {clock(one.closed_at)}, until {clock(one.closed_until) or 'somebody opens it'}"
        + (f" ({one.note})" if one.note else "")
        for one in closed
    ]
    by_operator = any(one.reason is Reason.OPERATOR for one in closed)
    what_next = (
        "when it is over: ciosync gate open" if by_operator else "it probes and opens by itself: ciosync gate show"
    )
    return failed(f"the gate is closed by {'; '.join(told)}", what_next)


def check_queue(case: Case) -> Result:
    """P1.5: that nothing is lost, and how what waits will drain."""
    queue, attempts = case.evidence.queue, case.evidence.attempts
    if isinstance(queue, Unknown):
        return unread(queue)
    stats = queue.stats
    kept = f"{stats.pending} pending, {stats.processing} processing, {stats.stuck} stuck, {stats.dead_letters} dead letters"
    seen = f"{kept}; {counted(queue.workers, 'worker')} alive; {_drain_text(queue, attempts)}"
    if stats.stuck:
        return failed(seen, "take them back: ciosync jobs cleanup")
    if not queue.workers and stats.pending:
        return failed(seen, "start a worker: celery -A cio_tasks.celery_app worker")
    if stats.gate.open and queue.oldest_due >= OVERDUE:
        return failed(f"{seen}; due for {age(queue.oldest_due)}", "do the workers take messages? ciosync doctor")
    if stats.dead_letters:
        return human(
            f"{seen}; nothing is lost", "when it is over: ciosync failures groups, then ciosync failures retry"
        )
    return passed(f"{seen}; nothing is lost")


def _drain_text(queue: Queue, attempts: Attempts | Unknown) -> str:
    if not queue.stats.gate.open:
        return "they wait while the gate is closed, and spend no retry"
    if isinstance(attempts, Unknown) or not attempts.delivered:
        return "nothing was delivered in 5 min"
    per_minute = attempts.delivered / (WINDOW / timedelta(minutes=1))
    return f"draining at {per_minute:.0f} a minute, {queue.stats.pending / per_minute:.0f} min to go"


def notify(case: Case) -> Result:
    """P1.6: the words for those who have to know; sending them is a person's decision."""
    verdict, queue = case.verdict, case.evidence.queue
    since = f" since {clock(verdict.since)}" if verdict.since else ""
    level = "" if verdict.level is Level.NONE else f"{verdict.level} "
    waiting = "" if isinstance(queue, Unknown) else f" Waiting, and kept: {counted(queue.stats.pending, 'message')}."
    text = f"Customer.io sync: {level}{verdict.level.meaning}{since}. {verdict.reasons[0].rstrip('.')}.{waiting}"
    return human(
        text, "tell support, marketing and who is on call; the note to send along: ciosync incident sheet -o note.md"
    )


STEPS: Final = (
    Step("P1.1", "Status page", check_status_page),
    Step("P1.2", "Credentials", check_credentials),
    Step("P1.3", "Direct test", try_directly),
    Step("P1.4", "Circuit breaker", check_gate),
    Step("P1.5", "Queue for retry", check_queue),
    Step("P1.6", "Notify", notify),
)
