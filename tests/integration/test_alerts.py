import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from cio_tasks import alerts, gate
from cio_tasks.alerts import watch_alerts
from cio_tasks.db import Sessions
from cio_tasks.gate import Reason
from cio_tasks.models import Alert, DeadLetter
from cio_tasks.runtime import Runtime
from tests.eventually import eventually
from tests.factories import Factory
from tests.integration.receiver import Receiver

THRESHOLD = 3
MINUTE = timedelta(minutes=1)
Bury = Callable[..., None]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def watching(runtime: Runtime, receiver: Receiver) -> Runtime:
    """A runtime that tells the receiver from three dead letters on."""
    changed = {"alert_threshold": THRESHOLD, "alert_url": SecretStr(receiver.url)}
    return replace(runtime, settings=runtime.settings.model_copy(update=changed))


@pytest.fixture
def bury(make: Factory) -> Bury:
    """Makes dead letters that nobody has resolved, an hour old so that they are no growth."""

    def bury(count: int, *, ago: timedelta = timedelta(hours=1)) -> None:
        for _ in range(count):
            job = make.job(make.signup())
            make.set(job.id, status="failed", error_type="other")
            facts = {"error_type": "other", "error_code": "http_400", "error_message": "refused"}
            with make.sessions.begin() as session:
                session.add(
                    DeadLetter(
                        job_id=job.id,
                        signup_id=job.signup_id,
                        sync_phase="initial",
                        attempt_count=0,
                        exhausted_retries=False,
                        created_at=func.now() - ago,
                        **facts,
                    )
                )

    return bury


def resolve_all(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(DeadLetter).values(resolved_at=func.now(), resolution="manual_retry"))


def row_of(sessions: Sessions, name: str = "dead_letters") -> Alert:
    with sessions() as session:
        return session.scalars(select(Alert).where(Alert.name == name)).one()


def let_the_lease_lapse(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(Alert).values(telling_until=func.now() - MINUTE))


