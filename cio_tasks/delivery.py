"""One delivery: claims in, outcomes recorded. build, preflight, send, classify, record.

One HTTP request carries many jobs. A refused batch is halved until the guilty job is alone; so is one that meets a server
error, unless both halves meet it too, which is an outage and not a bad job. No HTTP call happens inside a transaction.
"""

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from cio_tasks import gate, phases, queries, transitions, wake
from cio_tasks.backoff import retry_delay
from cio_tasks.claims import Claim
from cio_tasks.customerio import BatchResult, CustomerIO, Operation, Reply
from cio_tasks.customerio.limits import BATCH_BYTES, encode
from cio_tasks.errors import PayloadError
from cio_tasks.events import emit
from cio_tasks.journal import Exchange
from cio_tasks.outcomes import INITIAL_FAILED, Deferred, Delivered, Outcome, Rejected, RetryLater
from cio_tasks.redaction import redact
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from cio_tasks.states import Phase

ENVELOPE_BYTES: Final = len(encode({"batch": []}))
FRESH_SHARE: Final = 0.3
"""The share of `stuck_after` after which a claim is too old to begin a delivery with."""
SUSPICION: Final = 8
"""How much smaller a batch gets with every retry its jobs have used, so that what spoils batches ends up alone."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A claim with the operations that deliver it."""

    claim: Claim
    operations: list[Operation]
    size: int


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
            left = [parcel.claim for batch in waiting for parcel in batch]
            return [*results, *record(runtime, [Result(claim, obstacle) for claim in left])]
        batch = waiting.popleft()
        sent, parts = _send(runtime.client, batch)
        waiting.extendleft(reversed(parts))
        shown = _presentable(sent, batch, runtime.settings)
        results += record(runtime, [replace(result, probing=probing) for result in shown])
    return results


def _find_obstacle(runtime: Runtime, results: Sequence[Result], old_at: float) -> Deferred | None:
    if runtime.stopping.is_set():
        return Deferred("stopping", "the worker was told to stop")
    if time.monotonic() > old_at:
        return Deferred("claim_old", "the claim was getting too old to begin a delivery")
    if any(not isinstance(result.outcome, Delivered) for result in results):
        with runtime.sessions() as session:
            if gate.list_closed(session):
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
    halves = _halves(batch)
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
            parts += _halves(half)
    return known, parts


def _halves(batch: list[Parcel]) -> list[list[Parcel]]:
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]


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
        results.append(Result(parcel.claim, refused or result.outcome, exchange))
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
    """Write the results, one transaction for all that met the same, and tell the listeners; return those that held."""
    groups: dict[tuple[Outcome, Exchange | None, Verdict], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.outcome, result.exchange, result.verdict].append(result)
    held = [kept for members in groups.values() for kept in _record_alike(runtime, members)]
    if len(held) < len(results):
        emit("sync.claim_lost", count=len(results) - len(held))
    return held


def _record_alike(runtime: Runtime, results: Sequence[Result]) -> list[Result]:
    first, scale = results[0], runtime.settings.time_scale
    with runtime.sessions.begin() as session:
        kept = _write(session, first, [result.claim for result in results], scale)
        closed = gate.close_for(session, first.outcome, scale=scale)
        ready = _now_ready(session, kept) if first.verdict in ENDED else []
    held = [result for result in results if result.claim in kept]
    for result in held:
        tell(result)
    if closed is not None:
        emit("gate.closed", reason=closed.reason, seconds=closed.wait.total_seconds())
        wake.sweep_after(closed.wait)
    wake.ring(ready)
    return held


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
            return transitions.release(session, claims, Deferred("probe_failed", outcome.detail, wait), exchange)
        case RetryLater() if result.verdict is Verdict.RETRYING:
            return transitions.retry_later(session, claims, outcome, exchange, scale=scale)
        case RetryLater() | Rejected():
            return transitions.fail(session, claims, outcome, exchange)


def tell(result: Result) -> None:
    """Tell the listeners what became of a claim: ids and words only."""
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
