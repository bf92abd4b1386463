"""A campaign's metrics: how many messages got to which state, period by period, oldest first."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cio_tasks.fake.app_asks import Ask, Refused
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.workspace import Message

EASTERN = "America/New_York"
"""The time zone of the periods when none is asked for (source: AppOAS: EST)."""
NAMES = (
    *("created", "drafted", "attempted", "sent", "delivered", "deferred", "opened", "clicked", "converted"),
    *("bounced", "failed", "spammed", "suppressed", "undeliverable", "unsubscribed", "topic_unsubscribed"),
    *("human_clicked", "human_opened", "prefetch_clicked", "prefetch_opened"),
)
PERIODS = {"hours": "hours", "hourly": "hours", "days": "days", "daily": "days"} | {
    "weeks": "weeks",
    "weekly": "weeks",
    "months": "months",
    "monthly": "months",
}
STEPS = {"hours": 24, "days": 45, "weeks": 12, "months": 12}
"""How many periods there are when nothing says how many (source: AppOAS, version 1)."""
LONGEST = timedelta(days=3653)


def metrics(ask: Ask, found: Iterable[Message]) -> JsonObject:
    """Answer for these messages. Version 2 has `res`, `tz`, `start`, `end`; version 1 `period` and `steps` (AppOAS).

    Raises Refused for what is malformed.
    """
    version = ask.query.get("version", "1")
    if version not in {"1", "2"}:
        raise Refused(400, "version is malformed")
    starts = _starts_v2(ask) if version == "2" else _starts_v1(ask)
    type_ = ask.query.get("type")
    messages = [one for one in found if type_ in {None, one.type}]
    return {"metric": {"series": {name: _series(name, messages, starts) for name in NAMES}}}


def _starts_v1(ask: Ask) -> list[float]:
    period = PERIODS.get(ask.query.get("period", "days"))
    if period is None:
        raise Refused(400, "period is malformed")
    steps = ask.number("steps", STEPS[period], most=STEPS["days"]) or STEPS[period]
    return _back(_zone(EASTERN), period, ask.call.at, steps)


def _starts_v2(ask: Ask) -> list[float]:
    period = PERIODS.get(ask.query.get("res", "days"))
    start, end = ask.number("start"), ask.number("end") or int(ask.call.at)
    if period is None or (start is not None and not start <= end <= start + LONGEST.total_seconds()):
        raise Refused(400, "res, start or end is malformed")
    zone = _zone(ask.query.get("tz", EASTERN))
    if start is None:
        return _back(zone, period, end, STEPS[period])
    starts = [_floor(datetime.fromtimestamp(end, zone), period)]
    while starts[-1].timestamp() > start:
        starts.append(_before(starts[-1], period))
    return [moment.timestamp() for moment in reversed(starts)]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise Refused(400, "tz is malformed") from None


def _back(zone: ZoneInfo, period: str, end: float, steps: int) -> list[float]:
    starts = [_floor(datetime.fromtimestamp(end, zone), period)]
    while len(starts) < steps:
        starts.append(_before(starts[-1], period))
    return [moment.timestamp() for moment in reversed(starts)]


def _floor(moment: datetime, period: str) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    floors = {
        "hours": hour,
        "days": day,
        "weeks": day - timedelta(days=day.weekday()),
        "months": day.replace(day=1),
    }
    return floors[period]


def _before(start: datetime, period: str) -> datetime:
    if period == "months":
        return (start - timedelta(days=1)).replace(day=1)
    return start - timedelta(**{period: 1})


def _series(name: str, messages: Iterable[Message], starts: Sequence[float]) -> list[int]:
    counts = [0] * len(starts)
    for message in messages:
        at = message.created if name == "created" else message.metrics.get(name)
        position = -1 if at is None else bisect_right(starts, at) - 1
        if position >= 0:
            counts[position] += 1
    return counts