@pytest.mark.row("I1")
def test_a_breach_is_told_once_and_its_recovery_once(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    assert watch_alerts(watching) == 0
    bury(THRESHOLD)
    assert [watch_alerts(watching) for _ in range(3)] == [1, 0, 0]
    assert receiver.states("dead_letters") == ["breached"]
    resolve_all(watching.sessions)
    assert [watch_alerts(watching) for _ in range(3)] == [1, 0, 0]
    assert receiver.states("dead_letters") == ["breached", "recovered"]


@pytest.mark.row("I1")
@pytest.mark.parametrize(("letters", "changes"), [(THRESHOLD - 1, 0), (THRESHOLD, 1)])
def test_the_threshold_itself_is_a_breach(watching: Runtime, bury: Bury, letters: int, changes: int) -> None:
    bury(letters)
    assert watch_alerts(watching) == changes


def test_the_receiver_gets_what_happened(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    bury(THRESHOLD + 1)
    watch_alerts(watching)
    resolve_all(watching.sessions)
    watch_alerts(watching)
    breach, recovery = receiver.taken
    assert (breach["alert"], breach["state"], breach["value"], breach["threshold"]) == (
        "dead_letters",
        "breached",
        4,
        3,
    )
    assert (recovery["value"], recovery["threshold"], recovery["note"]) == (0, 3, None)
    assert breach["since"] == breach["at"] == recovery["since"]
    assert datetime.fromisoformat(recovery["at"]) > datetime.fromisoformat(breach["at"])
    assert receiver.asked == ["/hooks/SECRETCANARY?key=SECRETCANARY"] * 2


@pytest.mark.row("I1")
def test_many_new_dead_letters_are_a_breach_though_they_are_resolved(
    watching: Runtime, receiver: Receiver, bury: Bury
) -> None:
    bury(THRESHOLD, ago=timedelta(minutes=9))
    resolve_all(watching.sessions)
    watch_alerts(watching)
    assert [body["alert"] for body in receiver.taken] == ["dead_letter_growth"]
    with watching.sessions.begin() as session:
        session.execute(update(DeadLetter).values(created_at=func.now() - 11 * MINUTE))
    watch_alerts(watching)
    assert receiver.states("dead_letter_growth") == ["breached", "recovered"]


@pytest.mark.row("I1")
@pytest.mark.parametrize(("minutes", "states"), [(9, []), (11, ["breached"])])
def test_a_job_that_is_due_for_ten_minutes_is_a_breach(
    watching: Runtime, receiver: Receiver, make: Factory, minutes: int, states: list[str]
) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() - minutes * MINUTE)
    watch_alerts(watching)
    assert receiver.states("oldest_due") == states


def test_the_minutes_until_a_due_job_is_a_breach_are_scaled(
    watching: Runtime, receiver: Receiver, make: Factory
) -> None:
    fast = replace(watching, settings=watching.settings.model_copy(update={"time_scale": 0.1}))
    make.set(make.job(make.signup()).id, next_retry_at=func.now() - 2 * MINUTE)
    watch_alerts(fast)
    [body] = receiver.taken
    assert (body["alert"], body["threshold"]) == ("oldest_due", 60)
    assert 120 <= body["value"] < 180


def test_a_closed_gate_is_in_the_note_of_what_is_due(watching: Runtime, receiver: Receiver, make: Factory) -> None:
    make.set(make.job(make.signup()).id, next_retry_at=func.now() - 20 * MINUTE)
    with watching.sessions.begin() as session:
        gate.close(session, Reason.OPERATOR, wait=None, note="maintenance of SECRETCANARY")
    watch_alerts(watching)
    assert receiver.taken[0]["note"] == "nothing is delivered while the gate is closed: operator"


def test_an_enriched_job_behind_its_initial_one_is_not_due(watching: Runtime, make: Factory) -> None:
    signup = make.signup()
    make.set(make.job(signup).id, next_retry_at=func.now() + MINUTE)
    make.set(make.confirm(signup).id, next_retry_at=func.now() - 20 * MINUTE)
    assert watch_alerts(watching) == 0


@pytest.mark.row("I1")
def test_many_watchers_at_once_tell_a_breach_once(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    bury(THRESHOLD)
    with ThreadPoolExecutor(8) as watchers:
        changes = [watchers.submit(watch_alerts, watching) for _ in range(24)]
    assert sum(change.result() for change in changes) == 1
    assert receiver.states("dead_letters") == ["breached"]


def test_a_watcher_leaves_an_alert_to_the_one_that_looks_at_it(watching: Runtime, bury: Bury) -> None:
    watch_alerts(watching)
    bury(THRESHOLD)
    with watching.sessions.begin() as other:
        other.scalars(select(Alert).where(Alert.name == "dead_letters").with_for_update()).one()
        assert watch_alerts(watching) == 0
    assert watch_alerts(watching) == 1


def test_a_teller_that_took_too_long_takes_nothing_off_the_queue(
    watching: Runtime, receiver: Receiver, bury: Bury
) -> None:
    bury(THRESHOLD)
    receiver.hangs.clear()
    with ThreadPoolExecutor(1) as slow:
        slow.submit(watch_alerts, watching)
        eventually(lambda: receiver.asked)
        with watching.sessions.begin() as quick:
            quick.execute(update(Alert).values(telling_until=func.now() + MINUTE, untold=[{"alert": "dead_letters"}]))
        receiver.hangs.set()
    assert row_of(watching.sessions).untold == [{"alert": "dead_letters"}]


def test_only_one_process_posts_a_change_however_long_that_takes(
    watching: Runtime, receiver: Receiver, bury: Bury
) -> None:
    bury(THRESHOLD)
    receiver.hangs.clear()
    with ThreadPoolExecutor(1) as other:
        other.submit(watch_alerts, watching)
        eventually(lambda: receiver.asked)
        watch_alerts(watching)
        receiver.hangs.set()
    assert receiver.states("dead_letters") == ["breached"]


def test_no_transaction_is_open_while_the_receiver_is_called(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    bury(THRESHOLD)
    receiver.hangs.clear()
    with ThreadPoolExecutor(1) as other:
        other.submit(watch_alerts, watching)
        eventually(lambda: receiver.asked)
        with watching.sessions() as session:
            busy = session.scalar(
                text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'")
            )
        receiver.hangs.set()
    assert busy == 1


@pytest.mark.row("I1")
def test_a_change_whose_teller_died_is_told_by_the_next(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    bury(THRESHOLD)
    receiver.status = 500
    watch_alerts(watching)
    receiver.status = 204
    with watching.sessions.begin() as session:
        session.execute(update(Alert).values(telling_until=func.now() + MINUTE))
    watch_alerts(watching)
    assert receiver.taken == []
    let_the_lease_lapse(watching.sessions)
    watch_alerts(watching)
    assert receiver.states("dead_letters") == ["breached"]


def test_a_receiver_that_was_away_gets_everything_in_order(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    receiver.status = 503
    bury(THRESHOLD)
    watch_alerts(watching)
    resolve_all(watching.sessions)
    watch_alerts(watching)
    assert receiver.taken == []
    receiver.status = 200
    watch_alerts(watching)
    assert receiver.states("dead_letters") == ["breached", "recovered"]


def test_a_receiver_that_is_away_for_long_gets_the_first_and_the_newest(
    watching: Runtime, receiver: Receiver, bury: Bury
) -> None:
    receiver.status = 503
    kept: list[Any] = []
    for _ in range(alerts.MOST_UNTOLD):
        bury(THRESHOLD)
        watch_alerts(watching)
        resolve_all(watching.sessions)
        watch_alerts(watching)
        kept.append(row_of(watching.sessions).untold)
    receiver.status = 200
    watch_alerts(watching)
    assert receiver.states("dead_letters") == ["breached", "recovered"] * (alerts.MOST_UNTOLD // 2)
    assert (receiver.taken[0], receiver.taken[-1]) == (kept[0][0], kept[-1][-1])


def test_a_receiver_that_fails_is_logged_once(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    receiver.status = 500
    bury(THRESHOLD)
    with capture_logs() as lines:
        for _ in range(3):
            watch_alerts(watching)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("alert", "warning"),
        ("alert_not_taken", "warning"),
    ]
    assert lines[1]["reason"] == "http_500"
    assert len(receiver.asked) == 3


def test_a_receiver_that_never_answers_costs_five_seconds(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    receiver.hangs.clear()
    bury(THRESHOLD)
    started = time.monotonic()
    watch_alerts(watching)
    assert 4 < time.monotonic() - started < 30
    assert row_of(watching.sessions).failed_tellings == 1


def test_a_receiver_that_redirects_is_not_followed(watching: Runtime, receiver: Receiver, bury: Bury) -> None:
    receiver.status, receiver.headers_back = 307, {"Location": "/elsewhere"}
    bury(THRESHOLD)
    watch_alerts(watching)
    assert receiver.asked == ["/hooks/SECRETCANARY?key=SECRETCANARY"]
    assert row_of(watching.sessions).untold


@pytest.mark.parametrize("status", [204, 500, None], ids=str)
def test_the_address_is_nowhere_but_in_the_settings(
    watching: Runtime, receiver: Receiver, bury: Bury, status: int | None
) -> None:
    if status is None:
        receiver.server_close()
    else:
        receiver.status = status
    bury(THRESHOLD)
    with capture_logs() as lines:
        watch_alerts(watching)
    stored: Any = vars(row_of(watching.sessions))
    assert "CANARY" not in json.dumps([lines, stored], default=str)


@pytest.mark.parametrize(("user", "sent"), [("", None), ("ann:p%40ss@", "Basic YW5uOnBAc3M=")])
def test_a_name_and_password_in_the_address_are_sent_as_such(
    watching: Runtime, receiver: Receiver, bury: Bury, user: str, sent: str | None
) -> None:
    url = SecretStr(receiver.url.replace("//", f"//{user}"))
    bury(THRESHOLD)
    watch_alerts(replace(watching, settings=watching.settings.model_copy(update={"alert_url": url})))
    assert receiver.credentials == [sent]


def test_without_a_receiver_a_breach_is_logged_and_shown(watching: Runtime, bury: Bury) -> None:
    nobody = replace(watching, settings=watching.settings.model_copy(update={"alert_url": None}))
    bury(THRESHOLD)
    with capture_logs() as lines:
        watch_alerts(nobody)
        watch_alerts(nobody)
    assert [(line["event"], line["alert"], line["state"]) for line in lines] == [("alert", "dead_letters", "breached")]
    with nobody.sessions() as session:
        assert [row.name for row in alerts.list_firing(session)] == ["dead_letters"]
    assert row_of(nobody.sessions).untold == []
