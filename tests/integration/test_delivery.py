from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import func, text, update

from cio_tasks import enqueue_sync, gate, transitions
from cio_tasks.customerio import CustomerIO
from cio_tasks.customerio.limits import BATCH_BYTES
from cio_tasks.delivery import deliver
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import Customer, Signup, SyncAttempt, SyncJob
from cio_tasks.processor import Summary, process_due, sync_one
from cio_tasks.runtime import Runtime
from cio_tasks.states import JobStatus, Phase
from tests.eventually import eventually
from tests.factories import Factory


def sizes(fake: FakeCustomerIO) -> list[int]:
    """Return how many jobs each request carried: a job is a person and an event."""
    return [len(entry["operations"]) // 2 for entry in fake.ledger.entries()]


def deliveries_of(fake: FakeCustomerIO, signup: Signup) -> list[bool]:
    """Return for each time this signup's person was sent whether that was applied."""
    person = {"id": str(signup.customer_id)}
    operations = [operation for entry in fake.ledger.entries() for operation in entry["operations"]]
    return [found["applied"] for found in operations if found["person"] == person and found["action"] == "identify"]


def crowd(runtime: Runtime, count: int, **person: str) -> list[Signup]:
    """Return `count` new signups with their initial jobs, made in one transaction."""
    known = {"first_name": "Ada", "last_name": "Lovelace", **person}
    signups = [
        Signup(customer=Customer(email=f"crowd{number}@example.com", **known), operator_id="op-1")
        for number in range(count)
    ]
    with runtime.sessions.begin() as session:
        for signup in signups:
            enqueue_sync(session, signup, Phase.INITIAL)
    return signups


def with_settings(runtime: Runtime, **changes: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=changes))


# --- packing ----------------------------------------------------------------------------------------------------------


