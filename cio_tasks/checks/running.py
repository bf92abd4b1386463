"""All checks at once: the readings begin side by side, and are judged when they are there or their time is over."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from cio_tasks.checks import account, broker, clock, configuration, database, work, workers
from cio_tasks.checks.ping import ping
from cio_tasks.checks.readings import Asking
from cio_tasks.checks.report import Check, Group, Report
from cio_tasks.redaction import redact
from cio_tasks.settings import Settings

TIMEOUT: Final = timedelta(seconds=3)
LONGEST: Final = 1_000
"""Characters of a message: what production would refuse is told at once."""

Judge = Callable[[], Iterable[Check]]


def run_checks(settings: Settings, *, only: Iterable[Group] = Group, timeout: timedelta = TIMEOUT) -> Report:
    """Look at these groups and return what was found, in the order of the groups.

    Whatever is down or hangs, this ends soon after `timeout`, raises nothing for it, and writes nothing.
    """
    groups = frozenset(only)
    asking = Asking(settings, groups, timeout)
    judges = [BEGIN[group](asking) for group in Group if group in groups]
    return Report(tuple(_clean(check, settings) for judge in judges for check in judge()))


def _clean(check: Check, settings: Settings) -> Check:
    """Return the check without anything secret, also in what others wrote, such as the note of a closed gate."""

    def clean(text: str) -> str:
        return redact(text, *settings.secrets, limit=LONGEST)

    return replace(check, message=clean(check.message), fix=check.fix and clean(check.fix))


# --- each group begins its readings, and returns how they are judged ----------------------------------------------------


def _config(asking: Asking) -> Judge:
    return lambda: configuration.judge(asking.settings)


def _database(asking: Asking) -> Judge:
    server = asking(Group.DATABASE, database.read_server)
    return lambda: database.judge(server.get())


def _redis(asking: Asking) -> Judge:
    found = asking(Group.REDIS, broker.read_broker)
    return lambda: broker.judge(found.get(), wake_window=asking.settings.wake_window)


def _celery(asking: Asking) -> Judge:
    found = asking(Group.DATABASE, workers.read_heartbeats)
    answers = asking(Group.REDIS, partial(ping, found=found))

    def judge() -> Iterator[Check]:
        yield from workers.judge_workers(found.get())
        yield workers.judge_answers(answers.get(), found.get())

    return judge


def _beat(asking: Asking) -> Judge:
    found = asking(Group.DATABASE, workers.read_heartbeats)
    return lambda: workers.judge_beat(found.get(), asking.settings)


def _queue(asking: Asking) -> Judge:
    found = asking(Group.DATABASE, work.read_work)
    return lambda: work.judge_queue(found.get(), asking.settings)


def _gate(asking: Asking) -> Judge:
    found = asking(Group.DATABASE, work.read_work)
    return lambda: work.judge_gate(found.get())


def _customerio(asking: Asking) -> Judge:
    track = asking(Group.CUSTOMERIO, account.read_account)
    app = asking(Group.CUSTOMERIO, account.read_app_key)
    page = asking(Group.CUSTOMERIO, account.read_status_page)
    rate = asking(Group.REDIS, account.read_rate)

    def judge() -> Iterator[Check]:
        yield from account.judge_credentials(track.get())
        yield account.judge_app_key(app.get())
        yield account.judge_status_page(page.get())
        yield account.judge_rate(rate.get())

    return judge


def _webhook(asking: Asking) -> Judge:
    return lambda: configuration.judge_webhook(asking.settings)


def _clock(asking: Asking) -> Judge:
    server = asking(Group.DATABASE, database.read_server)
    track = asking(Group.CUSTOMERIO, account.read_account)
    return lambda: clock.judge(server.get(), track.get())


BEGIN: Final[dict[Group, Callable[[Asking], Judge]]] = {
    Group.CONFIG: _config,
    Group.DATABASE: _database,
    Group.REDIS: _redis,
    Group.CELERY: _celery,
    Group.BEAT: _beat,
    Group.QUEUE: _queue,
    Group.GATE: _gate,
    Group.CUSTOMERIO: _customerio,
    Group.WEBHOOK: _webhook,
    Group.CLOCK: _clock,
}
