"""P4, webhooks: do reports get in, can they be read, and does each count once (rows P4.1 to P4.5)."""

from typing import Final, NamedTuple

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from cio_tasks.diagnostics.incident.evidence import Unknown, Webhooks
from cio_tasks.diagnostics.incident.levels import DUPLICATE_SHARE, ODD_SHARE, STALE_AFTER, WEBHOOK_WINDOW
from cio_tasks.diagnostics.incident.severity import percent
from cio_tasks.diagnostics.incident.steps import Case, Result, Step, failed, human, passed, unread
from cio_tasks.diagnostics.telling import age
from cio_tasks.models import WebhookEvent
from cio_tasks.webhook_events import Receipt

REFUSED: Final = "refused_signature"
TRY_IT: Final = "ciosync webhook send --body FILE --to https://YOUR-HOST/api/v1/webhooks/customerio --yes"


def check_secret(case: Case) -> Result:
    """P4.1: whether the secret is set, and is the one that Customer.io signs with."""
    webhooks = case.evidence.webhooks
    held = len(case.settings.webhook_secrets)
    if not held:
        return failed(
            "CUSTOMERIO_WEBHOOK_SECRET is not set here: every webhook is answered 503", "set it where the API runs"
        )
    kept = f"{held} secrets are set (a rotation)" if held > 1 else "the secret is set"
    if isinstance(webhooks, Unknown):
        return human(f"{kept}; what was signed with it is not known: {webhooks.detail}", "ciosync webhook verify")
    refused = f"{webhooks.counters.get(REFUSED, 0)} signatures refused since ever"
    if webhooks.refuses_all:
        what_next = "copy the signing key of the reporting webhook again; which mistake it is: ciosync webhook verify"
        return failed(f"{kept}; {refused}, and none was taken since the last of them", what_next)
    if webhooks.silence is None:
        return human(f"{kept}; nothing was ever signed with it", f"send something signed with it: {TRY_IT}")
    return passed(f"{kept}; the last good signature came {age(webhooks.silence)} ago; {refused}")


def check_endpoint(case: Case) -> Result:
    """P4.2: whether reports reach us."""
    webhooks = case.evidence.webhooks
    if isinstance(webhooks, Unknown):
        return unread(webhooks)
    counted = ", ".join(f"{count} {word}" for word, count in sorted(webhooks.counters.items())) or "none counted"
    if webhooks.silence is None:
        where = "is the endpoint named in Customer.io (Integrations, Reporting Webhooks), and reachable from outside?"
        return human(f"no webhook ever came in ({counted})", f"{where} {TRY_IT}")
    seen = f"the last came {age(webhooks.silence)} ago, {webhooks.stored_lately} within 24 h ({counted})"
    if webhooks.silence > STALE_AFTER:
        return failed(seen, f"is it switched off in Customer.io? is the API reachable? {TRY_IT}")
    return passed(seen)


def check_format(case: Case) -> Result:
    """P4.3: whether what comes in can be read."""
    webhooks = case.evidence.webhooks
    if isinstance(webhooks, Unknown):
        return unread(webhooks)
    if not webhooks.stored_lately:
        return human("none came in within 24 h", TRY_IT)
    share = webhooks.odd_lately / webhooks.stored_lately
    seen = f"{webhooks.odd_lately} of {webhooks.stored_lately} within 24 h are unreadable or of an unknown kind"
    if share > ODD_SHARE:
        return failed(f"{seen} ({percent(share)})", "they are kept as they came; look at one: ciosync webhook verify")
    return passed(seen)


def check_duplicates(case: Case) -> Result:
    """P4.4: how often the same report comes again, which it does when the answer was late."""
    webhooks = case.evidence.webhooks
    if isinstance(webhooks, Unknown):
        return unread(webhooks)
    again, taken = webhooks.counters.get(Receipt.DUPLICATE, 0), _taken(webhooks)
    if not taken:
        return human("none was counted yet", "look again when webhooks have come in")
    seen = f"{again} of {taken} webhooks since ever came more than once; each is stored once"
    if again > DUPLICATE_SHARE * taken:
        return failed(seen, "answers are too slow (4 s are allowed): look at the API and the database behind it")
    return passed(seen)


def _taken(webhooks: Webhooks) -> int:
    return sum(webhooks.counters.get(word, 0) for word in (Receipt.STORED, Receipt.UNREADABLE, Receipt.DUPLICATE))


class Uniqueness(NamedTuple):
    """Whether the database refuses a second row of one event, and how many events have one all the same."""

    refused: bool
    stored: int
    twice: int


def check_idempotency(case: Case) -> Result:
    """P4.5: that each event is stored once, on the data and by the rule that keeps it so."""
    found = case.read(read_uniqueness)
    if isinstance(found, Unknown):
        return unread(found)
    seen = f"{found.stored} webhooks within 24 h, {found.twice} of their event ids stored twice"
    if not found.refused or found.twice:
        rule = "" if found.refused else "; nothing in the database refuses a second one"
        return failed(f"{seen}{rule}", "ciosync db check")
    return passed(f"{seen}; the database refuses a second one")


def read_uniqueness(session: Session) -> Uniqueness:
    """Look at the rule in the catalogue, and at the rows of a day."""
    rule = session.scalar(
        text(
            "SELECT bool_or(i.indisunique AND i.indisvalid) FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = to_regclass('customerio_webhook_events')"
            " AND a.attname = 'event_id' AND i.indnkeyatts = 1 AND i.indpred IS NULL"
        )
    )
    lately = select(WebhookEvent.id, WebhookEvent.event_id)
    lately_rows = lately.where(WebhookEvent.received_at > func.now() - WEBHOOK_WINDOW).subquery()
    other = exists().where(WebhookEvent.event_id == lately_rows.c.event_id, WebhookEvent.id != lately_rows.c.id)
    counted = select(func.count(), func.count().filter(other)).select_from(lately_rows)
    stored, twice = session.execute(counted).one()
    return Uniqueness(bool(rule), stored, twice)


STEPS: Final = (
    Step("P4.1", "Secret", check_secret),
    Step("P4.2", "Endpoint availability", check_endpoint),
    Step("P4.3", "Payload format", check_format),
    Step("P4.4", "Duplicates", check_duplicates),
    Step("P4.5", "Idempotency", check_idempotency),
)
