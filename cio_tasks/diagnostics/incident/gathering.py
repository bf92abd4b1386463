"""Gathering the evidence: everybody is asked side by side, each within a time, and whoever is silent is noted as such.

It reads, and nothing else. Of an error only the class is told, since its text may hold an address or a value.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cio_tasks.customerio import status_page
from cio_tasks.customerio.status_page import StatusPage
from cio_tasks.db import Sessions
from cio_tasks.diagnostics.bounded import start
from cio_tasks.diagnostics.credentials import CredentialsReport, check_credentials
from cio_tasks.diagnostics.incident import stored
from cio_tasks.diagnostics.incident.evidence import (
    NOT_SET,
    TIMED_OUT,
    UNREACHABLE,
    Credentials,
    Evidence,
    Unknown,
)
from cio_tasks.findings import Finding
from cio_tasks.outcomes import CREDENTIALS_AT_FAULT, Delivered, Outcome, Rejected
from cio_tasks.settings import Settings

EACH: Final = timedelta(seconds=4)
"""What one question may take. Whoever looks into an incident is in a hurry, and unknown is an answer too."""
QUESTIONS: Final = 3
"""How many of them the longest part asks in a row: refused credentials are tried in the other region and swapped."""
NOT_CUSTOMERIO: Final = "not_customerio"
OF_CREDENTIALS: Final = frozenset(
    {NOT_CUSTOMERIO, "region_mismatch", "redirected", "wrong_region", "credentials_swapped", "credentials_rejected"}
)
"""The findings that deliveries depend on; those of the App API do not stop any."""
REFUSALS: Final = CREDENTIALS_AT_FAULT | {"http_403"}
CANCELLED: Final = "57014"
"""SQLSTATE of a statement that took longer than it may."""

Verdict = Literal["accepted", "refused", "trouble", "not_set"]
Read = Callable[[Session], Any]
T = TypeVar("T")


def gather(settings: Settings, sessions: Sessions | None, *, each: timedelta = EACH) -> Evidence:
    """Return the evidence, within about three times `each`. Raises nothing for what is away or broken.

    `sessions` None means that no database is named.
    """
    until = time.monotonic() + each.total_seconds() * QUESTIONS
    page = start(partial(status_page.read, settings, total=each), name="status page")
    answer = start(partial(_ask, settings, each), name="credentials")
    rows = _begin_reading(settings, sessions, each)
    parts = {name: _wait(future, until) for name, future in rows.items()}
    return Evidence(status_page=_read_page(_wait(page, until)), credentials=_judge(_wait(answer, until)), **parts)


def _wait(future: Future[Any], until: float) -> Any:
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return Unknown(TIMED_OUT, "not answered in time")
    except Exception as error:  # noqa: BLE001 - one part that breaks must not take the others along
        return Unknown("failed", type(error).__name__)


# --- the outside ------------------------------------------------------------------------------------------------------


def _read_page(page: StatusPage | Unknown) -> StatusPage | Unknown:
    if isinstance(page, Unknown) or page.known:
        return page
    return Unknown(page.failure.code if page.failure else "unreadable", page.description)


def _ask(settings: Settings, each: timedelta) -> CredentialsReport | None:
    """Ask Customer.io about the credentials, or nobody in mock mode."""
    return None if settings.mock else check_credentials(settings, timeout=each)


def _judge(report: CredentialsReport | Unknown | None) -> Credentials | Unknown:
    if report is None:
        message = "CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are not both set: mock mode, nothing is sent"
        return Credentials("not_set", message, "set both; who is asked: ciosync config show --origin")
    if isinstance(report, Unknown):
        return report
    exchange, reply = report.exchange, report.exchange.reply
    status = reply.status if reply else None
    said = f"{exchange.call.method} {exchange.call.path} → {status or (reply.failure if reply else 'not sent')}"
    worst = next((finding for finding in report.findings if finding.code in OF_CREDENTIALS), None)
    said += f": {worst.message}" if worst else ""
    verdict, what_next = _verdict_of(exchange.outcome, worst)
    return Credentials(verdict, said, what_next, status is not None, None if reply is None else reply.elapsed)


def _verdict_of(outcome: Outcome | None, worst: Finding | None) -> tuple[Verdict, str]:
    match outcome:
        case Delivered() if worst is None or worst.code != NOT_CUSTOMERIO:
            return "accepted", worst.next if worst else ""
        case Rejected(code=code) if code in REFUSALS:
            return "refused", worst.next if worst else "which mistake it is: ciosync debug auth"
    return "trouble", worst.next if worst else "where it fails: ciosync network --host track"


# --- our own rows -----------------------------------------------------------------------------------------------------


def _begin_reading(settings: Settings, sessions: Sessions | None, each: timedelta) -> dict[str, Future[Any]]:
    """Begin to read the parts one after the other, in one thread: they share a database, and so its trouble."""
    parts: dict[str, Read] = {
        "queue": partial(stored.read_queue, settings=settings),
        "attempts": stored.read_attempts,
        "letters": stored.read_letters,
        "deployments": stored.read_deployments,
        "mail": stored.read_mail,
        "webhooks": partial(stored.read_webhooks, settings=settings),
    }
    futures: dict[str, Future[Any]] = {name: Future() for name in parts}
    if sessions is None:
        for future in futures.values():
            future.set_result(Unknown(NOT_SET, "DATABASE_URL is not set"))
    else:
        start(partial(_read_all, sessions, parts, futures, each), name="rows")
    return futures


def _read_all(
    sessions: Sessions, parts: Mapping[str, Read], futures: Mapping[str, Future[Any]], each: timedelta
) -> None:
    lost: Unknown | None = None
    for name, read in parts.items():
        found = lost or read_within(sessions, read, each)
        if isinstance(found, Unknown) and found.code == UNREACHABLE:
            lost = found
        futures[name].set_result(found)


def read_within(sessions: Sessions, read: Callable[[Session], T], each: timedelta) -> T | Unknown:
    """Return what `read` returns for a session whose statements end within `each`, or why it could not be read."""
    try:
        with sessions() as session:
            milliseconds = str(round(each.total_seconds() * 1000))
            session.execute(select(func.set_config("statement_timeout", milliseconds, True)))
            return read(session)
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) == CANCELLED:
            return Unknown(TIMED_OUT, "the database did not answer in time")
        return Unknown(UNREACHABLE, "the database cannot be reached, or refuses us")
    except (InterfaceError, PoolTimeout):
        return Unknown(UNREACHABLE, "the database cannot be reached, or refuses us")
    except ProgrammingError:
        return Unknown("schema", "the database does not have the tables of this release: ciosync db check")
    except Exception as error:  # noqa: BLE001 - as above
        return Unknown("failed", type(error).__name__)
