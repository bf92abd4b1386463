"""How severe an incident is, by written rules. Pure: the same evidence gives the same answer, and says why.

P1  nothing gets through: Customer.io is out or refuses us, or nobody works
P2  more than 5 % of the attempts fail
P3  more than 5 % of the mail bounces, or more than 0.1 % is called spam
P4  reports do not come in: they are refused, never came, or stopped

What is unknown meets no rule and speaks against none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cio_tasks.customerio.status_page import COLLECTION, Indicator, StatusPage
from cio_tasks.diagnostics.incident.evidence import (
    UNREACHABLE,
    Attempts,
    Credentials,
    Evidence,
    Queue,
    Unknown,
    Webhooks,
)
from cio_tasks.diagnostics.incident.levels import (
    BOUNCE_RATE,
    COMPLAINT_RATE,
    ERROR_RATE,
    FEWEST_ATTEMPTS,
    FEWEST_MAILS,
    NEVER_AFTER,
    OUTAGE_RATE,
    OVERDUE,
    STALE_AFTER,
    Level,
)
from cio_tasks.diagnostics.telling import age
from cio_tasks.gate import Reason

OUT: Final = (Indicator.MAJOR, Indicator.CRITICAL)
OUTAGES: Final = (Reason.OUTAGE, Reason.AUTH)
NO_RULE: Final = "no rule of P1 to P4 is met"

Lines = Iterator[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How severe it is, why, what speaks against worse levels, since when, and what is unknown."""

    level: Level
    reasons: tuple[str, ...]
    against: Mapping[Level, str]
    """Against the next worse level; without an incident, against each, the mildest first."""
    since: datetime | None
    unknown: tuple[str, ...]

    @property
    def why_not_worse(self) -> str | None:
        """What speaks against worse, in one line; nothing is worse than P1."""
        return "; ".join(f"not {level}: {facts}" for level, facts in self.against.items()) or None


def judge(evidence: Evidence) -> Verdict:
    """Return the worst level of which a rule is met."""
    unknown = tuple(_unknown(evidence))
    for level, rule in RULES.items():
        reasons = tuple(rule(evidence))
        if reasons:
            details = _details(evidence) if level in {Level.P1, Level.P2} else ()
            return Verdict(level, (*reasons, *details), _against(evidence, level), _since(evidence, level), unknown)
    reasons = (NO_RULE, f"not known: {'; '.join(unknown)}") if unknown else (NO_RULE,)
    return Verdict(Level.NONE, reasons, _against(evidence, Level.NONE), None, unknown)


def open_questions(evidence: Evidence, level: Level) -> list[str]:
    """Return what would have to be known to say that it is not as bad as `level`, or worse, and could not be read."""
    needed = dict.fromkeys(part for one, parts in DECIDED_BY.items() if one.reaches(level) for part in parts)
    return [PARTS[part] for part in needed if isinstance(getattr(evidence, part), Unknown)]


def _unknown(evidence: Evidence) -> Lines:
    """Yield the parts that could not be read, those with the same reason together."""
    names: dict[str, list[str]] = {}
    for name, words in PARTS.items():
        part = getattr(evidence, name)
        if isinstance(part, Unknown):
            names.setdefault(part.detail, []).append(words)
    yield from (f"{', '.join(words)} ({detail})" for detail, words in names.items())


PARTS: Final[Mapping[str, str]] = {
    "status_page": "status page",
    "credentials": "credentials",
    "queue": "gate and queue",
    "attempts": "error rate",
    "letters": "dead letters",
    "deployments": "releases",
    "mail": "bounces and complaints",
    "webhooks": "webhooks",
}


DECIDED_BY: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.P1: ("queue", "attempts", "credentials"),
    Level.P2: ("attempts",),
    Level.P3: ("mail",),
    Level.P4: ("webhooks",),
}
"""The parts without which a level cannot be ruled out."""


# --- P1 ---------------------------------------------------------------------------------------------------------------


def _outage(evidence: Evidence) -> Lines:
    """Yield why nothing gets through."""
    credentials, attempts = evidence.credentials, evidence.attempts
    if isinstance(credentials, Credentials) and credentials.verdict == "refused":
        yield f"Customer.io refuses the credentials: {credentials.detail}"
    yield from _closed_by_trouble(evidence.queue)
    if isinstance(attempts, Attempts):
        yield from _failing(attempts, evidence)
    yield from _standstill(evidence)


def _closed_by_trouble(queue: Queue | Unknown) -> Lines:
    if isinstance(queue, Unknown):
        if queue.code == UNREACHABLE:
            yield "the database cannot be reached from here, and without it nothing is delivered"
        return
    for closing in queue.stats.gate.reasons:
        if closing.reason in OUTAGES:
            yield f"the gate is closed: {closing.reason}" + (f" ({closing.note})" if closing.note else "")