def test_one_request_carries_many_jobs(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    crowd(runtime, 30)
    summary = process_due(runtime, limit=100)
    attempts = make.all(SyncAttempt)

    assert (summary, sizes(fake)) == (Summary(processed=30, succeeded=30), [30])
    assert {attempt.batch_size for attempt in attempts} == {30}
    assert len({attempt.request_id for attempt in attempts}) == 1
    assert (fake.people.count(), fake.people.count_events()) == (30, 30)


def test_no_request_carries_more_jobs_than_the_batch_size(runtime: Runtime, fake: FakeCustomerIO) -> None:
    crowd(runtime, 10)
    process_due(with_settings(runtime, batch_size=4), limit=100)

    assert sizes(fake) == [4, 4, 2]


def test_a_run_takes_no_more_jobs_than_its_limit(runtime: Runtime) -> None:
    crowd(runtime, 10)

    assert process_due(with_settings(runtime, batch_size=4), limit=6).processed == 6


def test_no_request_has_more_bytes_than_customerio_takes(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    """Two bytes a letter: what counts are bytes, not characters."""
    wide = dict.fromkeys(("first_name", "last_name", "phone"), "é" * 500)
    crowd(runtime, 150, **wide)
    process_due(with_settings(runtime, batch_size=400), limit=400)
    carried = [entry["bytes"] for entry in fake.ledger.entries()]

    assert len(make.all(SyncJob, status=JobStatus.COMPLETED)) == 150
    assert len(carried) == 2
    assert 0.98 * BATCH_BYTES < carried[0] <= BATCH_BYTES


@pytest.mark.parametrize(
    ("retries", "jobs", "expected"),
    [(0, 30, [30]), (1, 30, [25, 5]), (2, 7, [3, 3, 1]), (3, 3, [1, 1, 1]), (5, 2, [1, 1])],
)
def test_the_more_retries_jobs_have_used_the_fewer_travel_together(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, *, retries: int, jobs: int, expected: list[int]
) -> None:
    for signup in crowd(runtime, jobs):
        make.set(make.job(signup).id, attempt_count=retries)
    process_due(runtime, limit=100)

    assert sizes(fake) == expected


def test_jobs_with_different_retries_do_not_travel_together(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    for retries in (0, 1, 0, 1, 0):
        make.set(make.job(make.signup()).id, attempt_count=retries)
    process_due(runtime, limit=100)

    assert sizes(fake) == [3, 2]


# --- a bad job among good ones ----------------------------------------------------------------------------------------


def test_only_the_jobs_that_a_207_names_fail(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    good = [make.signup() for _ in range(4)]
    bad = make.signup("bad+badattr@example.com")
    summary = process_due(runtime, limit=100)
    job = make.job(bad)

    assert summary == Summary(processed=5, succeeded=4, failed=1)
    assert (job.status, job.error_code, job.http_status) == (JobStatus.FAILED, "item_invalid", 207)
    assert [deliveries_of(fake, signup) for signup in good] == [[True]] * 4
    assert fake.ledger.count() == 1


@pytest.mark.parametrize("index_as", ["string", "out_of_range", "missing"])
def test_a_207_that_names_nobody_finds_the_guilty_job_all_the_same(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, index_as: Any
) -> None:
    fake.scenario = Scenario(batch_index_as=index_as)
    good = [make.signup() for _ in range(4)]
    bad = make.signup("bad+badattr@example.com")
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=5, succeeded=4, failed=1)
    assert make.job(bad).error_code == "item_errors_unreadable"
    assert all(any(deliveries_of(fake, signup)) for signup in good)


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_refused_batch_is_halved_down_to_the_guilty_job(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, status: int
) -> None:
    good = crowd(runtime, 15)
    bad = make.signup(f"bad+{status}@example.com")
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=16, succeeded=15, failed=1)
    assert (make.job(bad).error_code, make.job(bad).attempt_count) == (f"http_{status}", 0)
    assert [deliveries_of(fake, signup).count(True) for signup in good] == [1] * 15
    assert sorted(sizes(fake)) == [1, 1, 2, 2, 4, 4, 8, 8, 16]


def test_every_guilty_job_of_a_refused_batch_is_found(runtime: Runtime, make: Factory) -> None:
    emails = [f"ada{number}{'+400' if number in {0, 3, 9} else ''}@example.com" for number in range(10)]
    signups = [make.signup(email) for email in emails]
    process_due(runtime, limit=100)
    failed = [number for number, signup in enumerate(signups) if make.job(signup).status == JobStatus.FAILED]

    assert failed == [0, 3, 9]


def test_one_job_that_breaks_the_server_does_not_keep_the_others_waiting(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    good = crowd(runtime, 39)
    bad = make.signup("bad+500x99@example.com")
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=40, succeeded=39, retrying=1)
    assert {make.job(signup).attempt_count for signup in good} == {0}
    assert make.job(bad).attempt_count == 1
    assert [deliveries_of(fake, signup).count(True) for signup in good] == [1] * 39


def test_an_outage_is_asked_three_times_and_no_more(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="503")
    crowd(runtime, 40)
    summary = process_due(runtime, limit=100)

    assert (summary.retrying, sizes(fake)) == (40, [40, 20, 20])
    assert {job.attempt_count for job in make.all(SyncJob)} == {1}


def test_a_batch_without_an_answer_is_not_asked_again_in_halves(runtime: Runtime, fake: FakeCustomerIO) -> None:
    fake.scenario = Scenario(outage="reset")
    crowd(runtime, 8)
    process_due(runtime, limit=100)

    assert sizes(fake) == [8]


def test_nothing_more_is_sent_after_a_429_on_the_way(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    """The guilty job makes the batch split; the first half meets the rate limit, so the second must not be sent."""
    for number in range(8):
        make.signup({1: "b+429@example.com", 6: "g+400@example.com"}.get(number, f"{'abcdefgh'[number]}@example.com"))
    with runtime.sessions.begin() as session:
        claims = transitions.claim(session, worker="w", limit=8)
    deliver(runtime, sorted(claims, key=lambda claim: claim.signup.customer.email))

    assert [entry["answer"]["status"] for entry in fake.ledger.entries()] == [400, 429]


class Stumbling(BaseHTTPRequestHandler):
    """A Customer.io that fails at the first request, then refuses every batch with somebody called Bad in it."""

    asked = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).asked += 1
        status = 503 if self.asked == 1 else 400 if b'"Bad"' in body else 200
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stumbling(runtime: Runtime) -> Iterator[Runtime]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("OneStumbling", (Stumbling,), {})) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        changed = with_settings(runtime, customerio_track_url=f"http://127.0.0.1:{server.server_address[1]}")
        yield replace(changed, client=CustomerIO.from_settings(changed.settings))
        server.shutdown()


def test_a_server_error_before_a_refusal_fails_no_more_than_the_guilty_job(stumbling: Runtime, make: Factory) -> None:
    good = crowd(stumbling, 15)
    bad = make.signup(first_name="Bad")
    process_due(stumbling, limit=100)

    assert {make.job(signup).status for signup in good} == {JobStatus.COMPLETED}
    assert make.job(bad).status == JobStatus.FAILED


# --- a job that cannot be sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"first_name": "é" * 501}, "first_name"),
        ({"phone": "0" * 1001}, "phone"),
        ({"last_name": "<script>" * 126}, "last_name"),
    ],
)
def test_a_value_over_the_limit_fails_only_its_own_job_and_is_named(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, columns: dict[str, Any], named: str
) -> None:
    good, bad = make.signup(), make.signup(**columns)
    summary = process_due(runtime, limit=100)
    job = make.job(bad)

    assert (summary, make.job(good).status) == (Summary(processed=2, succeeded=1, failed=1), JobStatus.COMPLETED)
    assert (job.status, job.error_type, job.error_code) == (JobStatus.FAILED, "other", "over_limit")
    assert f"'{named}'" in (job.error_message or "")
    assert (deliveries_of(fake, bad), job.attempt_count) == ([], 0)


