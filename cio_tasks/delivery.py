"""One delivery: claims in, outcomes recorded. build, preflight, send, classify, record.

One HTTP request carries many jobs. A refused batch is halved until the guilty job is alone; so is one that meets a server
error, unless both halves meet it too, which is an outage and not a bad job. No HTTP call happens inside a transaction.
"""

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from cio_tasks import failpoints, gate, phases, queries, transitions, wake
from cio_tasks.backoff import retry_delay
from cio_tasks.claims import Claim
from cio_tasks.customerio import BatchResult, CustomerIO, Operation, Reply
from cio_tasks.customerio.limits import BATCH_BYTES, encode
from cio_tasks.errors import PayloadError
from cio_tasks.events import emit
from cio_tasks.gate import Closed
from cio_tasks.journal import Exchange
from cio_tasks.models import SyncAttempt
from cio_tasks.outcomes import INITIAL_FAILED, WORKER_LOST, Deferred, Delivered, Outcome, Rejected, RetryLater
from cio_tasks.patience import Patience, insist
from cio_tasks.redaction import redact
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.states import Phase

ENVELOPE_BYTES: Final = len(encode({"batch": []}))
FRESH_SHARE: Final = 0.3
"""The share of `stuck_after` after which a claim is too old to begin a delivery with."""
SUSPICION: Final = 8
"""How much smaller a batch gets with every retry its jobs have used, so that what spoils batches ends up alone."""
RECORD_WITHIN: Final = timedelta(seconds=20)
"""How long an outcome is tried to be recorded while the database is away: a restart with recovery takes seconds."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A claim with the operations that deliver it."""

    claim: Claim
    operations: list[Operation]
    size: int
    asked: Exchange | None = None
    """The request that carried it already, in a batch that was split since."""


