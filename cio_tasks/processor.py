"""Processing: what a message, beat, the API and the CLI call. It claims what is due, delivers, and counts."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from cio_tasks import gate, transitions, wake
from cio_tasks.claims import Claim
from cio_tasks.delivery import Result, Verdict, deliver
from cio_tasks.events import emit
from cio_tasks.gate import Reason
from cio_tasks.outcomes import Delivered, Rejected
from cio_tasks.runtime import Runtime


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
        claims = _claim(runtime, limit=min(runtime.settings.batch_size, limit - counts.total()))
        delivered = _count(deliver(runtime, claims))
        counts += delivered
        if not claims or delivered[Verdict.DEFERRED] or (until is not None and time.monotonic() > until):
            break
    return Summary.of(counts)


def _count(results: Sequence[Result]) -> Counter[Verdict]:
    return Counter(result.verdict for result in results)


def _claim(runtime: Runtime, *, limit: int, job_id: UUID | None = None, probing: bool = False) -> list[Claim]:
    with runtime.sessions.begin() as session:
        return transitions.claim(session, worker=runtime.worker, limit=limit, job_id=job_id, probing=probing)


# --- the probe --------------------------------------------------------------------------------------------------------


def probe(runtime: Runtime) -> list[Result]:
    """Find out whether Customer.io works again, if the gate's time has come and no other worker is finding out.

    One real job is the probe. For rejected credentials, or when no job is due, it is a look at the account's region.
    """
    with runtime.sessions.begin() as session:
        reasons = gate.begin_probe(session)
    if not reasons:
        return []
    claims = [] if Reason.AUTH in reasons else _claim(runtime, limit=1, probing=True)
    if not claims:
        _, answer = runtime.client.region()
        _settle(runtime, reasons, works=isinstance(answer.outcome, Delivered))
        return []
    results = deliver(runtime, claims, probing=True)
    asked = [result for result in results if result.exchange is not None]
    if asked:
        _settle(runtime, reasons, works=any(isinstance(result.outcome, (Delivered, Rejected)) for result in asked))
    else:
        with runtime.sessions.begin() as session:
            gate.give_up_probe(session, reasons)
    return results


def _settle(runtime: Runtime, reasons: Sequence[Reason], *, works: bool) -> None:
    """Open the gate after a good probe; after a bad one keep it closed for longer, and come back then."""
    if not works:
        with runtime.sessions.begin() as session:
            wait = gate.fail_probe(session, reasons, scale=runtime.settings.time_scale)
        emit("gate.probe_failed", reasons=[*reasons], seconds=wait.total_seconds())
        wake.sweep_after(wait)
        return
    with runtime.sessions.begin() as session:
        if Reason.AUTH in reasons:
            transitions.revive_unauthorized(session)
        opened = gate.open_up(session, reasons, due=True)
    emit("gate.opened", reasons=[*opened])