def test_a_value_that_json_cannot_hold_fails_only_its_own_job(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    bad, good = make.signup(), make.signup()
    process_due(runtime, limit=100)
    make.confirm(bad, bet_amount=Decimal("NaN"))
    make.confirm(good)
    summary = process_due(runtime, limit=100)

    assert summary == Summary(processed=2, succeeded=1, failed=1)
    assert make.job(bad, Phase.ENRICHED).error_code == "not_json"
    assert sizes(fake) == [2, 1]


def test_an_attempt_that_sent_nothing_names_no_request(runtime: Runtime, make: Factory) -> None:
    job = make.job(make.signup(phone="0" * 1001))
    process_due(runtime, limit=100)
    (attempt,) = make.attempts(job)

    assert (attempt.outcome, attempt.request_id, attempt.batch_size, attempt.http_status) == (
        "rejected",
        None,
        None,
        None,
    )


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_a_repeat_carries_the_same_event_id_and_time_and_is_dropped(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    job = make.job(make.signup("ada+resetafter@example.com"))
    process_due(runtime, limit=100)
    make.make_due(job.id)
    process_due(runtime, limit=100)
    first, second = (entry["operations"][1] for entry in fake.ledger.entries())

    assert (first["event_id"], first["timestamp"]) == (second["event_id"], second["timestamp"])
    assert (fake.people.count_events(), fake.people.count_duplicates_dropped()) == (1, 1)
    assert [attempt.outcome for attempt in make.attempts(job)] == ["retry_later", "delivered"]


def test_what_is_sent_has_the_time_of_the_row_and_not_of_the_sending(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    signup = make.signup()
    with runtime.sessions.begin() as session:
        moment = session.scalar(
            update(Signup).values(submitted_at=func.now() - text("interval '3 days'")).returning(Signup.submitted_at)
        )
    process_due(runtime, limit=100)

    assert moment is not None
    assert {operation["timestamp"] for operation in fake.ledger.entries()[0]["operations"]} == {int(moment.timestamp())}
    assert make.job(signup).status == JobStatus.COMPLETED


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(runtime: Runtime, make: Factory) -> Runtime:
    make.signup()
    runtime.stopping.set()
    return runtime


def test_a_worker_that_was_told_to_stop_claims_nothing_more(stopped: Runtime, fake: FakeCustomerIO) -> None:
    assert process_due(stopped, limit=10) == Summary()
    assert fake.ledger.count() == 0


@pytest.mark.parametrize("way", [lambda runtime, job: sync_one(runtime, job.id)])
def test_a_claim_of_a_worker_that_stops_is_given_back_unspent(
    stopped: Runtime, make: Factory, fake: FakeCustomerIO, way: Callable[[Runtime, SyncJob], Any]
) -> None:
    (before,) = make.all(SyncJob)
    way(stopped, before)
    (job,) = make.all(SyncJob)

    assert (job.status, job.attempt_count, job.next_retry_at, job.claimed_by) == ("pending", 0, None, None)
    assert (make.attempts(job), fake.ledger.count()) == ([], 0)


def test_claims_that_grew_old_on_the_way_are_given_back(runtime: Runtime, make: Factory, fake: FakeCustomerIO) -> None:
    """Every later batch may begin only while the claims are young, measured from the start of the delivery."""
    for _ in range(2):
        make.signup()
    with runtime.sessions.begin() as session:
        claims = transitions.claim(session, worker="w", limit=2)
    hasty = with_settings(runtime, batch_size=1, stuck_after=runtime.settings.stuck_after / 1_000_000)
    results = deliver(hasty, claims)

    assert [result.verdict for result in results][-1] == "deferred"
    assert JobStatus.PENDING in {job.status for job in make.all(SyncJob)}


# --- transactions -----------------------------------------------------------------------------------------------------

IN_TRANSACTION = text("""
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
""")


@pytest.mark.parametrize("probing", [False, True])
def test_no_transaction_is_open_while_customerio_is_asked(
    runtime: Runtime, make: Factory, fake: FakeCustomerIO, probing: bool
) -> None:
    make.signup()
    if probing:
        with runtime.sessions.begin() as session:
            gate.close(session, gate.Reason.OUTAGE, wait=-gate.OUTAGE_CLOSED, note="")
    fake.scenario = Scenario(latency_seconds=0.5)
    with ThreadPoolExecutor(1) as pool, runtime.sessions() as session:
        running = pool.submit(process_due, runtime, limit=10)
        eventually(fake.ledger.count, every=0.005)
        open_transactions = session.scalar(IN_TRANSACTION)
        assert not running.done()

    assert (open_transactions, running.result().succeeded) == (0, 1)