def _failing(attempts: Attempts, evidence: Evidence) -> Lines:
    rate, page, credentials = attempts.rate, evidence.status_page, evidence.credentials
    if rate is not None and rate >= OUTAGE_RATE:
        yield f"{_rate_text(attempts)} (from {percent(OUTAGE_RATE)} on nothing gets through)"
    elif rate is not None and rate > ERROR_RATE and isinstance(page, StatusPage) and _is_out(page):
        yield f"{_rate_text(attempts)}, and the status page says: {page_text(page)}"
    silent = isinstance(credentials, Credentials) and credentials.verdict == "trouble"
    if silent and attempts.tally.failed and not attempts.delivered:
        detail = credentials.detail if isinstance(credentials, Credentials) else ""
        yield f"none of {attempts.tally.total} attempts in 5 min got through, nor did our own question: {detail}"


def _standstill(evidence: Evidence) -> Lines:
    """A gate that an operator closed stops everything on purpose."""
    queue, attempts = evidence.queue, evidence.attempts
    if isinstance(queue, Unknown) or isinstance(attempts, Unknown) or queue.oldest_due < OVERDUE or attempts.delivered:
        return
    if queue.stats.gate.open:
        working = f"workers alive: {queue.workers}"
        yield f"jobs have been due for {age(queue.oldest_due)} and nothing was delivered in 5 min: {working}"


def _is_out(page: StatusPage) -> bool:
    return page.indicator in OUT or page.status_of(COLLECTION) == "major_outage"


# --- P2, P3, P4 -------------------------------------------------------------------------------------------------------


def _error_rate(evidence: Evidence) -> Lines:
    attempts = evidence.attempts
    if isinstance(attempts, Attempts) and attempts.rate is not None and attempts.rate > ERROR_RATE:
        yield f"{_rate_text(attempts)} (limit {percent(ERROR_RATE)})"


def _delivery(evidence: Evidence) -> Lines:
    mail = evidence.mail
    if isinstance(mail, Unknown):
        return
    if mail.bounce_rate is not None and mail.bounce_rate > BOUNCE_RATE:
        told = f"{percent(mail.bounce_rate)} of {mail.sent} e-mails bounced in 24 h"
        yield f"{told} (limit {percent(BOUNCE_RATE)})"
    if mail.complaint_rate is not None and mail.complaint_rate > COMPLAINT_RATE:
        told = f"{percent(mail.complaint_rate)} of {mail.delivered} e-mails were called spam in 24 h"
        yield f"{told} (limit {percent(COMPLAINT_RATE)})"


def _webhooks(evidence: Evidence) -> Lines:
    webhooks = evidence.webhooks
    if isinstance(webhooks, Unknown) or not webhooks.configured:
        return
    if webhooks.refuses_all and webhooks.last_refused_at is not None:
        ago = age(webhooks.taken_at - webhooks.last_refused_at)
        yield f"webhooks are refused, the last {ago} ago, and none was taken since: is the secret right?"
    elif webhooks.silence is None:
        began = webhooks.first_delivery_at
        if began is not None and webhooks.taken_at - began > NEVER_AFTER:
            yield f"no webhook has ever come in, {age(webhooks.taken_at - began)} after the first delivery"
    elif webhooks.silence > STALE_AFTER and webhooks.delivered_lately:
        yield f"no webhook has come in for {age(webhooks.silence)}, though deliveries go on"


RULES: Final[Mapping[Level, Callable[[Evidence], Lines]]] = {
    Level.P1: _outage,
    Level.P2: _error_rate,
    Level.P3: _delivery,
    Level.P4: _webhooks,
}


# --- what else is to be said ------------------------------------------------------------------------------------------


def _details(evidence: Evidence) -> Lines:
    """Yield what the failures have in common, and what was changed lately."""
    attempts, deployments = evidence.attempts, evidence.deployments
    if isinstance(attempts, Attempts) and attempts.tally.failed:
        counts = [f"{count} of {attempts.tally.failed} failures are {status}" for status, count in _most(attempts)]
        yield from counts
    if not isinstance(deployments, Unknown):
        for release in deployments.recent:
            yield f"release {release.name} was started {age(deployments.taken_at - release.first_started_at)} ago"


def _most(attempts: Attempts) -> list[tuple[str, int]]:
    """Return the commonest kind of failure, if it is most of them."""
    ordered = sorted(attempts.by_status.items(), key=lambda item: -item[1])[:1]
    return [(status, count) for status, count in ordered if 2 * count > attempts.tally.failed]


