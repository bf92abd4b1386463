"""The audit names who asked, whoever did it, with what was before and after."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import func

from cio_tasks import events, operations, transitions
from cio_tasks.delivery import Verdict, deliver
from cio_tasks.failures import FailureFilter
from cio_tasks.models import AuditEntry, DeadLetter, Signup, SyncJob
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.api.callers import SIGNUPS, Caller
from tests.factories import Factory
from tests.integration.buried import bury

CUSTOMERIO = f"{SIGNUPS}/customerio"


def entries(make: Factory, action: str) -> list[AuditEntry]:
    return [entry for entry in make.all(AuditEntry) if entry.action == action]


def test_submitting_and_confirming_name_the_application(shop: Caller, make: Factory) -> None:
    signup_id = shop.submit().json["id"]
    shop.confirm(signup_id)
    assert [(entry.actor, entry.details["syncPhase"]) for entry in entries(make, "enqueued")] == [
        ("app", "initial"),
        ("app", "enriched"),
    ]


def test_cleaning_up_names_the_operator_and_the_change(operator: Caller, make: Factory) -> None:
    job = make.job(make.signup())
    long_ago = func.now() - timedelta(minutes=6)
    make.set(job.id, status="processing", claimed_by="gone", claim_token=1, updated_at=long_ago)
    operator.post(f"{CUSTOMERIO}/cleanup")
    (entry,) = entries(make, "reset_stuck")
    assert (entry.actor, entry.details["from"], entry.details["to"]) == ("operator", "processing", "pending")


def test_closing_a_closed_gate_is_told_too(operator: Caller, admin: Caller, make: Factory) -> None:
    operator.post(f"{CUSTOMERIO}/gate/close", {"reason": "night", "seconds": 60})
    admin.post(f"{CUSTOMERIO}/gate/close", {"reason": "longer"})
    assert [entry.actor for entry in entries(make, "gate_closed")] == ["operator"]
    (again,) = entries(make, "gate_closed_again")
    assert (again.actor, again.details["note"], again.details["before"]["note"]) == ("admin", "longer", "night")


def test_processing_by_hand_is_told(operator: Caller, make: Factory) -> None:
    make.signup()
    operator.post(f"{CUSTOMERIO}/process?limit=5")
    (entry,) = entries(make, "processed_by_hand")
    assert (entry.actor, entry.details["processed"], entry.details["limit"]) == ("operator", 1, 5)


def test_a_viewer_does_not_read_an_address_in_the_senders_own_id(shop: Caller, viewer: Caller, admin: Caller) -> None:
    signup_id = shop.submit(externalId="ada@example.com").json["id"]
    assert viewer.get(f"{SIGNUPS}/{signup_id}").json["externalId"] == "a•••@ex•••.com"
    assert admin.get(f"{SIGNUPS}/{signup_id}").json["externalId"] == "ada@example.com"


@contextmanager
def heard() -> Iterator[list[str]]:
    names: list[str] = []

    def listener(name: str, _facts: dict[str, Any]) -> None:
        names.append(name)

    events.listen(listener)
    try:
        yield names
    finally:
        events.unlisten(listener)


def test_what_a_newer_version_has_overtaken_is_told_as_neither_done_nor_failed(runtime: Runtime, make: Factory) -> None:
    signup = make.signup("bob+400@example.com")
    with runtime.sessions.begin() as session:
        session.get_one(SyncJob, make.job(signup).id).status = JobStatus.COMPLETED
    make.confirm(signup)
    with runtime.sessions.begin() as session:
        claims = transitions.claim(session, worker="w", limit=10)
    make.confirm(signup, odds="9.9")
    with heard() as names:
        results = deliver(runtime, claims)
    assert [result.verdict for result in results] == [Verdict.DEFERRED]
    assert not {"sync.failed", "sync.completed"} & set(names)
    assert (make.job(signup, Phase.ENRICHED).status, make.all(DeadLetter)) == ("pending", [])
    assert not make.all(Signup)[0].customerio_sync_failed


def test_a_bulk_retry_out_of_time_says_what_is_left(runtime: Runtime, make: Factory) -> None:
    for _ in range(3):
        bury(make, make.signup())
    done = operations.retry_failures(runtime.sessions, FailureFilter(), actor="ada", at_most=timedelta(seconds=-1))
    assert (done.matched, done.retried, done.skipped, done.left) == (3, 0, 0, 3)
    assert [entry.details["left"] for entry in entries(make, "bulk_retry")] == [3]


def test_opening_revives_however_many_the_credentials_failed(runtime: Runtime, make: Factory) -> None:
    for _ in range(3):
        bury(make, make.signup(), error_code="http_401", error_type="other")
    with runtime.sessions.begin() as session:
        assert len(transitions.revive_unauthorized(session, limit=2)) == 2
        assert len(transitions.revive_unauthorized(session, limit=2)) == 1
    assert process_due(runtime, limit=10).succeeded == 3
