"""What must hold of every world, and of every step from one to the next. The numbers are those of the invariants' list."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from cio_tasks.backoff import MAX_RETRIES
from cio_tasks.outcomes import INITIAL_FAILED, WORKER_LOST
from cio_tasks.states import JobStatus, Phase
from tests.stateful.model import ARROWS, STUCK_AFTER
from tests.stateful.rows import TERMINAL, Job, Key, Standing, World, id_of

PASSING: Final = ("http_429", "http_503", "timeout", WORKER_LOST)
"""The codes of failures that may pass, as far as the twin's worlds have them."""


def faults_of(world: World) -> Iterator[str]:
    """Yield what is wrong with a world by itself."""
    yield from _missing(world)
    for job in world.jobs:
        yield from _wrong_with(world, job)
    for number, signup in enumerate(world.signups):
        failed = any(job.status is JobStatus.FAILED for job in world.jobs if job.key.signup == number)
        if signup.failed is not failed:
            yield f"I8: signup {number} is flagged failed: {signup.failed}, its jobs say {failed}"
    yield from _ids(world)


def _missing(world: World) -> Iterator[str]:
    keys = [job.key for job in world.jobs]
    if len(set(keys)) < len(keys):
        yield f"I2: two jobs for one phase: {keys}"
    owed = {Key(number, Phase.INITIAL) for number in range(len(world.signups))}
    owed |= {Key(number, Phase.ENRICHED) for number, signup in enumerate(world.signups) if signup.version}
    if owed != set(keys):
        yield f"I1: owed are {owed}, and there are {keys}"


def _wrong_with(world: World, job: Job) -> Iterator[str]:
    if not 0 <= job.retries <= MAX_RETRIES:
        yield f"I4: {job.key} has used {job.retries} retries"
    if job.told != _told_by(job):
        yield f"I5: {job.key} is {job.status} after {job.retries} retries, and its evidence says {job.told}"
    if job.status is JobStatus.COMPLETED and not _is_taken(world, job.key, job.version):
        yield f"I7: {job.key} is completed, and Customer.io never took version {job.version}"
    if job.letter is not (job.status is JobStatus.FAILED):
        yield f"I8: {job.key} is {job.status}, and has an open dead letter: {job.letter}"
    if job.status is JobStatus.FAILED and job.error == INITIAL_FAILED and _initial(world, job) is JobStatus.COMPLETED:
        yield f"I8: {job.key} was given up because of its initial job, which is completed"
    if job.key.phase is Phase.ENRICHED and job.status is JobStatus.PROCESSING and _is_ahead(world, job):
        yield f"I9: {job.key} is being delivered while its signup's initial job is not finished"


def _told_by(job: Job) -> Standing:
    """Return what the evidence must say: a claim leaves none until it ends."""
    status = JobStatus.PENDING if job.status is JobStatus.PROCESSING else job.status
    return Standing(status, job.retries)


def _is_taken(world: World, key: Key, version: int | None = None) -> bool:
    return any(sent.taken for sent in world.sent if sent.key == key and version in {None, sent.version})


def _is_ahead(world: World, job: Job) -> bool:
    """Tell whether a claim that will send stands before the initial job is done. One that knows of its failure does not."""
    held = [hand.claim for hand in world.hands if hand is not None and hand.claim.key == job.key]
    sends = any(claim.token == job.token and not claim.initial_failed for claim in held)
    return sends and _initial(world, job) is not JobStatus.COMPLETED


def _initial(world: World, job: Job) -> JobStatus:
    return world.job(Key(job.key.signup, Phase.INITIAL)).status


def _ids(world: World) -> Iterator[str]:
    for sent in world.sent:
        if sent.event_id != id_of(sent.key, sent.version):
            yield f"I10: {sent.key} was sent with the id {sent.event_id}"
    by_id = sorted((sent.event_id, sent.key, sent.version) for sent in world.sent)
    for event_id, group in groupby(dict.fromkeys(by_id), key=lambda sent: sent[0]):
        if len(list(group)) > 1:
            yield f"I10: two events have the id {event_id}"


