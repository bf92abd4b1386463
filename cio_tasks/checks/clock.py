"""The clocks: webhooks are judged by the database's, people read this host's, and Customer.io signs by its own."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cio_tasks.checks.account import Account
from cio_tasks.checks.database import Server
from cio_tasks.checks.readings import Trouble
from cio_tasks.checks.report import Check, passed, skipped, warned

TOLERATED: Final = timedelta(seconds=60)
"""A fifth of the five minutes after which a webhook is stale."""
SET_IT: Final = "let NTP set the clock: timedatectl"


def judge(server: Server | Trouble, account: Account | Trouble | None) -> Iterator[Check]:
    """Yield how far this host and Customer.io are from the database, or from each other where that is not known."""
    if isinstance(server, Trouble):
        yield server.as_check("clock.database", "this host against the database is")
    else:
        yield _compare("clock.database", "this host", -server.ahead, "the database")
    theirs = account.ahead if isinstance(account, Account) else None
    if theirs is None:
        yield skipped("clock.customerio", "Customer.io's clock is not known")
    elif isinstance(server, Trouble):
        yield _compare("clock.customerio", "this host", -theirs, "Customer.io")
    else:
        yield _compare("clock.customerio", "the database", server.ahead - theirs, "Customer.io")


def _compare(id_: str, whose: str, ahead: timedelta, other: str) -> Check:
    seconds = abs(ahead.total_seconds())
    if timedelta(seconds=seconds) <= TOLERATED:
        return passed(id_, f"{whose} and {other} agree to {max(seconds, 0.1):.1f} s")
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    message = f"{whose} is {seconds:.0f} s {direction} {other}: webhooks may be taken for stale"
    return warned(id_, message, SET_IT)
