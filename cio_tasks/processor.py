"""Processing: what a message, beat, the API and the CLI call. It claims what is due, delivers, and counts."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self
from uuid import UUID

from sqlalchemy.orm import Session

from cio_tasks import failpoints, gate, transitions, wake
from cio_tasks.claims import Claim
from cio_tasks.delivery import Result, Verdict, deliver, patience_of
from cio_tasks.events import emit
from cio_tasks.gate import Reason
from cio_tasks.outcomes import Delivered, ErrorType, Rejected, RetryLater
from cio_tasks.patience import insist
from cio_tasks.runtime import Runtime

PROBES_THAT_TELL: Final = 3
"""How many different jobs must fail as probes before their word outweighs the region's."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How many jobs a run took, and what became of them (row E3)."""

    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    retrying: int = 0
    deferred: int = 0

    @classmethod
    def of(cls, counts: Counter[Verdict]) -> Self:
        """Return the summary of these counts."""
        return cls(counts.total(), *(counts[verdict] for verdict in Verdict))


def sync_one(runtime: Runtime, job_id: UUID) -> Result | None:
    """Deliver one job if it is due and free, and return what became of it, or None when there was nothing to do."""
    failpoints.hit("worker.before_claim")
    claims = _claim(runtime, limit=1, job_id=job_id)
    results = deliver(runtime, claims) if claims else []
    return results[0] if results else None


def process_due(runtime: Runtime, *, limit: int, at_most: timedelta | None = None) -> Summary:
    """Deliver up to `limit` due jobs, in batches, oldest first; stop early after `at_most` or when told to stop.

    When the gate is closed and its time has come, this is also where the one probe happens.
    """
    until = None if at_most is None else time.monotonic() + at_most.total_seconds()
    counts = _count(probe(runtime))
    while counts.total() < limit and not runtime.stopping.is_set():
        failpoints.hit("sweep.before_claim")
        claims = _claim(runtime, limit=min(runtime.settings.batch_size, limit - counts.total()))
        delivered = _count(deliver(runtime, claims))
        counts += delivered
        failpoints.hit("sweep.after_delivery")
        if not claims or delivered[Verdict.DEFERRED] or (until is not None and time.monotonic() > until):
            break
    return Summary.of(counts)


def _count(results: Sequence[Result]) -> Counter[Verdict]:
    return Counter(result.verdict for result in results)


def _claim(runtime: Runtime, *, limit: int, job_id: UUID | None = None, probing: bool = False) -> list[Claim]:
    with runtime.sessions.begin() as session:
        claims = transitions.claim(session, worker=runtime.worker, limit=limit, job_id=job_id, probing=probing)
    failpoints.hit("worker.claim_unanswered")
    return claims


# --- the probe --------------------------------------------------------------------------------------------------------


def probe(runtime: Runtime) -> list[Result]:
    """Find out whether Customer.io works again, if the gate's time has come and no other worker is finding out.

    One real job is the probe. For rejected credentials, or when no job is due, it is a look at the account's region.
    """
    with runtime.sessions.begin() as session:
        reasons = gate.begin_probe(session, scale=runtime.settings.time_scale)
    if not reasons:
        return []
    claims = [] if Reason.AUTH in reasons else _claim(runtime, limit=1, probing=True)
    if not claims:
        _settle(runtime, reasons, works=_region_answers(runtime))
        return []
    results = deliver(runtime, claims, probing=True)
    asked = [result for result in results if result.exchange is not None]
    if asked:
        _settle(runtime, reasons, works=any(_shows_it_works(runtime, result) for result in asked))
    else:
        with runtime.sessions.begin() as session:
            gate.give_up_probe(session, reasons)
    return results


def _shows_it_works(runtime: Runtime, probed: Result) -> bool:
    """Tell what a probe with a job says of Customer.io. After a failure the region is asked for a second opinion.

    A job may fail for reasons of its own, and must not stop all others. But a 429 is meant for everybody; and when one job
    after the other fails, it is not the jobs, whatever the region says: then only deliveries are out of order.
    """
    match probed.outcome:
        case Delivered() | Rejected():
            return True
        case RetryLater(error_type=ErrorType.RATE_LIMIT):
            return False
    with runtime.sessions() as session:
        failed = gate.count_failed_probes(session, scale=runtime.settings.time_scale)
    return failed < PROBES_THAT_TELL and _region_answers(runtime)


def _region_answers(runtime: Runtime) -> bool:
    _, answer = runtime.client.region()
    return isinstance(answer.outcome, Delivered)


def _settle(runtime: Runtime, reasons: Sequence[Reason], *, works: bool) -> None:
    """Open the gate after a good probe; after a bad one keep it closed for longer, and come back then."""
    patience = patience_of(runtime)
    if works:
        opened = insist(runtime.sessions, patience, lambda session, _: _open(session, reasons))
        if opened:
            emit("gate.opened", reasons=[*opened])
        return
    scale = runtime.settings.time_scale
    wait = insist(runtime.sessions, patience, lambda session, _: gate.fail_probe(session, reasons, scale=scale))
    emit("gate.probe_failed", reasons=[*reasons], seconds=wait.total_seconds())
    wake.sweep_after(wait)


def _open(session: Session, reasons: Sequence[Reason]) -> list[Reason]:
    """Open the gate where it has not been closed anew meanwhile; there somebody may probe when that time has come."""
    if Reason.AUTH in reasons:
        transitions.revive_unauthorized(session)
    opened = gate.open_up(session, reasons, due=True)
    gate.give_up_probe(session, reasons)
    return opened
