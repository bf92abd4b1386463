"""Twins with one mistake each, of the kind that such systems are known for. What explores them must find every one."""

from collections.abc import Iterable
from typing import Any

from cio_tasks.backoff import retry_delay
from cio_tasks.outcomes import Delivered, RetryLater
from cio_tasks.states import JobStatus
from tests.stateful.model import Twin
from tests.stateful.rows import Claim, Job, Key, Sent, World, seconds


class NoFence(Twin):
    """A late worker may record what it met."""

    def holds(self, job: Job, claim: Claim) -> bool:
        return job.status is JobStatus.PROCESSING


class FencedByRetries(Twin):
    """The number of retries serves as the fence, and an operator's retry starts it anew."""

    def holds(self, job: Job, claim: Claim) -> bool:
        return job.status is JobStatus.PROCESSING and job.retries == claim.retries


class RetryRaisesToken(Twin):
    """A retry by hand counts as a claim."""

    def _requeue(self, world: World, jobs: Iterable[Job], verb: str, action: str, **values: Any) -> World:
        failed = [job for job in jobs if job.status is JobStatus.FAILED]
        for job in failed:
            world = super()._requeue(world, [job], verb, action, **values, token=job.token + 1)
        return world


class RetryResetsToken(Twin):
    """A retry by hand begins with a new row's token."""

    def _requeue(self, world: World, jobs: Iterable[Job], verb: str, action: str, **values: Any) -> World:
        return super()._requeue(world, jobs, verb, action, **values, token=0)


class CleanupBelievesItsSelect(Twin):
    """What was stuck when the cleanup looked is taken back, whatever it is by now."""

    def take_back(self, world: World, seen: Iterable[Claim]) -> World:
        for claim in seen:
            world = self.lose(world, claim)
        return world


class CleanupForgetsTheToken(Twin):
    """The cleanup makes sure that the job is processing still, by whomever."""

    def take_back(self, world: World, seen: Iterable[Claim]) -> World:
        for claim in seen:
            if world.job(claim.key).status is JobStatus.PROCESSING:
                world = self.lose(world, claim)
        return world


class EnrichedDoesNotWait(Twin):
    """The second phase is claimed whenever it is due."""

    def may_follow(self, world: World, job: Job) -> bool:
        return True

    def _is_initial_failed(self, world: World, job: Job) -> bool:
        return False


class RetriesWithoutEnd(Twin):
    """A failure that may pass is always tried once more."""

    def fail(self, world: World, claim: Claim, failure: Any) -> World:
        if isinstance(failure, RetryLater):
            return self.retry_later(world, claim, failure)
        return super().fail(world, claim, failure)


class NewIdEachAttempt(Twin):
    """Every request has an event id of its own."""

    def request(self, claim: Claim, *, taken: bool) -> Sent:
        sent = super().request(claim, taken=taken)
        return sent._replace(event_id=f"{sent.event_id[:-1]}{claim.token}")


class CompletedIsOwedAgain(Twin):
    """Submitting a signup again delivers it again."""

    def enqueue(self, world: World, key: Key, version: int) -> World:
        job = world.find(key)
        if job is not None and job.status is JobStatus.COMPLETED:
            return self._reset(world, job, version)
        return super().enqueue(world, key, version)


class ProcessingIsReset(Twin):
    """Submitting a signup again takes its job away from whoever delivers it."""

    def enqueue(self, world: World, key: Key, version: int) -> World:
        job = world.find(key)
        if job is not None and job.status is JobStatus.PROCESSING:
            fresh = job._replace(retries=0, due_at=None, status=JobStatus.PENDING)
            return self._tell(world.put(fresh), key, "reset")
        return super().enqueue(world, key, version)


class CrashCostsNothing(Twin):
    """A job whose worker dies is as if it had never been tried."""

    def lose(self, world: World, claim: Claim) -> World:
        world = self._notice(world, claim, "worker_lost", None)
        return self._move(world, world.job(claim.key), "reset_stuck", JobStatus.PENDING)


class CrashIsForgotten(Twin):
    """Nobody looks for workers that died."""

    def look(self, world: World) -> tuple[Claim, ...]:
        return ()


class RefusalBelievesItsClaim(Twin):
    """What was claimed behind a failed initial job is given up, whatever became of that one."""

    def must_follow(self, world: World, key: Key) -> bool:
        return True


class LastLossEndsAll(Twin):
    """The worker of the last retry takes a correction with it that it never had."""

    def lose(self, world: World, claim: Claim) -> World:
        job = world.job(claim.key)
        return super().lose(world.put(job._replace(overtaken=False)), claim)


class NewerVersionIsForgotten(Twin):
    """A bet slip that is corrected while it is being delivered counts as delivered."""

    def complete(self, world: World, claim: Claim, delivered: Delivered) -> World:
        newest = claim._replace(version=world.job(claim.key).version)
        return super().complete(world, newest, delivered)


class TimeoutIsSuccess(Twin):
    """Whatever was sent counts as delivered."""

    def retry_later(self, world: World, claim: Claim, failure: RetryLater) -> World:
        return self.complete(world, claim, Delivered())


class NoDeadLetter(Twin):
    """A job is given up without a word."""

    def bury(self, world: World, claim: Claim) -> World:
        return self._tell(world, claim.key, "customerio_sync_failed", claim.retries)


class SilentReset(Twin):
    """What is submitted again leaves no audit."""

    def _reset(self, world: World, job: Job, version: int) -> World:
        return self._move(world, job, "reset", JobStatus.PENDING, retries=0, due_at=None, version=version, letter=False)


class ClaimsThroughTheGate(Twin):
    """Nobody asks the gate."""

    def is_closed(self, world: World) -> bool:
        return False


class GivesUpTooSoon(Twin):
    """A failure that may pass ends the job at once."""

    def retry_later(self, world: World, claim: Claim, failure: RetryLater) -> World:
        return self.fail(world, claim, failure)


class WaitsForEver(Twin):
    """A retry is due at a time that never comes: an enriched job waits for a person instead of the initial one."""

    def may_follow(self, world: World, job: Job) -> bool:
        return super().may_follow(world, job) and not (job.retries and job.error == "http_503")


class FailedIsLeftFlagged(Twin):
    """A retry by hand forgets the signup's flag."""

    def _flag(self, world: World, signup: int) -> World:
        if any(job.status is JobStatus.FAILED for job in world.jobs):
            return super()._flag(world, signup)
        return world


class CountsTwice(Twin):
    """A failure costs two retries."""

    def retry_later(self, world: World, claim: Claim, failure: RetryLater) -> World:
        world = super().retry_later(world, claim, failure)
        job = world.job(claim.key)
        return world.put(job._replace(retries=job.retries + 1, due_at=world.now + seconds(retry_delay(job.retries))))


BROKEN = (
    NoFence,
    FencedByRetries,
    RetryRaisesToken,
    RetryResetsToken,
    CleanupBelievesItsSelect,
    CleanupForgetsTheToken,
    EnrichedDoesNotWait,
    RetriesWithoutEnd,
    NewIdEachAttempt,
    CompletedIsOwedAgain,
    ProcessingIsReset,
    CrashCostsNothing,
    CrashIsForgotten,
    RefusalBelievesItsClaim,
    LastLossEndsAll,
    NewerVersionIsForgotten,
    TimeoutIsSuccess,
    NoDeadLetter,
    SilentReset,
    ClaimsThroughTheGate,
    GivesUpTooSoon,
    WaitsForEver,
    FailedIsLeftFlagged,
    CountsTwice,
)