def _since(evidence: Evidence, level: Level) -> datetime | None:
    times: list[datetime] = []
    if level is Level.P1 and isinstance(evidence.queue, Queue):
        times += [one.closed_at for one in evidence.queue.stats.gate.reasons if one.reason in OUTAGES]
    if level is Level.P1 and any(_standstill(evidence)):
        times += _due_since(evidence)
    if level in {Level.P1, Level.P2} and isinstance(evidence.attempts, Attempts) and evidence.attempts.since:
        times.append(evidence.attempts.since)
    if level is Level.P4 and isinstance(evidence.webhooks, Webhooks) and evidence.webhooks.last_received_at:
        times.append(evidence.webhooks.last_received_at)
    return min(times, default=None)


def _due_since(evidence: Evidence) -> Iterator[datetime]:
    """Yield since when the first of the jobs that nobody takes could have run."""
    if isinstance(evidence.queue, Queue) and isinstance(evidence.attempts, Attempts):
        yield evidence.attempts.taken_at - evidence.queue.oldest_due


def _against(evidence: Evidence, level: Level) -> dict[Level, str]:
    """Return what speaks against the next worse level; without an incident, against each of them."""
    worse = [one for one in reversed(Level) if one.reaches(level) and one is not level]
    told = worse if level is Level.NONE else worse[:1]
    return {one: ", ".join(AGAINST[one](evidence)) for one in told}


def _against_outage(evidence: Evidence) -> Lines:
    queue, page = evidence.queue, evidence.status_page
    yield _known(queue, "gate", lambda: gate_text(queue))
    yield from _against_error_rate(evidence, with_limit=False)
    credentials = evidence.credentials
    if isinstance(credentials, Credentials):
        yield {
            "not_set": "no credentials are set (mock mode)",
            "trouble": f"our own question: {credentials.detail}",
        }.get(credentials.verdict, f"credentials {credentials.verdict}")
    else:
        yield f"credentials unknown ({credentials.detail})"
    yield _known(page, "status page", lambda: f"status page: {page_text(page)}")


def _against_error_rate(evidence: Evidence, *, with_limit: bool = True) -> Lines:
    attempts = evidence.attempts
    if isinstance(attempts, Unknown):
        yield f"error rate unknown ({attempts.detail})"
    elif attempts.rate is None:
        yield f"{attempts.tally.failed} of {attempts.tally.total} attempts failed in 5 min, {FEWEST_ATTEMPTS} make a rate"
    elif with_limit:
        yield f"{_rate_text(attempts)} (limit {percent(ERROR_RATE)})"
    else:
        yield f"{attempts.delivered} of {attempts.tally.total} attempts got through"


def _against_delivery(evidence: Evidence) -> Lines:
    mail = evidence.mail
    if isinstance(mail, Unknown):
        yield f"bounces and complaints unknown ({mail.detail})"
    elif mail.sent < FEWEST_MAILS:
        yield f"{mail.sent} e-mails reported in 24 h, {FEWEST_MAILS} make a rate"
    else:
        yield f"{mail.bounced} bounces and {mail.complaints} complaints of {mail.sent} e-mails in 24 h"


def _against_webhooks(evidence: Evidence) -> Lines:
    webhooks = evidence.webhooks
    if isinstance(webhooks, Unknown):
        yield f"webhooks unknown ({webhooks.detail})"
    elif not webhooks.configured:
        yield "CUSTOMERIO_WEBHOOK_SECRET is not set, so none are expected"
    elif webhooks.silence is None:
        yield "no webhook ever came in, and none was due yet"
    else:
        yield f"the last webhook came in {age(webhooks.silence)} ago"


AGAINST: Final[Mapping[Level, Callable[[Evidence], Lines]]] = {
    Level.P1: _against_outage,
    Level.P2: _against_error_rate,
    Level.P3: _against_delivery,
    Level.P4: _against_webhooks,
}


# --- words ------------------------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """Return a share as people read it: `7.4 %`, `0.15 %`, `5 %`."""
    digits = 2 if share < 0.01 else 1  # noqa: PLR2004 - one percent
    return f"{share * 100:.{digits}f}".rstrip("0").rstrip(".") + " %"


def page_text(page: StatusPage | Unknown) -> str:
    """Return what the status page says, in a few words."""
    if isinstance(page, Unknown):
        return f"unknown ({page.detail})"
    if page.operational:
        return "operational"
    parts = [f"{part.name} {part.status.replace('_', ' ')}" for part in page.degraded]
    return ", ".join([page.description or page.indicator.value, *parts])


def gate_text(queue: Queue | Unknown) -> str:
    """Return how the gate is, in a few words."""
    if isinstance(queue, Unknown):
        return f"gate unknown ({queue.detail})"
    closed = ", ".join(closing.reason for closing in queue.stats.gate.reasons)
    return f"gate closed by {closed}" if closed else "gate open"


def _rate_text(attempts: Attempts) -> str:
    rate = attempts.rate or 0
    return f"{percent(rate)} of {attempts.tally.total} attempts failed in 5 min"


def _known(part: Any, name: str, text: Callable[[], str]) -> str:
    return f"{name} unknown ({part.detail})" if isinstance(part, Unknown) else text()