class Verdict(StrEnum):
    """What a delivery means for the job."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRYING = "retrying"
    DEFERRED = "deferred"


ENDED: Final = frozenset({Verdict.SUCCEEDED, Verdict.FAILED})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one claim: the outcome, and the request that carried it, if one did."""

    claim: Claim
    outcome: Outcome
    exchange: Exchange | None = None
    probing: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the outcome means for this job, which may have no retry left. A probe that fails spends nothing."""
        match self.outcome:
            case Delivered():
                return Verdict.SUCCEEDED
            case Deferred():
                return Verdict.DEFERRED
            case RetryLater() if self.probing:
                return Verdict.DEFERRED
            case RetryLater() if self.claim.attempt_count < self.claim.max_attempts:
                return Verdict.RETRYING
        return Verdict.FAILED


def deliver(runtime: Runtime, claims: Sequence[Claim], *, probing: bool = False) -> list[Result]:
    """Deliver these claims and record what became of each; return the results that still held.

    The rest is given back unspent when the worker stops, when the claims get old, or when the gate closes on the way. A
    `probing` delivery spends nothing when it fails.
    """
    parcels, refused = _build(claims)
    results = record(runtime, refused)
    old_at = time.monotonic() + runtime.settings.stuck_after.total_seconds() * FRESH_SHARE
    waiting = deque(_pack(parcels, runtime.settings.batch_size))
    while waiting:
        obstacle = _find_obstacle(runtime, results, old_at)
        if obstacle is not None:
            left = [Result(parcel.claim, obstacle, parcel.asked) for batch in waiting for parcel in batch]
            return [*results, *record(runtime, left)]
        batch = waiting.popleft()
        failpoints.hit("worker.after_claim")
        sent, parts = _send(runtime.client, batch)
        failpoints.hit("worker.before_record")
        waiting.extendleft(reversed(parts))
        shown = _presentable(sent, batch, runtime.settings)
        results += record(runtime, [replace(result, probing=probing) for result in shown])
    return results


def _find_obstacle(runtime: Runtime, results: Sequence[Result], old_at: float) -> Deferred | None:
    if runtime.stopping.is_set():
        return Deferred("stopping", "the worker was told to stop")
    if time.monotonic() > old_at:
        return Deferred("claim_old", "the claim was getting too old to begin a delivery")
    failed = any(not isinstance(result.outcome, Delivered) for result in results)
    if failed and insist(runtime.sessions, patience_of(runtime), lambda session, _: gate.list_closed(session)):
        return Deferred("gate_closed", "the gate closed before this job was sent")
    return None


# --- build ------------------------------------------------------------------------------------------------------------


def _build(claims: Sequence[Claim]) -> tuple[list[Parcel], list[Result]]:
    """Return what can be sent, and the results of what cannot."""
    parcels, refused = [], []
    for claim in claims:
        built = _parcel(claim)
        if isinstance(built, Parcel):
            parcels.append(built)
        else:
            refused.append(Result(claim, built))
    return parcels, refused


def _parcel(claim: Claim) -> Parcel | Rejected:
    if claim.initial_failed:
        return Rejected(INITIAL_FAILED, "not sent: the signup's initial phase has failed; retry that first")
    try:
        operations = phases.build(claim)
    except PayloadError as error:
        return Rejected("over_limit", str(error))
    except ValueError:
        return Rejected("not_json", "a value of this signup cannot be written as JSON")
    return Parcel(claim, operations, sum(len(encode(operation)) + 1 for operation in operations))


def _pack(parcels: Sequence[Parcel], batch_size: int) -> Iterator[list[Parcel]]:
    """Yield batches within Customer.io's bytes and our count; the more retries jobs have used, the fewer together."""
    by_count = sorted(parcels, key=lambda parcel: parcel.claim.attempt_count)
    for count, group in groupby(by_count, key=lambda parcel: parcel.claim.attempt_count):
        most = max(1, batch_size // SUSPICION**count)
        batch: list[Parcel] = []
        room = BATCH_BYTES - ENVELOPE_BYTES
        for parcel in group:
            if batch and (len(batch) == most or parcel.size > room):
                yield batch
                batch, room = [], BATCH_BYTES - ENVELOPE_BYTES
            batch.append(parcel)
            room -= parcel.size
        yield batch


# --- send and classify ------------------------------------------------------------------------------------------------


def _send(client: CustomerIO, batch: list[Parcel]) -> tuple[list[Result], list[list[Parcel]]]:
    """Send a batch; return what is known now, and the parts of it that have to be sent by themselves."""
    reply, result = _post(client, batch)
    if len(batch) == 1 or not result.splittable:
        return _results(batch, reply, result), []
    halves = _halves(batch, reply)
    return ([], halves) if isinstance(result.outcome, Rejected) else _isolate(client, halves)


def _isolate(client: CustomerIO, halves: list[list[Parcel]]) -> tuple[list[Result], list[list[Parcel]]]:
    """Find the job that makes the server fail. When both halves fail it is the server: ask no further."""
    answers = [(half, *_post(client, half)) for half in halves]
    stubborn = all(isinstance(result.outcome, RetryLater) for _, _, result in answers)
    known: list[Result] = []
    parts: list[list[Parcel]] = []
    for half, reply, result in answers:
        if stubborn or len(half) == 1 or not result.splittable:
            known += _results(half, reply, result)
        else:
            parts += _halves(half, reply)
    return known, parts


def _halves(batch: list[Parcel], reply: Reply) -> list[list[Parcel]]:
    """Split a batch that `reply` answered; its parcels remember that they were sent, should they not get another turn."""
    exchange = Exchange(reply.request_id, len(batch), reply.elapsed)
    asked = [replace(parcel, asked=exchange) for parcel in batch]
    middle = len(asked) // 2
    return [asked[:middle], asked[middle:]]


def _post(client: CustomerIO, batch: Sequence[Parcel]) -> tuple[Reply, BatchResult]:
    return client.batch([operation for parcel in batch for operation in parcel.operations])


def _results(batch: Sequence[Parcel], reply: Reply, result: BatchResult) -> list[Result]:
    """Return what each job of a batch met: the first of its operations that was refused, or the batch's outcome."""
    unsent = isinstance(result.outcome, Deferred)
    exchange = None if unsent else Exchange(reply.request_id, len(batch), reply.elapsed)
    results, index = [], 0
    for parcel in batch:
        places = range(index, index + len(parcel.operations))
        refused = next((result.items[place] for place in places if place in result.items), None)
        results.append(Result(parcel.claim, refused or result.outcome, exchange or parcel.asked))
        index += len(parcel.operations)
    return results


def _presentable(results: Sequence[Result], batch: Sequence[Parcel], settings: Settings) -> list[Result]:
    """Return the results with error texts that are safe to store: an answer may echo any value of its batch."""
    if all(isinstance(result.outcome, Delivered) for result in results):
        return list(results)
    secrets = [*settings.secrets, *(value for parcel in batch for value in _personal(parcel.claim))]
    shown: dict[Outcome, Outcome] = {}
    for outcome in {result.outcome for result in results}:
        if isinstance(outcome, Delivered):
            shown[outcome] = outcome
        else:
            shown[outcome] = replace(outcome, detail=redact(outcome.detail, *secrets))
    return [replace(result, outcome=shown[result.outcome]) for result in results]


def _personal(claim: Claim) -> list[str]:
    signup, customer = claim.signup, claim.signup.customer
    names = [name for name in (customer.first_name, customer.last_name) if len(name) > 2]  # noqa: PLR2004
    return [customer.email, customer.phone or "", signup.team_bet_on or "", *names]


# --- record -----------------------------------------------------------------------------------------------------------


def record(runtime: Runtime, results: Sequence[Result]) -> list[Result]:
    """Write the results, one transaction for all that met the same, and tell the listeners; return those that held.

    When the database is away for a moment the transaction is tried again for about 20 s; the request never is.

    Raises:
        DBAPIError: the database stayed away; the jobs are taken back after `stuck_after`.
    """
    groups: dict[tuple[Outcome, Exchange | None, Verdict], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.outcome, result.exchange, result.verdict].append(result)
    patience = patience_of(runtime)
    held = [kept for members in groups.values() for kept in _record_alike(runtime, members, patience)]
    if len(held) < len(results):
        emit("sync.claim_lost", count=len(results) - len(held))
    return held


def patience_of(runtime: Runtime) -> Patience:
    """Return how long this worker waits for the database: never so long that its claims get stuck meanwhile."""
    return Patience(runtime.stopping, min(RECORD_WITHIN, runtime.settings.stuck_after * FRESH_SHARE))


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a record changed: the claims that held, the gate if it closed, and the jobs that may run because of it."""

    kept: list[Claim]
    closed: Closed | None
    ready: list[UUID]


def _record_alike(runtime: Runtime, results: Sequence[Result], patience: Patience) -> list[Result]:
    scale = runtime.settings.time_scale
    noted = insist(runtime.sessions, patience, lambda session, again: _note(session, results, again=again, scale=scale))
    failpoints.hit("worker.record_unanswered")
    kept = {claim: claim for claim in noted.kept}
    held = [_as_it_stands(result, kept[result.claim]) for result in results if result.claim in kept]
    for result in held:
        tell(result)
    if noted.closed is not None:
        emit("gate.closed", reason=noted.closed.reason, seconds=noted.closed.wait.total_seconds())
        wake.sweep_after(noted.closed.wait)
    wake.ring(noted.ready)
    return held


def _as_it_stands(result: Result, claim: Claim) -> Result:
    """Return the result as it is told: what a newer version has overtaken is neither done nor failed."""
    if not claim.superseded:
        return result
    return replace(result, outcome=Deferred("superseded", "a newer version was confirmed meanwhile"))


def _note(session: Session, results: Sequence[Result], *, again: bool, scale: float) -> _Noted:
    """Write results that met the same. `again` says that an earlier try may have been committed."""
    first, claims = results[0], [result.claim for result in results]
    kept, closed = _write(session, first, claims, scale), None
    recorded = _list_recorded(session, first, claims) if again and not kept else []
    if not recorded:  # else the earlier try closed the gate, if it had to, and a probe may have opened it since
        closed = gate.close_for(session, first.outcome, scale=scale, probing=first.probing)
    kept = kept or recorded
    return _Noted(kept, closed, _now_ready(session, kept) if first.verdict in ENDED else [])


def _list_recorded(session: Session, result: Result, claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims whose outcome an earlier try recorded: its commit was carried out, and the answer got lost.

    Under the token of a claim only its worker writes an attempt, or whoever took the job back (`worker_lost`). A release
    of what was never sent writes none, and nobody else leaves `processing` without one.
    """
    keys = [(claim.job_id, claim.token) for claim in claims]
    statement = select(SyncAttempt.job_id, SyncAttempt.outcome)
    rows = session.execute(statement.where(tuple_(SyncAttempt.job_id, SyncAttempt.claim_token).in_(keys)))
    found = dict(rows.all())
    unsent = isinstance(result.outcome, Deferred) and result.exchange is None
    otherwise = "released" if unsent else WORKER_LOST
    return [claim for claim in claims if found.get(claim.job_id, otherwise) != WORKER_LOST]


def _now_ready(session: Session, ended: Sequence[Claim]) -> list[UUID]:
    """Return the jobs that may run because these ended: the enriched ones behind them, and newer versions owed."""
    signups = [claim.signup_id for claim in ended if claim.phase is Phase.INITIAL]
    return [*queries.list_followers(session, signups), *queries.list_owed(session, [claim.job_id for claim in ended])]


def _write(session: Session, result: Result, claims: Sequence[Claim], scale: float) -> list[Claim]:
    outcome, exchange = result.outcome, result.exchange
    match outcome:
        case Delivered():
            return transitions.complete(session, claims, outcome, exchange)
        case Deferred():
            return transitions.release(session, claims, outcome, exchange)
        case RetryLater() if result.verdict is Verdict.DEFERRED:
            wait = retry_delay(result.claim.attempt_count + 1, scale=scale)
            return transitions.release(session, claims, Deferred(gate.PROBE_FAILED, outcome.detail, wait), exchange)
        case RetryLater() if result.verdict is Verdict.RETRYING:
            return transitions.retry_later(session, claims, outcome, exchange, scale=scale)
        case RetryLater() | Rejected():
            failed = transitions.fail(session, claims, outcome, exchange)
            failpoints.hit("dead_letter.before_commit")
            return failed


# --- tell -------------------------------------------------------------------------------------------------------------


def tell(result: Result) -> None:
    """Tell the listeners what became of a claim: ids and words only."""
    failpoints.hit("worker.before_live_event")
    claim, outcome = result.claim, result.outcome
    facts: dict[str, Any] = {
        "signup_id": str(claim.signup_id),
        "job_id": str(claim.job_id),
        "phase": claim.phase,
        "operator_id": claim.signup.operator_id,
        "attempt_count": claim.attempt_count,
        "request_id": result.exchange.request_id if result.exchange else None,
    }
    match outcome:
        case Delivered(mock=mock):
            emit("sync.completed", **facts, contact_id=claim.contact_id, mock=mock)
        case Deferred(code=code):
            emit("sync.deferred", **facts, error_code=code)
        case RetryLater(code=code) if result.probing:
            emit("sync.deferred", **facts, error_code=code)
        case RetryLater() | Rejected():
            error = {"error_type": outcome.error_type, "error_code": outcome.code, "http_status": outcome.http_status}
            if result.verdict is Verdict.RETRYING:
                emit("sync.retrying", **facts, **error)
            else:
                emit("sync.failed", **facts, **error, exhausted_retries=isinstance(outcome, RetryLater))