def faults_between(before: World, after: World) -> Iterator[str]:
    """Yield what is wrong with one transaction."""
    for job in before.jobs:
        found = after.find(job.key)
        if found is None:
            yield f"I1: {job.key} is gone"
        elif found != job:
            yield from _wrong_step(job, found)
            yield from _taken_away(before, after, job, found)
            yield from _wrongly_given_up(before, after, job, found)
    yield from _wrongly_sent(before, after)
    yield from _wrongly_claimed(before, after)


def _wrong_step(old: Job, new: Job) -> Iterator[str]:
    claimed = old.status is JobStatus.PENDING and new.status is JobStatus.PROCESSING
    if new.token != old.token + claimed:
        yield f"I3: the token of {new.key} went from {old.token} to {new.token}"
    if old.status is not new.status and not any(arrow[1:] == (old.status, new.status) for arrow in ARROWS):
        yield f"I5: {new.key} went from {old.status} to {new.status}"
    if old.status is JobStatus.COMPLETED and new.version == old.version:
        yield f"I5: {new.key} was completed, and runs again for the same version"
    if new.version < old.version:
        yield f"I10: the version of {new.key} went back to {new.version}"
    if new.retries - old.retries > 1:
        yield f"I4: the retries of {new.key} went from {old.retries} to {new.retries}"
    buried = old.status is JobStatus.PROCESSING and new.status is JobStatus.FAILED
    if buried and new.error in PASSING and old.retries < MAX_RETRIES:
        yield f"I8: {new.key} was given up after {old.retries} retries, by a failure that may pass"


def _taken_away(before: World, after: World, old: Job, new: Job) -> Iterator[str]:
    """Only the worker that holds a job ends its delivery, or the cleanup, once that worker is late."""
    ended = [
        hand.claim for hand, then in zip(before.hands, after.hands, strict=True) if hand is not None and then is None
    ]
    if any(claim.key == new.key and claim.token != old.token for claim in ended):
        yield f"I3: {new.key} was changed by a worker whose claim was over"
    if old.status is JobStatus.PROCESSING and new.status is not JobStatus.PROCESSING:
        mine = any(claim.key == new.key for claim in ended)
        if not mine and old.updated_at > before.now - STUCK_AFTER:
            yield f"I3: {new.key} was taken from the worker that delivers it"


def _wrongly_given_up(before: World, after: World, old: Job, new: Job) -> Iterator[str]:
    """A job ends by what was tried of its newest version, or by an initial job that is given up at that moment."""
    if (old.status, new.status) != (JobStatus.PROCESSING, JobStatus.FAILED):
        return
    if new.error == INITIAL_FAILED and _initial(after, new) is not JobStatus.FAILED:
        yield f"I8: {new.key} was given up because of its initial job, which is {_initial(after, new)}"
    tried = [hand.claim.version for hand in before.hands if hand is not None and hand.claim[:2] == (old.key, old.token)]
    if tried and max(tried) < new.version:
        yield f"I8: {new.key} was given up at version {new.version}, and only {tried} was tried"


def _wrongly_sent(before: World, after: World) -> Iterator[str]:
    for sent in after.sent - before.sent:
        if sent.key.phase is Phase.ENRICHED and not _is_taken(before, sent.key._replace(phase=Phase.INITIAL)):
            yield f"I9: {sent.key} was sent, and Customer.io has not taken the initial phase"


def _wrongly_claimed(before: World, after: World) -> Iterator[str]:
    """A claim needs an open gate, or the right to probe, of which there is one."""
    new = [job for job in after.jobs if (old := before.find(job.key)) is not None and old.token < job.token]
    closed = [row for row in before.gate if row.closed_at is not None and (row.until is None or row.until > before.now)]
    if new and closed:
        yield f"I12: {new[0].key} was claimed while the gate was closed: {closed[0].reason}"


def unfinished(world: World) -> list[Job]:
    """Return the jobs that are not where they can stay."""
    return [job for job in world.jobs if job.status not in TERMINAL]
