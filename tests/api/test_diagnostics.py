"""The troubleshooting toolkit over HTTP: the same answers as on the command line, for operators, and masked."""

from typing import Any

import pytest

from api.diagnostics import AT_ONCE, _running
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import AuditEntry
from tests.api.callers import BASE, Caller
from tests.factories import Factory

DIAGNOSTICS = f"{BASE}/diagnostics"


def test_the_doctor_looks_at_every_part(operator: Caller) -> None:
    told = operator.get(f"{DIAGNOSTICS}/doctor").json
    assert {"config", "database", "redis", "gate", "customerio"} <= {check["group"] for check in told["checks"]}
    assert set(told["checks"][0]) == {"id", "group", "status", "message", "fix"}


def test_the_network_is_measured(operator: Caller) -> None:
    told = operator.get(f"{DIAGNOSTICS}/network?count=1").json
    assert {target["http"]["status"] for target in told["targets"]} >= {200}
    assert told["rateLimit"]["limit"] == 100


def test_the_credentials_are_tried(operator: Caller, fake: FakeCustomerIO) -> None:
    told = operator.get(f"{DIAGNOSTICS}/auth").json
    assert (told["success"], told["region"]["account"]) == (True, "us")
    assert [issue["code"] for issue in told["issues"]] == ["no_app_key"]
    fake.rotate(site_id="SECRETCANARY-other", api_key="SECRETCANARY-another")
    refused = operator.get(f"{DIAGNOSTICS}/auth")
    assert (refused.json["success"], refused.json["response"]["status"]) == (False, 401)
    assert b"SECRETCANARY-key" not in refused.data


def test_a_person_is_investigated_masked_and_the_reveal_is_audited(operator: Caller, make: Factory) -> None:
    make.signup("ada@example.com")
    asked = {"user": "ada@example.com"}
    masked = operator.post(f"{DIAGNOSTICS}/investigate", asked)
    assert {"userId", "profile", "activity", "delivery", "sync", "issues", "unavailable"} <= set(masked.json)
    assert b"ada@example.com" not in masked.data
    assert make.all(AuditEntry, action="revealed") == []
    operator.post(f"{DIAGNOSTICS}/investigate", asked | {"reveal": True})
    (entry,) = make.all(AuditEntry, action="revealed")
    assert (entry.actor, entry.details) == ("operator", {"what": "investigate"})


def test_a_campaign_without_a_key_is_unanswered(operator: Caller) -> None:
    answer = operator.post(f"{DIAGNOSTICS}/campaign", {"campaignId": 1})
    assert (answer.status_code, answer.json["code"]) == (424, "unanswered")


@pytest.mark.row("K1")
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("identify", {"person": "u1", "attributes": {"plan": "pro", "visits": 3, "ratio": 0.5}}),
        ("track", {"person": "u1", "event": "purchase", "data": {"amount": 25.5}}),
    ],
)
def test_one_call_is_made_and_shown_whole(
    route: str, body: dict[str, Any], operator: Caller, fake: FakeCustomerIO, make: Factory
) -> None:
    dry = operator.post(f"{DIAGNOSTICS}/{route}", body | {"dryRun": True}).json
    assert (dry["success"], len(fake.ledger.entries())) == (None, 0)
    done = operator.post(f"{DIAGNOSTICS}/{route}", body).json
    assert (done["success"], done["response"]["status"], len(fake.ledger.entries())) == (True, 200, 1)
    assert done["request"]["body"] is not None
    assert [entry.details for entry in make.all(AuditEntry, action="debug_call")] == [{"what": route}]


def test_an_incident_is_judged_and_its_runbook_run(operator: Caller) -> None:
    assert set(operator.get(f"{DIAGNOSTICS}/incident/severity").json) >= {
        "severity",
        "reasons",
        "evidence",
        "whyNotWorse",
    }
    told = operator.post(f"{DIAGNOSTICS}/incident/runbook", {"severity": "P1"}).json
    assert [step["id"] for step in told["steps"]] == [f"P1.{n}" for n in range(1, 7)]
    assert operator.get(f"{DIAGNOSTICS}/incident/report?sinceSeconds=3600").status_code == 200


def test_only_a_few_diagnostics_run_at_a_time(operator: Caller) -> None:
    for _ in range(AT_ONCE):
        assert _running.acquire(blocking=False)
    try:
        answer = operator.get(f"{DIAGNOSTICS}/doctor")
    finally:
        _running.release(AT_ONCE)
    assert (answer.status_code, answer.json["code"]) == (503, "busy")


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("investigate", {}),
        ("investigate", {"user": ""}),
        ("investigate", {"user": "a\u0000"}),
        ("investigate", {"user": "x", "kind": "phone"}),
        ("campaign", {"campaignId": "1"}),
        ("campaign", {"campaignId": 0}),
        ("identify", {"person": "u", "attributes": []}),
        ("track", {"person": "u"}),
        ("track", {"person": "u", "event": ""}),
        ("incident/runbook", {"severity": "P5"}),
    ],
)
def test_a_bad_question_is_refused_and_nothing_is_asked(
    route: str, body: dict[str, Any], operator: Caller, fake: FakeCustomerIO
) -> None:
    assert operator.post(f"{DIAGNOSTICS}/{route}", body).status_code == 422
    assert len(fake.ledger.entries()) == 0
