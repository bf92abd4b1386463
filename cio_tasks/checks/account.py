"""Customer.io: whether it takes our credentials, what its status page says, and how much of our own limit is used."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from cio_tasks.checks.readings import Trouble, Unanswered
from cio_tasks.checks.report import Check, failed, passed, skipped, warned
from cio_tasks.checks.spans import brief, many
from cio_tasks.customerio import status_page
from cio_tasks.customerio.app_answers import Failure
from cio_tasks.customerio.app_answers import Trouble as AppTrouble
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.status_page import StatusPage
from cio_tasks.customerio.transport import Reply
from cio_tasks.diagnostics.credentials import CredentialsReport, check_credentials
from cio_tasks.diagnostics.rate_limit import Window, read_window
from cio_tasks.errors import ConfigurationError
from cio_tasks.findings import Severity
from cio_tasks.outcomes import Delivered, ErrorType, RetryLater
from cio_tasks.settings import Settings

MOCK: Final = "mock mode: there are no credentials to check"


@dataclass(frozen=True, slots=True)
class Account:
    """What the Track API answered. `ahead` is Customer.io's clock less this host's, right to about a second."""

    report: CredentialsReport
    ahead: timedelta | None


# --- reading ----------------------------------------------------------------------------------------------------------


def read_account(settings: Settings, timeout: timedelta) -> Account | None:
    """Return what the Track API says of the credentials, or None in mock mode. The App API's key is asked about apart.

    Raises:
        Unanswered: when the address cannot be called.
    """
    if settings.mock:
        return None
    asked_at = datetime.now(UTC)
    try:
        report = check_credentials(settings.model_copy(update={"customerio_app_api_key": None}), timeout=timeout)
    except ConfigurationError as error:
        raise Unanswered(str(error), "ciosync config show --origin") from None
    reply = report.exchange.reply
    return Account(report, None if reply is None else _ahead(reply, asked_at))


def _ahead(reply: Reply, asked_at: datetime) -> timedelta | None:
    """Return how far the sender's clock is ahead, by the header `Date`, which has whole seconds."""
    try:
        sent_at = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return None
    half_a_second = timedelta(seconds=0.5)
    return None if sent_at.tzinfo is None else sent_at + half_a_second - (asked_at + reply.elapsed)


def read_app_key(settings: Settings, timeout: timedelta) -> Failure | int | None:
    """Return how many workspaces the App API's key sees, why it sees none, or None when there is no key.

    One call, which is counted in this process alone: nothing is written to the window that all share.
    """
    if settings.customerio_app_api_key is None:
        return None
    api = AppAPI.from_settings(settings.model_copy(update={"redis_url": None}), total=timeout)
    seen = api.workspaces()
    return seen if isinstance(seen, Failure) else len(seen)


def read_status_page(settings: Settings, timeout: timedelta) -> StatusPage:
    """Return what the status page says."""
    return status_page.read(settings, total=timeout)


def read_rate(settings: Settings, _timeout: timedelta) -> Window:
    """Return how much of our own limit is used."""
    return read_window(settings)


# --- judging ----------------------------------------------------------------------------------------------------------


def judge_credentials(account: Account | Trouble | None) -> Iterator[Check]:
    """Yield whether the Track credentials work (rows I2, Q2), and what is odd about those that do not."""
    match account:
        case None:
            yield skipped("customerio.credentials", MOCK)
        case Trouble():
            yield account.as_check("customerio.credentials", "credentials")
        case Account():
            yield _judge_answer(account.report)
            for finding in account.report.findings:
                if finding.severity is Severity.MEDIUM:
                    yield warned(f"customerio.{finding.code}", finding.message, finding.next)


def _judge_answer(report: CredentialsReport) -> Check:
    for finding in report.findings:
        if finding.severity is Severity.HIGH:
            return failed("customerio.credentials", finding.message, finding.next)
    match report.exchange.outcome:
        case Delivered():
            took = "" if report.exchange.reply is None else f" in {brief(report.exchange.reply.elapsed)}"
            return passed("customerio.credentials", f"Track credentials accepted{took}, the region is {report.region}")
        case RetryLater(error_type=ErrorType.RATE_LIMIT):
            message = "Customer.io answers 429, so the credentials were not checked"
            return warned("customerio.credentials", message, "look again in a while; ciosync gate show")
        case None:
            return failed("customerio.credentials", "the credentials were not checked", "ciosync debug auth")
        case outcome:
            message = f"the credentials could not be checked ({outcome.code})"
            return failed("customerio.credentials", message, "ciosync network --host track; ciosync debug auth")


def judge_app_key(seen: Failure | int | Trouble | None) -> Check:
    """Return whether the App API's key works; deliveries do without it."""
    match seen:
        case None:
            message = "CUSTOMERIO_APP_API_KEY is not set: people, campaigns and suppression cannot be looked up"
            return skipped(
                "customerio.app_key", message, "set CUSTOMERIO_APP_API_KEY for investigate and debug campaign"
            )
        case Trouble():
            return seen.as_check("customerio.app_key", "App API key")
        case Failure(may_pass=True):
            return warned(
                "customerio.app_key", f"the key could not be checked: {seen.detail}", "ciosync network --host app"
            )
        case Failure(trouble=AppTrouble.UNREADABLE):
            what_next = "check CUSTOMERIO_APP_URL, and what stands between: ciosync network --host app"
            return failed("customerio.app_key", seen.detail, what_next)
        case Failure():
            return failed("customerio.app_key", seen.detail, "check the key, its scope, its addresses, and the region")
    return passed("customerio.app_key", f"App API key accepted, it sees {many(seen, 'workspace')}")


def judge_status_page(page: StatusPage | Trouble) -> Check:
    """Return what the status page says (row Q1). That it cannot be read says nothing about Customer.io."""
    if isinstance(page, Trouble):
        return skipped(
            "customerio.status", "the status page gave no answer in time: unknown", "ciosync network --host status"
        )
    if not page.known:
        return skipped("customerio.status", page.description, "ciosync network --host status")
    if page.operational:
        return passed("customerio.status", f"status page: {page.description}")
    parts = ", ".join(f"{one.name} {one.status.replace('_', ' ')}" for one in page.degraded)
    message = f"status page: {page.description} ({page.indicator}){parts and f'; {parts}'}"
    return warned("customerio.status", message, "wait: what cannot be delivered now is kept and tried again")


def judge_rate(window: Window | Trouble) -> Check:
    """Return how much of our own limit is used; a full one is what a flood looks like, and no fault."""
    if isinstance(window, Trouble):
        return skipped("customerio.rate_limit", f"not known: {window.message}")
    if window.used is None:
        return skipped("customerio.rate_limit", f"{window.limit} calls a second; {window.note}")
    return passed("customerio.rate_limit", f"{window.used} of {window.limit} calls used in the last second")
