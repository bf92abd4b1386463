"""What the database says of an incident. Every function reads, in the caller's transaction, and is bounded by time."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Interval, func, literal, or_, select
from sqlalchemy.orm import Session

from cio_tasks import alerts, counters, heartbeats, webhook_events
from cio_tasks.customerio.webhooks import Flag
from cio_tasks.diagnostics.incident.evidence import (
    Attempts,
    Deployments,
    Letters,
    Mail,
    Queue,
    Release,
    Tally,
    Webhooks,
)
from cio_tasks.diagnostics.incident.levels import LATE_LETTERS, MAIL_WINDOW, PICTURED, WEBHOOK_WINDOW, WINDOW
from cio_tasks.models import Counter as CounterRow
from cio_tasks.models import DeadLetter, Heartbeat, SyncAttempt, SyncJob, WebhookEvent
from cio_tasks.outcomes import INITIAL_FAILED
from cio_tasks.settings import Settings
from cio_tasks.stats import read_stats

MINUTE: Final = timedelta(minutes=1)
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
DELIVERED: Final = "delivered"
NO_ANSWER: Final = "no answer"
UNNAMED: Final = "unnamed"
"""The release of workers without `CIO_RELEASE`, and of those whose heartbeat is gone."""
REFUSALS: Final = ("refused_signature", "refused_stale")
ODD: Final = (Flag.UNREADABLE, Flag.UNKNOWN_TYPE, Flag.UNKNOWN_METRIC)


# --- attempts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """How many attempts are alike, in the time that begins at `begin`."""

    begin: datetime
    phase: str
    outcome: str
    error_type: str | None
    error_code: str | None
    http_status: int | None
    release: str
    is_retry: bool
    count: int

    @property
    def tally(self) -> Tally:
        """The same as attempts and failures."""
        return Tally(self.count, 0 if self.outcome == DELIVERED else self.count)

    @property
    def status(self) -> str:
        """The HTTP status, or the word for why there is none."""
        return str(self.http_status or self.error_code or NO_ANSWER)


def reached_out() -> list[ColumnElement[bool]]:
    """Return the conditions for attempts that say something of Customer.io.

    Mocked ones asked nobody, a released one was given back unspent, and what waits for a failed initial phase was not sent.
    """
    code = func.coalesce(SyncAttempt.error_code, "")
    return [SyncAttempt.mock.is_(False), SyncAttempt.outcome != "released", code != INITIAL_FAILED]


def count_attempts(
    session: Session, *, since: datetime, until: datetime, step: timedelta, origin: datetime = EPOCH
) -> list[Count]:
    """Count the attempts that ended between two times, by everything that tells them apart, in steps from `origin`."""
    begin = func.date_bin(literal(step, Interval), SyncAttempt.finished_at, origin)
    release = func.coalesce(Heartbeat.release, UNNAMED)
    kind = (
        begin,
        SyncJob.sync_phase,
        SyncAttempt.outcome,
        SyncAttempt.error_type,
        SyncAttempt.error_code,
        SyncAttempt.http_status,
        release,
        SyncAttempt.retry > 0,
    )
    within = [SyncAttempt.finished_at > since, SyncAttempt.finished_at <= until]
    counted = select(*kind, func.count()).join(SyncJob, SyncJob.id == SyncAttempt.job_id)
    counted = counted.outerjoin(Heartbeat, Heartbeat.process == SyncAttempt.worker)
    return [Count(*row) for row in session.execute(counted.where(*within, *reached_out()).group_by(*kind))]


def read_attempts(session: Session) -> Attempts:
    """Return the attempts of the last five minutes, and by minute those of the last fifteen."""
    now = read_now(session)
    counts = count_attempts(session, since=now - PICTURED, until=now, step=MINUTE, origin=now)
    minutes = [Tally()] * (PICTURED // MINUTE)
    for count in counts:
        place = len(minutes) - max(1, round((now - count.begin) / MINUTE))
        minutes[place] += count.tally
    return _attempts(now, [count for count in counts if now - count.begin <= WINDOW], minutes)


def _attempts(now: datetime, counts: Iterable[Count], minutes: Iterable[Tally]) -> Attempts:
    total, by_type, by_status = Tally(), Counter[str](), Counter[str]()
    by_phase: dict[str, Tally] = defaultdict(Tally)
    by_release: dict[str, Tally] = defaultdict(Tally)
    for count in counts:
        total += count.tally
        by_phase[count.phase] += count.tally
        by_release[count.release] += count.tally
        if count.outcome != DELIVERED:
            by_type[count.error_type or UNNAMED] += count.count
            by_status[count.status] += count.count
    return Attempts(
        now, total, dict(by_type.most_common()), dict(by_status.most_common()), by_phase, by_release, tuple(minutes)
    )


def read_now(session: Session) -> datetime:
    """Return the time of the database: that of this machine may be off."""
    return session.execute(select(func.now())).scalar_one()


# --- queue, dead letters, releases ------------------------------------------------------------------------------------


def read_queue(session: Session, settings: Settings) -> Queue:
    """Return what waits, and who works."""
    oldest = next(watch for watch in alerts.WATCHES if watch.name == "oldest_due").measure(session, settings)
    return Queue(
        read_stats(session, stuck_after=settings.stuck_after),
        timedelta(seconds=oldest.value),
        workers=len(heartbeats.list_alive(session)),
        silent_workers=len(heartbeats.list_silent(session)),
    )


def read_letters(session: Session) -> Letters:
    """Return the kinds of the dead letters of the last hour."""
    lately = select(DeadLetter.error_type, func.count()).where(DeadLetter.created_at > func.now() - LATE_LETTERS)
    kinds = session.execute(lately.group_by(DeadLetter.error_type).order_by(func.count().desc()))
    return Letters({str(kind): count for kind, count in kinds})


def read_deployments(session: Session) -> Deployments:
    """Return the releases of all workers that are known: the living ones, and those that died within a day."""
    name = func.coalesce(Heartbeat.release, UNNAMED)
    alive = func.count().filter(Heartbeat.seen_at > func.now() - heartbeats.SILENT_AFTER)
    began = (func.min(Heartbeat.started_at), func.max(Heartbeat.started_at))
    known = select(name, alive, *began).where(Heartbeat.kind == heartbeats.WORKER).group_by(name)
    rows = session.execute(known.order_by(began[1].desc(), name))
    return Deployments(read_now(session), tuple(Release(*row) for row in rows))


# --- webhooks ---------------------------------------------------------------------------------------------------------


def read_mail(session: Session) -> Mail:
    """Return what was reported of e-mails within the last day."""
    return Mail(webhook_events.count_by_metric(session, window=MAIL_WINDOW, object_type="email"))


def read_webhooks(session: Session, settings: Settings) -> Webhooks:
    """Return what became of webhooks."""
    now = read_now(session)
    odd = or_(*(WebhookEvent.flags.contains([flag.value]) for flag in ODD))
    lately = [WebhookEvent.received_at > now - WEBHOOK_WINDOW]
    stored, strange = session.execute(select(func.count(), func.count().filter(odd)).where(*lately)).one()
    return Webhooks(
        now,
        bool(settings.webhook_secrets),
        webhook_events.find_last_received_at(session),
        stored,
        strange,
        {label: count for (name, label), count in counters.read(session).items() if name == "webhooks"},
        session.scalar(
            select(func.max(CounterRow.updated_at)).where(
                CounterRow.name == "webhooks", CounterRow.label.in_(REFUSALS), CounterRow.value > 0
            )
        ),
        _first_delivery_at(session),
        _is_delivering(session, now - WEBHOOK_WINDOW),
    )


def _first_delivery_at(session: Session) -> datetime | None:
    first = select(SyncAttempt.finished_at).where(SyncAttempt.outcome == DELIVERED, *reached_out())
    return session.scalar(first.order_by(SyncAttempt.finished_at).limit(1))


def _is_delivering(session: Session, since: datetime) -> bool:
    delivered = select(SyncAttempt.id).where(SyncAttempt.outcome == DELIVERED, SyncAttempt.finished_at > since)
    return session.scalar(delivered.where(*reached_out()).limit(1)) is not None
