"""Playing a job's attempts and audit entries from the start: they must lead to where the job is now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cio_tasks.backoff import MAX_RETRIES
from tests.chaos.evidence import Attempt, Audit, Job

SAME: Final = 1e-4
"""Seconds: two rows of one transaction have the same time."""
REQUEUES: Final = ("manual_retry", "revived", "reset")


@dataclass(frozen=True)
class State:
    """Where a job stands, as far as the record tells."""

    status: str = "pending"
    count: int = 0


class Contradiction(Exception):
    """The record cannot have happened."""


def replays(job: Job, attempts: Sequence[Attempt], audit: Sequence[Audit]) -> str | None:
    """Return None when the record leads to the job's present state, else what is wrong with it."""
    try:
        _check_tokens(job, attempts)
        state = _play(attempts, audit)
    except Contradiction as found:
        return str(found)
    if (state.status, state.count) == (job.status, job.attempt_count):
        return None
    return f"it is {job.status} with {job.attempt_count} retries, and the record says {state.status}, {state.count}"


def _check_tokens(job: Job, attempts: Sequence[Attempt]) -> None:
    """A token only grows. A release of what was never sent uses one and leaves no attempt."""
    tokens = [attempt.token for attempt in attempts]
    if any(later.finished_at < earlier.finished_at for earlier, later in _pairs(attempts)):
        raise Contradiction(f"its attempts with the tokens {tokens} did not end in this order")
    if tokens and tokens[-1] > job.claim_token:
        raise Contradiction(f"an attempt has token {tokens[-1]}, and the job {job.claim_token}")


def _pairs(attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Attempt]]:
    return pairwise(sorted(attempts, key=lambda attempt: attempt.token))


def _play(attempts: Sequence[Attempt], audit: Sequence[Audit]) -> State:
    if not audit or audit[0].action != "enqueued":
        raise Contradiction("its audit does not begin with its being enqueued")
    state = State()
    requeues = sorted((entry for entry in audit if entry.action in REQUEUES), key=lambda entry: entry.id)
    for attempt in sorted(attempts, key=lambda attempt: attempt.token):
        while requeues and requeues[0].at < attempt.finished_at and _begins_at(requeues[0], state):
            state = State()
            requeues.pop(0)
        if state.status != "pending":
            raise Contradiction(f"the attempt with token {attempt.token} was made while it was {state.status}")
        if attempt.retry != state.count:
            raise Contradiction(f"token {attempt.token} was retry {attempt.retry}, and {state.count} were used")
        state = _after(attempt, audit)
    for entry in requeues:
        if not _begins_at(entry, state):
            raise Contradiction(f"{entry.action} found it {entry.details}, and it was {state}")
        state = State()
    return state


def _begins_at(requeue: Audit, state: State) -> bool:
    """Tell whether a requeueing met this state. Its time is that of its transaction, which may have had to wait."""
    return (requeue.details.get("from"), requeue.details.get("attemptCountBefore")) == (state.status, state.count)


def _after(attempt: Attempt, audit: Sequence[Audit]) -> State:
    with_it = {entry.action for entry in audit if abs(entry.at - attempt.finished_at) < SAME}
    if "customerio_synced" in with_it:
        return State("completed", attempt.retry)
    if "customerio_sync_failed" in with_it:
        return State("failed", attempt.retry)
    match attempt.outcome:
        case "released":
            return State("pending", attempt.retry)
        case "retry_later" | "worker_lost":
            left = attempt.retry < MAX_RETRIES  # otherwise a newer version, with all its retries
            return State("pending", attempt.retry + 1 if left else 0)
    return State()  # superseded by a newer version
