"""The rules of severity, each at its limit, on evidence made for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cio_tasks.customerio.status_page import Component, Indicator, StatusPage
from cio_tasks.diagnostics.incident.evidence import (
    Attempts,
    Credentials,
    Deployments,
    Evidence,
    Letters,
    Mail,
    Queue,
    Release,
    Tally,
    Unknown,
    Webhooks,
)
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.picture import spark
from cio_tasks.diagnostics.incident.severity import judge, percent
from cio_tasks.gate import Reason
from cio_tasks.stats import Closing, GateState, Stats

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AWAY = Unknown("timeout", "not answered in time")
MAJOR = StatusPage(Indicator.MAJOR, "Partial System Outage")


def attempts(total: int, failed: int, **rest: Any) -> Attempts:
    return Attempts(NOW, Tally(total, failed), **rest)


def queue(*closed: Reason, oldest_due: timedelta = timedelta(0), workers: int = 1) -> Queue:
    reasons = tuple(Closing(reason, NOW - HOUR, None, "a note", None) for reason in closed)
    stats = Stats(0, 0, 0, 0, 0, 0, None, {}, GateState(not closed, reasons))
    return Queue(stats, oldest_due, workers, 0)


def webhooks(**facts: Any) -> Webhooks:
    return Webhooks(NOW, **{"configured": True, "last_received_at": NOW - MINUTE, **facts})


WELL = Evidence(
    status_page=StatusPage(Indicator.NONE, "All Systems Operational"),
    credentials=Credentials("accepted", "GET … → 200", "", answered=True),
    attempts=attempts(100, 0),
    queue=queue(),
    letters=Letters({}),
    mail=Mail({"sent": 1000, "delivered": 1000}),
    webhooks=webhooks(),
    deployments=Deployments(NOW, ()),
)
NO_ANSWER = Credentials("trouble", "GET … → timeout", "")


def level(**parts: Any) -> Level:
    return judge(replace(WELL, **parts)).level


def test_all_well_is_no_incident() -> None:
    assert judge(WELL).level is Level.NONE
    assert judge(WELL).unknown == ()


@pytest.mark.parametrize(
    "parts",
    [
        {"credentials": Credentials("refused", "401", "", answered=True)},
        {"queue": queue(Reason.OUTAGE)},
        {"queue": queue(Reason.AUTH)},
        {"queue": Unknown("unreachable", "the database cannot be reached")},
        {"attempts": attempts(100, 95)},
        {"attempts": attempts(100, 6), "status_page": MAJOR},
        {"attempts": attempts(100, 6), "status_page": replace(MAJOR, indicator=Indicator.CRITICAL)},
        {"attempts": attempts(3, 3), "credentials": NO_ANSWER},
        {"attempts": attempts(0, 0), "queue": queue(oldest_due=10 * MINUTE, workers=0)},
        {"attempts": attempts(5, 5), "queue": queue(oldest_due=10 * MINUTE)},
    ],
)
def test_nothing_that_gets_through_is_p1(parts: dict[str, Any]) -> None:
    assert level(**parts) is Level.P1


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"attempts": attempts(100, 94)}, Level.P2),
        ({"attempts": attempts(100, 6)}, Level.P2),
        ({"attempts": attempts(100, 5)}, Level.NONE),
        ({"attempts": attempts(19, 19)}, Level.NONE),
        ({"attempts": attempts(20, 2)}, Level.P2),
        ({"attempts": attempts(100, 5), "status_page": MAJOR}, Level.NONE),
        ({"attempts": attempts(100, 6), "status_page": replace(MAJOR, indicator=Indicator.MINOR)}, Level.P2),
        ({"credentials": NO_ANSWER, "attempts": attempts(3, 2)}, Level.NONE),
        ({"credentials": NO_ANSWER, "attempts": attempts(0, 0)}, Level.NONE),
        ({"queue": queue(Reason.RATE_LIMIT)}, Level.NONE),
        ({"queue": queue(Reason.OPERATOR, oldest_due=HOUR), "attempts": attempts(0, 0)}, Level.NONE),
        ({"queue": queue(oldest_due=10 * MINUTE - timedelta(seconds=1)), "attempts": attempts(0, 0)}, Level.NONE),
        ({"queue": queue(oldest_due=HOUR), "attempts": attempts(100, 0)}, Level.NONE),
        ({"mail": Mail({"sent": 100, "bounced": 6})}, Level.P3),
        ({"mail": Mail({"sent": 100, "bounced": 5})}, Level.NONE),
        ({"mail": Mail({"sent": 49, "bounced": 49})}, Level.NONE),
        ({"mail": Mail({"delivered": 45, "bounced": 5})}, Level.P3),
        ({"mail": Mail({"delivered": 1000, "spammed": 2})}, Level.P3),
        ({"mail": Mail({"delivered": 2000, "spammed": 2})}, Level.NONE),
        ({"mail": Mail({"delivered": 100, "spammed": 1})}, Level.NONE),
        ({"mail": Mail({"sent": 100, "spammed": 2})}, Level.P3),
        ({"webhooks": webhooks(last_received_at=None, first_delivery_at=NOW - 61 * MINUTE)}, Level.P4),
        ({"webhooks": webhooks(last_received_at=None, first_delivery_at=NOW - 59 * MINUTE)}, Level.NONE),
        ({"webhooks": webhooks(last_received_at=None)}, Level.NONE),
        ({"webhooks": webhooks(last_received_at=NOW - 25 * HOUR, delivered_lately=True)}, Level.P4),
        ({"webhooks": webhooks(last_received_at=NOW - 23 * HOUR, delivered_lately=True)}, Level.NONE),
        ({"webhooks": webhooks(last_received_at=NOW - 25 * HOUR)}, Level.NONE),
        ({"webhooks": webhooks(last_refused_at=NOW)}, Level.P4),
        ({"webhooks": webhooks(last_refused_at=NOW - HOUR)}, Level.NONE),
        ({"webhooks": webhooks(last_refused_at=NOW, configured=False)}, Level.NONE),
    ],
)
def test_limits_of_the_rules(parts: dict[str, Any], expected: Level) -> None:
    assert level(**parts) is expected


def test_worst_rule_that_is_met_decides() -> None:
    bad = {"mail": Mail({"sent": 100, "bounced": 50}), "webhooks": webhooks(last_refused_at=NOW)}
    assert level(**bad) is Level.P3
    assert level(**bad, attempts=attempts(100, 6)) is Level.P2
    assert level(**bad, attempts=attempts(100, 6), queue=queue(Reason.AUTH)) is Level.P1


def test_whatever_is_unknown_meets_no_rule_and_is_named() -> None:
    verdict = judge(Evidence(AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY))

    assert verdict.level is Level.NONE
    assert verdict.reasons[1].startswith("not known: status page, credentials, gate and queue, error rate")
    for word in ("operational", "gate open", "accepted"):
        assert word not in (verdict.why_not_worse or "")


def test_outage_has_no_worse_level_and_p2_says_what_still_works() -> None:
    assert judge(replace(WELL, attempts=attempts(100, 99))).why_not_worse is None
    verdict = judge(replace(WELL, attempts=attempts(100, 6), status_page=AWAY))
    expected = "not P1: gate open, 94 of 100 attempts got through, credentials accepted, status page unknown"
    assert verdict.why_not_worse == f"{expected} (not answered in time)"


def test_reasons_name_the_commonest_failure_and_a_new_release() -> None:
    release = Release("2026-02", 2, NOW - 12 * MINUTE, NOW - MINUTE)
    found = attempts(100, 10, by_status={"429": 9, "503": 1})
    verdict = judge(replace(WELL, attempts=found, deployments=Deployments(NOW, (release,))))

    assert verdict.reasons[1:] == ("9 of 10 failures are 429", "release 2026-02 was started 12 min ago")


def test_standstill_began_when_the_oldest_job_became_due() -> None:
    still = replace(WELL, attempts=attempts(0, 0), queue=queue(oldest_due=HOUR, workers=0))

    assert judge(still).since == NOW - HOUR
    assert judge(replace(still, queue=queue(Reason.OUTAGE, oldest_due=2 * HOUR))).since == NOW - HOUR, "it was closed"


def test_since_is_where_the_bad_minutes_began() -> None:
    bad, good, none = Tally(10, 5), Tally(10, 0), Tally()
    found = attempts(100, 15, minutes=(bad, good, bad, none, bad))

    assert found.since == NOW - 3 * MINUTE
    assert judge(replace(WELL, attempts=found)).since == NOW - 3 * MINUTE
    assert attempts(100, 15, minutes=(good, none, bad)).since == NOW - MINUTE
    assert attempts(100, 15, minutes=(bad, good)).since is None


def test_outage_began_when_the_gate_was_closed() -> None:
    assert judge(replace(WELL, queue=queue(Reason.OUTAGE))).since == NOW - HOUR


def test_degraded_part_is_named_though_the_page_as_a_whole_is_fine() -> None:
    page = StatusPage(Indicator.NONE, "", (Component("Data Processing", "degraded_performance"),))

    assert "status page: none, Data Processing degraded performance" in (
        judge(replace(WELL, status_page=page)).why_not_worse or ""
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.074, "7.4 %"), (0.05, "5 %"), (0.001, "0.1 %"), (0.0015, "0.15 %"), (1, "100 %"), (0, "0 %")]
)
def test_shares_are_told_as_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("values", "picture"),
    [([], ""), ([None, None], "··"), ([0, 0], "▁▁"), ([0, 0.5, 1, None], "▁▅█·"), ([3], "█")],
)
def test_highest_value_is_full_and_no_value_is_a_dot(values: list[float | None], picture: str) -> None:
    assert spark(values) == picture
