import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import func, update

from cio_tasks import events, gate, wake
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.gate import Reason
from cio_tasks.models import AuditEntry, Gate, SyncJob
from cio_tasks.operations import close_gate, open_gate
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.stats import GateState, read_gate
from tests.factories import Factory
from tests.integration.buried import bury

MINUTE = timedelta(minutes=1)
Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the listeners are told of the gate."""
    told: Heard = []

    def listener(name: str, facts: dict[str, Any]) -> None:
        if name.startswith("gate."):
            told.append((name, facts))

    events.listen(listener)
    yield told
    events.unlisten(listener)


def state(runtime: Runtime) -> GateState:
    with runtime.sessions() as session:
        return read_gate(session)


def close_for(runtime: Runtime, *reasons: Reason) -> None:
    with runtime.sessions.begin() as session:
        for reason in reasons:
            gate.close(session, reason, wait=MINUTE, note="")


# --- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [None, MINUTE])
def test_a_gate_closed_by_an_operator_stops_deliveries(runtime: Runtime, make: Factory, wait: timedelta | None) -> None:
    make.signup()
    assert close_gate(runtime.sessions, actor="ops", note="moving house", wait=wait)
    (closing,) = state(runtime).reasons

    assert (closing.reason, closing.actor, closing.note) == (Reason.OPERATOR, "ops", "moving house")
    assert (closing.closed_until and closing.closed_until - closing.closed_at) == wait
    assert process_due(runtime, limit=10).processed == 0


def test_closing_is_told_and_audited_once(runtime: Runtime, make: Factory, heard: Heard) -> None:
    assert close_gate(runtime.sessions, actor="ops", note="first", wait=MINUTE)
    assert not close_gate(runtime.sessions, actor="eve", note="second", wait=MINUTE)
    (entry,) = make.all(AuditEntry, action="gate_closed")

    assert heard == [("gate.closed", {"reason": Reason.OPERATOR, "seconds": 60.0, "actor": "ops"})]
    assert (entry.actor, entry.details) == ("ops", {"reason": "operator", "seconds": 60.0, "note": "first"})


def test_a_note_is_stored_without_addresses_and_as_one_line(runtime: Runtime) -> None:
    close_gate(runtime.sessions, actor="ops", note="ask ada@example.com\nor\0call " + "x" * 500)
    (closing,) = state(runtime).reasons

    assert closing.note is not None
    assert closing.note.startswith("ask a•••@ex•••.com or call x")
    assert len(closing.note) <= 200


# --- opening ----------------------------------------------------------------------------------------------------------


def test_opening_lets_deliveries_run_whatever_had_closed_the_gate(
    runtime: Runtime, make: Factory, heard: Heard
) -> None:
    make.signup()
    close_for(runtime, Reason.OUTAGE, Reason.RATE_LIMIT)
    close_gate(runtime.sessions, actor="ops", note="")
    opened = open_gate(runtime.sessions, actor="eve")
    entries = make.all(AuditEntry, action="gate_opened")

    assert opened == sorted([Reason.OUTAGE, Reason.RATE_LIMIT, Reason.OPERATOR])
    assert {(entry.actor, entry.details["reason"]) for entry in entries} == {("eve", reason) for reason in opened}
    assert heard[-1] == ("gate.opened", {"reasons": opened, "actor": "eve"})
    assert process_due(runtime, limit=10).succeeded == 1


def test_opening_for_some_reasons_leaves_the_others(runtime: Runtime) -> None:
    close_for(runtime, Reason.OUTAGE, Reason.RATE_LIMIT)

    assert open_gate(runtime.sessions, actor="ops", reasons=[Reason.OUTAGE, Reason.AUTH]) == [Reason.OUTAGE]
    assert [closing.reason for closing in state(runtime).reasons] == [Reason.RATE_LIMIT]


def test_opening_what_is_open_changes_nothing(runtime: Runtime, make: Factory, heard: Heard) -> None:
    job = bury(make, make.signup(), error_type="other", error_code="http_401")

    assert open_gate(runtime.sessions, actor="ops") == []
    assert make.all(SyncJob)[0].updated_at == job.updated_at
    assert (heard, make.all(AuditEntry, action="gate_opened")) == ([], [])


def test_an_operators_closing_that_has_ended_is_not_opened_again(runtime: Runtime) -> None:
    close_gate(runtime.sessions, actor="ops", note="", wait=MINUTE)
    with runtime.sessions.begin() as session:
        session.execute(update(Gate).values(closed_until=func.now() - MINUTE))

    assert (state(runtime).open, open_gate(runtime.sessions, actor="ops")) == (True, [])


def test_opening_after_rejected_credentials_revives_the_jobs_they_cost(runtime: Runtime, make: Factory) -> None:
    refused, other = make.signup(), make.signup()
    bury(make, refused, error_type="other", error_code="http_401", http_status=401)
    bury(make, other)
    close_for(runtime, Reason.AUTH)
    open_gate(runtime.sessions, actor="ops")
    (entry,) = make.all(AuditEntry, action="revived")

    assert (make.job(refused).status, make.job(other).status) == ("pending", "failed")
    assert (entry.actor, entry.job_id, entry.details["from"]) == ("ops", make.job(refused).id, "failed")
    assert process_due(runtime, limit=10).succeeded == 1


@pytest.mark.parametrize("reasons", [None, [Reason.OUTAGE]])
def test_only_opening_for_credentials_revives(runtime: Runtime, make: Factory, reasons: list[Reason] | None) -> None:
    bury(make, make.signup(), error_type="other", error_code="http_401", http_status=401)
    close_for(runtime, Reason.OUTAGE, *([] if reasons is None else [Reason.AUTH]))
    open_gate(runtime.sessions, actor="ops", reasons=reasons)

    assert make.all(SyncJob)[0].status == "failed"


def sweeps(redis_url: str) -> list[bool]:
    """Return the sweeps that were asked for, and of each whether it is for later."""
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        waiting = [json.loads(message)["headers"] for message in client.lrange(QUEUE, 0, -1)]
    return [headers["eta"] is not None for headers in waiting if headers["task"] == "cio_tasks.process_due"]


@pytest.mark.parametrize(("wait", "asked"), [(None, []), (MINUTE, [True])])
def test_closing_for_a_while_asks_for_a_sweep_afterwards(
    runtime: Runtime, redis_url: str, wait: timedelta | None, asked: list[bool]
) -> None:
    close_gate(runtime.sessions, actor="ops", note="", wait=wait)

    assert sweeps(redis_url) == asked


def test_opening_asks_for_a_sweep(runtime: Runtime, redis_url: str) -> None:
    close_for(runtime, Reason.OUTAGE)
    open_gate(runtime.sessions, actor="ops")

    assert len(sweeps(redis_url)) == 1
