"""The queue of due jobs, and the gate."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, update

from cio_tasks import gate
from cio_tasks.checks import Check, Group, Status
from cio_tasks.checks.work import Work, judge_gate
from cio_tasks.db import Sessions
from cio_tasks.gate import Reason
from cio_tasks.models import Gate
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.stats import Closing, GateState, read_stats
from tests.checking import changed, look
from tests.factories import Factory


def queue(settings: Settings) -> dict[str, Check]:
    return look(settings, Group.QUEUE)


def close(sessions: Sessions, reason: Reason, wait: timedelta | None, note: str = "why") -> None:
    with sessions.begin() as session:
        gate.close(session, reason, wait=wait, note=note, actor="api:ops")


@pytest.fixture
def wait_since(make: Factory) -> Callable[[float], None]:
    """Return what lets a new job be due for so many seconds."""

    def wait(seconds: float) -> None:
        make.set(make.job(make.signup()).id, next_retry_at=func.now() - timedelta(seconds=seconds))

    return wait


def test_an_empty_queue_is_well(settings: Settings) -> None:
    checks = queue(settings)
    assert {check.status for check in checks.values()} == {Status.OK}
    assert checks["queue.age"].message == "0 pending, nothing is due"


@pytest.mark.parametrize(("seconds", "status"), [(58, "ok"), (61, "warn"), (590, "warn"), (601, "fail")])
def test_a_due_job_that_waits_is_worse_the_longer_it_does(
    settings: Settings, wait_since: Callable[[float], None], seconds: float, status: str
) -> None:
    wait_since(seconds)
    check = queue(settings)["queue.age"]
    assert (check.status, check.message.startswith("1 pending, the oldest due for ")) == (status, True)


def test_jobs_wait_on_purpose_while_the_gate_is_closed(
    settings: Settings, wait_since: Callable[[float], None], sessions: Sessions
) -> None:
    wait_since(3600)
    close(sessions, Reason.OPERATOR, None)
    assert queue(settings)["queue.age"].status is Status.SKIP


def test_a_stuck_job_is_a_warning(settings: Settings, make: Factory) -> None:
    job = make.job(make.signup())
    long_ago = func.now() - timedelta(seconds=301)
    make.set(job.id, status="processing", claim_token=1, claimed_by="gone", updated_at=long_ago)
    check = queue(settings)["queue.stuck"]
    assert (check.status, check.fix) == (Status.WARN, "ciosync jobs cleanup")
    assert check.message.startswith("1 job stuck")


@pytest.mark.parametrize(("threshold", "status"), [(2, "ok"), (1, "warn")])
def test_dead_letters_warn_from_the_alert_on(runtime: Runtime, make: Factory, threshold: int, status: str) -> None:
    make.signup("ada+400@example.com")
    process_due(runtime, limit=10)
    check = queue(changed(runtime.settings, alert_threshold=threshold))["queue.dead_letters"]
    assert (check.status, check.message.startswith("1 unresolved dead letter")) == (status, True)
    assert check.fix == (None if status == "ok" else "ciosync failures groups")


def test_an_open_gate_is_well(settings: Settings) -> None:
    assert look(settings, Group.GATE)["gate.open"].status is Status.OK


@pytest.mark.parametrize(
    ("reason", "wait", "told"),
    [
        (Reason.OPERATOR, None, ("warn", "until somebody opens it")),
        (Reason.OPERATOR, timedelta(hours=2), ("warn", "for 2 h more")),
        (Reason.AUTH, timedelta(hours=2), ("fail", "tried in 2 h")),
        (Reason.OUTAGE, timedelta(0), ("fail", "tried with the next job")),
        (Reason.RATE_LIMIT, timedelta(seconds=90), ("warn", "tried in 1 min")),
    ],
)
def test_a_closed_gate_says_who_since_when_until_when_and_why(
    settings: Settings, sessions: Sessions, reason: Reason, wait: timedelta | None, told: tuple[str, str]
) -> None:
    close(sessions, reason, wait, note="a migration")
    with sessions.begin() as session:
        session.execute(update(Gate).values(closed_at=func.now() - timedelta(seconds=65)))
    (check,) = look(settings, Group.GATE).values()
    status, until = told
    assert (check.id, check.status) == (f"gate.{reason}", status)
    assert check.message == f"closed by {reason} (api:ops) for 1 min, {until}: a migration"


def test_each_reason_is_told_with_its_fix(settings: Settings, sessions: Sessions) -> None:
    close(sessions, Reason.AUTH, timedelta(hours=1))
    close(sessions, Reason.OPERATOR, None)
    checks = look(settings, Group.GATE)
    assert checks["gate.operator"].fix == "ciosync gate open"
    assert checks["gate.auth"].fix == "ciosync debug auth; it opens by itself when the credentials work"
    assert "gate.open" not in checks


def test_a_closing_without_note_and_actor_is_told(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    with sessions() as session:
        stats = read_stats(session, stuck_after=timedelta(minutes=5))
    closed = GateState(open=False, reasons=(Closing(Reason.OPERATOR, now, None, None, None),))
    (check,) = judge_gate(Work(replace(stats, gate=closed), now))
    assert check.message == "closed by operator for 0 s, until somebody opens it"
