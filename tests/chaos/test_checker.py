"""The checker is given good runs and runs with one thing wrong, and has to say which is which."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import Kind, check, count_splits, list_windows
from tests.chaos.evidence import (
    Attempt,
    Audit,
    DeadLetter,
    Evidence,
    Job,
    Observed,
    Plan,
    Request,
    Sent,
    Signup,
    Strike,
)

WEBHOOKS = [("w1", "accepted"), ("w2", "unknown")]
SLIP = {"signup_id": "s1", "bet_amount": 10.0}


def request(kind: str = "signup", **facts: Any) -> Request:
    known = {"key": f"k-{kind}", "kind": kind, "external_id": "x1", "outcome": "accepted", "signup_id": "s1"}
    return Request(**{**known, "began_at": 0.0, "ended_at": 0.1, **facts})


def attempt(token: int = 1, outcome: str = "delivered", **facts: Any) -> Attempt:
    """An attempt of the second that its token names."""
    known = {"job_id": "j1", "retry": 0, "started_at": token * 10.0, "finished_at": token * 10.0 + 1}
    return Attempt(**{**known, "token": token, "outcome": outcome, **facts})


def audit(action: str, at: float, **facts: Any) -> Audit:
    return Audit(**{"id": 1, "at": at, "action": action, "job_id": "j1", **facts})


def found(status: str, count: int = 0) -> dict[str, Any]:
    """What the audit of a requeueing says of the job before."""
    return {"from": status, "attemptCountBefore": count}


def sent(seq: int = 1, at: float = 10.5, **facts: Any) -> Sent:
    known = {"signup_id": "s1", "phase": "initial", "event_id": "E1", "timestamp": 5, "attributes": {"signup_id": "s1"}}
    return Sent(**{**known, "seq": seq, "at": at, **facts})


def good_run(**changes: Any) -> Evidence:
    """One signup, submitted and confirmed, both phases completed at the first try."""
    known: dict[str, Any] = {
        "requests": [request(), request("confirm", bet_amount=10.0)],
        "signups": [Signup(id="s1", external_id="x1", extraction_version=1, bet_amount=10.0)],
        "jobs": [
            Job(id="j1", signup_id="s1", phase="initial", status="completed"),
            Job(id="j2", signup_id="s1", phase="enriched", status="completed"),
        ],
        "attempts": [attempt(), attempt(job_id="j2", started_at=20.0, finished_at=21.0)],
        "audit": [
            audit("enqueued", 1),
            audit("customerio_synced", 11),
            audit("enqueued", 2, job_id="j2"),
            audit("customerio_synced", 21, job_id="j2"),
        ],
        "sent": [sent(), sent(2, 20.5, phase="enriched", event_id="E2", timestamp=6, attributes=SLIP)],
    }
    return Evidence(**{**known, **changes})


def retried(outcome: str = "worker_lost", **facts: Any) -> Evidence:
    """The same, but the initial job needed a second claim, and its event was sent twice."""
    run = good_run()
    again = [attempt(outcome=outcome, **facts), attempt(2, retry=1, started_at=15.0, finished_at=16.0)]
    synced = [replace(entry, at=16) if entry.at == 11 else entry for entry in run.audit]
    jobs = [replace(run.jobs[0], claim_token=2, attempt_count=1), run.jobs[1]]
    sends = [sent(), sent(2, 15.5), replace(run.sent[1], seq=3)]
    return replace(run, attempts=[*again, run.attempts[1]], audit=synced, jobs=jobs, sent=sends)


def kinds(evidence: Evidence) -> list[Kind]:
    return [violation.kind for violation in check(evidence).violations]


def with_job(run: Evidence, **facts: Any) -> Evidence:
    return replace(run, jobs=[replace(run.jobs[0], **facts), *run.jobs[1:]])


# --- runs with nothing wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        good_run(),
        retried(),
        retried("retry_later", error_type="network"),
        good_run(
            requests=[request(), request("confirm", bet_amount=10.0), request(external_id="x9", outcome="unknown")]
        ),
        good_run(requests=[request(), request("confirm"), request(external_id="x9", outcome="refused")]),
    ],
    ids=["first_try", "worker_lost", "ambiguous", "unknown_and_absent", "refused_and_absent"],
)
def test_a_good_run_has_no_violation(run: Evidence) -> None:
    assert check(run).violations == ()


def test_an_unknown_request_that_was_stored_counts_as_asked_for() -> None:
    run = good_run(requests=[request(outcome="unknown"), request("confirm", outcome="unknown")])
    assert check(run).is_good


def test_figures_count_what_there_was() -> None:
    figures = check(retried()).figures
    assert (figures["jobs_completed"], figures["attempts_worker_lost"], figures["events_sent"]) == (2, 1, 3)
    assert (figures["events_distinct"], figures["events_repeated_after_success"]) == (2, 1)


# --- lost and stuck ---------------------------------------------------------------------------------------------------


def test_an_accepted_signup_without_a_row_is_lost() -> None:
    assert kinds(good_run(requests=[*good_run().requests, request(external_id="x2")])) == [Kind.LOST]


def test_an_accepted_signup_without_its_job_is_lost() -> None:
    run = good_run(jobs=good_run().jobs[1:], sent=good_run().sent[1:])
    assert Kind.LOST in kinds(run)


def test_an_accepted_confirmation_without_its_job_is_lost() -> None:
    run = good_run(jobs=good_run().jobs[:1], sent=good_run().sent[:1])
    assert kinds(run) == [Kind.LOST]


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_job_that_did_not_end_is_stuck(status: str) -> None:
    assert Kind.STUCK in kinds(with_job(good_run(), status=status))


def test_completed_without_a_request_is_no_delivery() -> None:
    run = good_run(sent=good_run().sent[:1])
    assert kinds(run) == [Kind.UNDELIVERED]


def test_completed_on_a_refused_request_is_no_delivery() -> None:
    run = good_run(sent=[good_run().sent[0], replace(good_run().sent[1], taken=False, status=503)])
    assert kinds(run) == [Kind.UNDELIVERED]


def test_an_older_bet_slip_is_no_delivery_of_the_newest() -> None:
    signup = replace(good_run().signups[0], bet_amount=99.0, extraction_version=2)
    assert kinds(good_run(signups=[signup])) == [Kind.UNDELIVERED]


def test_failed_without_a_dead_letter_is_found() -> None:
    run = with_job(good_run(), status="failed")
    assert Kind.NO_DEAD_LETTER in kinds(run)


def test_a_person_who_is_refused_for_good_cannot_be_completed() -> None:
    run = good_run(requests=[request(doomed=True), request("confirm")])
    assert kinds(run) == [Kind.SHOULD_HAVE_FAILED]


def test_what_nobody_asked_for_is_unexpected() -> None:
    signup = Signup(id="s2", external_id="x2")
    assert kinds(good_run(signups=[*good_run().signups, signup])) == [Kind.UNEXPECTED]
    assert kinds(good_run(sent=[*good_run().sent, sent(9, signup_id="s9")])) == [Kind.UNEXPECTED]


def test_webhooks_are_held_to_what_was_answered() -> None:
    asked = [request(key=key, kind="webhook", external_id=key, outcome=outcome) for key, outcome in WEBHOOKS]
    run = good_run(requests=[*good_run().requests, *asked])
    assert check(replace(run, webhooks=["w1", "w2"])).is_good
    assert check(replace(run, webhooks=["w1"])).is_good
    assert kinds(replace(run, webhooks=["w2"])) == [Kind.LOST]
    assert kinds(replace(run, webhooks=["w1", "w3"])) == [Kind.UNEXPECTED]


def test_two_jobs_for_one_phase_are_one_too_many() -> None:
    twin = replace(good_run().jobs[0], id="j3")
    assert Kind.TOO_MANY_JOBS in kinds(good_run(jobs=[*good_run().jobs, twin]))


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_a_repeat_without_a_cause_is_found() -> None:
    run = good_run(sent=[sent(), sent(2, 15), replace(good_run().sent[1], seq=3)])
    assert kinds(run) == [Kind.REPEAT_UNEXPLAINED]


def test_a_repeat_with_another_id_is_found_even_with_a_cause() -> None:
    run = retried()
    sends = [run.sent[0], replace(run.sent[1], event_id="E9"), run.sent[2]]
    assert kinds(replace(run, sent=sends)) == [Kind.REPEAT_OTHER_ID]


def test_a_correction_may_have_an_id_of_its_own() -> None:
    run = good_run()
    newer = sent(3, 30.5, phase="enriched", event_id="E3", timestamp=7, attributes={**SLIP, "bet_amount": 99.0})
    again = attempt(2, job_id="j2", started_at=30.0, finished_at=31.0)
    entries = [
        *run.audit,
        audit("reset", 25, job_id="j2", details=found("completed")),
        audit("customerio_synced", 31, job_id="j2"),
    ]
    changed: dict[str, Any] = {
        "signups": [replace(run.signups[0], extraction_version=2, bet_amount=99.0)],
        "jobs": [run.jobs[0], replace(run.jobs[1], claim_token=2)],
    }
    assert check(
        replace(run, sent=[*run.sent, newer], attempts=[*run.attempts, again], audit=entries, **changed)
    ).is_good


@pytest.mark.parametrize("facts", [{"attributes": {"signup_id": "s1", "first_name": "Old"}}, {"timestamp": 3}])
def test_a_repeat_that_says_something_else_of_the_same_moment_is_found(facts: dict[str, Any]) -> None:
    run = retried()
    sends = [run.sent[0], replace(run.sent[1], **facts), run.sent[2]]
    assert kinds(replace(run, sent=sends)) == [Kind.REPEAT_OLDER]


def test_halves_of_a_refused_batch_need_no_other_cause() -> None:
    refused = [sent(1, status=503, taken=False, size=8), sent(2, status=503, taken=False, size=4), sent(3, size=2)]
    assert count_splits(refused) == 2
    assert count_splits([sent(1, size=8), sent(2, size=4)]) == 0
    assert count_splits([sent(1, status=429, taken=False, size=8), sent(2, size=4)]) == 0


# --- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda run: with_job(run, attempt_count=3),
        lambda run: with_job(run, claim_token=0),
        lambda run: replace(run, audit=[entry for entry in run.audit if entry.at != 11]),
        lambda run: replace(run, audit=run.audit[1:]),
        lambda run: replace(run, attempts=run.attempts[1:]),
        lambda run: replace(run, attempts=[replace(run.attempts[0], retry=2), run.attempts[1]]),
        lambda run: replace(with_job(run, claim_token=2), attempts=[*run.attempts, attempt(2)]),
        lambda run: replace(run, audit=[*run.audit, audit("manual_retry", 40, details=found("failed"))]),
    ],
    ids=["count", "token", "no_end", "no_start", "no_attempt", "retry", "delivered_twice", "never_failed"],
)
def test_a_record_that_does_not_lead_to_the_present_is_found(change: Callable[[Evidence], Evidence]) -> None:
    assert Kind.REPLAY in kinds(change(good_run()))


@pytest.mark.parametrize("began", [9.5, 10.5], ids=["before the claim", "after it"])
def test_a_requeueing_that_waited_for_the_delivery_comes_after_it(began: float) -> None:
    run = retried("rejected")
    requeued = audit("manual_retry", began, details=found("failed"))
    entries = [*run.audit, audit("customerio_sync_failed", 11), requeued]
    jobs = [replace(run.jobs[0], attempt_count=0), run.jobs[1]]
    attempts = [run.attempts[0], replace(run.attempts[1], retry=0), run.attempts[2]]
    assert check(replace(run, audit=entries, jobs=jobs, attempts=attempts)).is_good


# --- order, windows, outages ------------------------------------------------------------------------------------------


def test_an_enriched_request_before_the_initial_one_was_taken_is_found() -> None:
    run = good_run()
    early = [replace(run.sent[1], seq=1), replace(run.sent[0], seq=2)]
    untaken = [replace(run.sent[0], taken=False), replace(run.sent[0], seq=9), run.sent[1]]
    assert kinds(replace(run, sent=early)) == [Kind.ORDER]
    assert Kind.ORDER in kinds(replace(run, sent=untaken))


def closing(at: float, seconds: float) -> Audit:
    return audit("gate_closed", at, job_id=None, details={"reason": "rate_limit", "seconds": seconds})


def opening(at: float, reason: str = "rate_limit") -> Audit:
    return audit("gate_opened", at, job_id=None, details={"reason": reason})


def test_a_claim_while_the_gate_is_closed_is_found() -> None:
    run = good_run(audit=[closing(5, 20), *good_run().audit])
    assert kinds(run) == [Kind.WINDOW, Kind.WINDOW]


@pytest.mark.parametrize("entries", [[closing(9.5, 5)], [closing(5, 4)], [closing(5, 60), opening(6)]])
def test_what_was_under_way_or_came_after_is_excused(entries: list[Audit]) -> None:
    assert check(good_run(audit=[*entries, *good_run().audit])).is_good


def test_only_an_opening_for_the_same_reason_ends_a_window() -> None:
    assert list_windows([closing(5, 20), opening(8)]) == [("rate_limit", 5, 8)]
    assert list_windows([closing(5, 20), opening(8, "outage")]) == [("rate_limit", 5, 25)]
    assert list_windows([closing(5, 20), opening(8), closing(30, 5)]) == [("rate_limit", 5, 8), ("rate_limit", 30, 35)]


@pytest.mark.parametrize(("ended_at", "found"), [(1000.0, True), (30.0, False)])
def test_a_job_that_an_outage_buried_is_found(ended_at: float, *, found: bool) -> None:
    attempts = [attempt(number, "retry_later", retry=number - 1, error_type="server_error") for number in range(1, 7)]
    letter = DeadLetter(job_id="j1", error_type="server_error", error_code="http_503", exhausted_retries=True)
    outage = Strike(name="customerio.outage", began_at=0, ended_at=ended_at)
    run = good_run(attempts=attempts, dead_letters=[letter], strikes=[outage])
    assert (Kind.OUTAGE_LETTER in kinds(run)) is found


# --- was it a test at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan", [Plan(signups=2), Plan(kills=3), Plan(strikes={"redis.": 2})], ids=["signups", "kills", "strikes"]
)
def test_a_run_in_which_less_happened_than_planned_is_red(plan: Plan) -> None:
    strikes = [
        Strike(name="redis.flush", began_at=0, ended_at=1),
        Strike(name="redis.kill", began_at=0, ended_at=1, struck=False),
        Strike(name="worker.kill", began_at=0, ended_at=1, kills=2),
    ]
    assert kinds(good_run(plan=plan, strikes=strikes)) == [Kind.TOO_FEW]


def test_a_run_without_an_answer_proves_nothing() -> None:
    silent = [replace(one, status=None) for one in good_run().sent]
    assert Kind.TOO_FEW in kinds(good_run(plan=Plan(signups=1), sent=silent))


# --- what was seen meanwhile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Observed(stuck=[("j1", 65.0)]), Kind.STUCK),
        (Observed(leaks=[("worker0.log", "a name")]), Kind.LEAK),
        (Observed(grown=[("worker", "took 500 MB")]), Kind.GROWTH),
        (Observed(deadlocks=1), Kind.DEADLOCK),
    ],
)
def test_what_was_seen_meanwhile_is_a_violation(seen: Observed, kind: Kind) -> None:
    assert [violation.kind for violation in check(good_run(observed=seen)).violations] == [kind]


def test_a_storm_that_was_a_breeze_proves_too_little() -> None:
    strikes = [
        Strike(name="redis.flush", began_at=1, ended_at=2),
        Strike(name="web.kill", began_at=1, ended_at=2, struck=False),
    ]
    (violation,) = check(good_run(plan=Plan(faults=2), strikes=strikes)).violations
    assert (violation.kind, violation.subject, violation.detail) == (Kind.TOO_FEW, "faults", "1 of 2 planned")
