"""The twin: the life of jobs without a database, on a virtual clock. Each method is one transaction.

Arrows, delays, event ids and the gate's figures are the product's own, so they cannot drift; what is said twice, here and
in the product, is the order of things. A statement runs a moment after its step began, so what is due now is due.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from cio_tasks import gate
from cio_tasks.backoff import MAX_RETRIES, retry_delay
from cio_tasks.gate import PROBE_FAILED, Reason
from cio_tasks.outcomes import (
    CREDENTIALS_AT_FAULT,
    INITIAL_FAILED,
    WORKER_LOST,
    Deferred,
    Delivered,
    ErrorType,
    Outcome,
    Rejected,
    RetryLater,
)
from cio_tasks.processor import PROBES_THAT_TELL
from cio_tasks.states import TRANSITIONS, JobStatus, Phase
from tests.stateful.closings import closed_for, credentials_fail, is_outage, put_closing, stands
from tests.stateful.rows import Claim, Closing, Job, Key, Noticed, Sent, Signup, World, id_of, play, seconds

PENDING, PROCESSING, COMPLETED, FAILED = JobStatus
STUCK_AFTER: Final = 300
ARROWS: Final = frozenset((arrow.verb, arrow.source, arrow.target) for arrow in TRANSITIONS)
OUT_OF_ORDER: Final = (ErrorType.NETWORK, ErrorType.SERVER_ERROR)
UNFINISHED: Final = (PENDING, PROCESSING)


class NoSuchArrow(AssertionError):
    """A status was to change in a way that `states.TRANSITIONS` does not know."""


class Twin:
    """What the product does, said once more. A broken twin overrides one of these methods."""

    # --- in ---

    def accept(self, world: World) -> World:
        """Submit one more signup."""
        key = Key(len(world.signups), Phase.INITIAL)
        return self.enqueue(world._replace(signups=(*world.signups, Signup())), key, 1)

    def accept_again(self, world: World, signup: int) -> World:
        """Submit a signup that is there once more."""
        return self.enqueue(world, Key(signup, Phase.INITIAL), 1)

    def confirm(self, world: World, signup: int) -> World:
        """Confirm the bet slip of a signup, or correct it."""
        version = world.signups[signup].version + 1
        world = self._set_signup(world, signup, version=version)
        return self.enqueue(world, Key(signup, Phase.ENRICHED), version)

    def enqueue(self, world: World, key: Key, version: int) -> World:
        """Owe a phase."""
        job = world.find(key)
        if job is None:
            self._check_arrow("enqueue", None, PENDING)
            due = self._due_behind_initial(world, key)
            made = Job(key, PENDING, world.now, world.now, due, version=version, told=play(None, "enqueued"))
            return world._replace(jobs=(*world.jobs, made))
        newer = version > job.version
        if job.status is PROCESSING:
            return world.put(job._replace(version=version, overtaken=True)) if newer else world
        if job.status is COMPLETED and not newer:
            return world
        return self._reset(world, job, max(version, job.version))

    def _reset(self, world: World, job: Job, version: int) -> World:
        due = self._due_behind_initial(world, job.key)
        fresh = {"retries": 0, "due_at": due, "error": None, "version": version, "manual": False, "letter": False}
        world = self._move(world, job, "reset", PENDING, **fresh)
        return self._flag(self._tell(world, job.key, "reset"), job.key.signup)

    def _due_behind_initial(self, world: World, key: Key) -> int | None:
        initial = None if key.phase is Phase.INITIAL else world.find(Key(key.signup, Phase.INITIAL))
        return initial.due_at if initial is not None and initial.status is PENDING else None

    # --- out ---

    def claim(
        self, world: World, *, limit: int = 1, key: Key | None = None, probing: bool = False
    ) -> tuple[Claim, ...]:
        """Return the claims that a worker gets; `claimed` is the world then."""
        if not probing and self.is_closed(world):
            return ()
        due = [
            (job.created_at if job.due_at is None else job.due_at, place, job)
            for place, job in enumerate(world.jobs)
            if job.status is PENDING and (job.due_at is None or job.due_at <= world.now) and key in {None, job.key}
        ]
        ready = [job for _, _, job in sorted(due) if self.may_follow(world, job)]
        return tuple(
            Claim(job.key, job.token + 1, job.retries, job.version, self._is_initial_failed(world, job))
            for job in ready[:limit]
        )

    def claimed(self, world: World, claims: Iterable[Claim]) -> World:
        """Return the world in which these claims were made."""
        for claim in claims:
            job = world.job(claim.key)
            world = self._move(world, job, "claim", PROCESSING, token=job.token + 1, due_at=None, overtaken=False)
        return world

    def may_follow(self, world: World, job: Job) -> bool:
        """Tell whether nothing has to be sent before this job."""
        if job.key.phase is Phase.INITIAL:
            return True
        initial = world.find(Key(job.key.signup, Phase.INITIAL))
        return initial is None or initial.status not in UNFINISHED

    def _is_initial_failed(self, world: World, job: Job) -> bool:
        initial = None if job.key.phase is Phase.INITIAL else world.find(Key(job.key.signup, Phase.INITIAL))
        return initial is not None and initial.status is not COMPLETED

    def send(self, world: World, worker: int, outcome: Outcome, *, taken: bool) -> World:
        """Let a worker send what it holds, and meet this outcome. What cannot be sent is not."""
        hand = world.hands[worker]
        assert hand is not None
        if hand.claim.initial_failed:
            refused = Rejected(INITIAL_FAILED, "not sent")
            return world.hold(worker, hand._replace(outcome=refused))
        world = world._replace(sent=world.sent | {self.request(hand.claim, taken=taken)})
        return world.hold(worker, hand._replace(outcome=outcome, asked=True))

    def request(self, claim: Claim, *, taken: bool) -> Sent:
        """Return what the ledger keeps of a request."""
        return Sent(claim.key, claim.version, id_of(claim.key, claim.version), taken)

    # --- what came of it ---

    def record(
        self, world: World, claim: Claim, outcome: Outcome, *, asked: bool = True, probing: bool = False
    ) -> World:
        """Record what a claim met, if it still holds, and close the gate if that calls for it."""
        if self.holds(world.job(claim.key), claim):
            world = self._write(world, claim, outcome, asked=asked, probing=probing)
        return self._close_for(world, outcome, probing=probing)

    def holds(self, job: Job, claim: Claim) -> bool:
        """Tell whether a claim is still good: the fence."""
        return job.status is PROCESSING and job.token == claim.token

    def _write(self, world: World, claim: Claim, outcome: Outcome, *, asked: bool, probing: bool) -> World:
        match outcome:
            case Delivered():
                return self.complete(world, claim, outcome)
            case Deferred():
                return self.release(world, claim, outcome, asked=asked)
            case RetryLater() if probing:
                wait = retry_delay(claim.retries + 1)
                return self.release(world, claim, Deferred(PROBE_FAILED, "", wait), asked=asked)
            case RetryLater() if claim.retries < MAX_RETRIES:
                return self.retry_later(world, claim, outcome)
        return self.fail(world, claim, outcome)

    def complete(self, world: World, claim: Claim, delivered: Delivered) -> World:
        """Record that Customer.io took it; a newer version is owed still."""
        job = world.job(claim.key)
        world = self._notice(world, claim, "delivered", delivered)
        if job.version != claim.version:
            return self.supersede(world, claim)
        world = self._move(world, job, "complete", COMPLETED, error=None)
        world = self._tell(world, claim.key, "customerio_synced", claim.retries)
        world = self._flag(self._set_signup(world, claim.key.signup, synced=True), claim.key.signup)
        return self.revive_followers(self.hold_follower(world, claim.key, None), claim.key)

    def supersede(self, world: World, claim: Claim) -> World:
        """Owe the newer version of what was delivered or given up."""
        return self._move(world, world.job(claim.key), "supersede", PENDING, retries=0, due_at=None, error=None)

    def retry_later(self, world: World, claim: Claim, failure: RetryLater) -> World:
        """Let a job wait for its next retry."""
        world = self._notice(world, claim, "retry_later", failure)
        due = world.now + seconds(retry_delay(claim.retries + 1))
        change = {"retries": claim.retries + 1, "due_at": due, "error": failure.code}
        world = self._move(world, world.job(claim.key), "retry_later", PENDING, **change)
        return self.hold_follower(world, claim.key, due)

    def hold_follower(self, world: World, key: Key, due: int | None) -> World:
        """Let the enriched job that waits for this initial one be due when that is; None: now."""
        follower = world.find(Key(key.signup, Phase.ENRICHED)) if key.phase is Phase.INITIAL else None
        if follower is None or follower.status is not PENDING or follower.retries or due == follower.due_at:
            return world
        return world.put(follower._replace(due_at=due, updated_at=world.now))

    def fail(self, world: World, claim: Claim, failure: RetryLater | Rejected) -> World:
        """Give a job up, unless a newer version is owed, or it does not have to follow its initial job any more."""
        if failure.code == INITIAL_FAILED and not self.must_follow(world, claim.key):
            return self.release(world, claim, Deferred(INITIAL_FAILED, "not sent"), asked=False)
        outcome = "retry_later" if isinstance(failure, RetryLater) else "rejected"
        world = self._notice(world, claim, outcome, failure)
        if world.job(claim.key).version != claim.version:
            return self.supersede(world, claim)
        world = self._move(world, world.job(claim.key), "fail", FAILED, due_at=None, error=failure.code)
        return self.bury(world, claim)

    def must_follow(self, world: World, key: Key) -> bool:
        """Tell whether a job has to follow its initial one into the dead letters: whether that is there still."""
        initial = world.find(Key(key.signup, Phase.INITIAL))
        return initial is not None and initial.status is FAILED

    def bury(self, world: World, claim: Claim) -> World:
        """Leave what a job leaves behind that was given up."""
        world = world.put(world.job(claim.key)._replace(letter=True))
        world = self.hold_follower(world, claim.key, None)
        return self._flag(self._tell(world, claim.key, "customerio_sync_failed", claim.retries), claim.key.signup)

    def release(self, world: World, claim: Claim, deferred: Deferred, *, asked: bool) -> World:
        """Give a claim back unspent."""
        due = None if deferred.wait is None else world.now + seconds(deferred.wait)
        if asked:
            world = self._notice(world, claim, "released", deferred)
        return self._move(world, world.job(claim.key), "release", PENDING, due_at=due)

    # --- the cleanup: it looks first, and takes later ---

    def look(self, world: World) -> tuple[Claim, ...]:
        """Return the claims whose worker seems to be gone."""
        return tuple(
            Claim(job.key, job.token, job.retries, job.version, initial_failed=False)
            for job in world.jobs
            if self._is_stuck(world, job)
        )

    def _is_stuck(self, world: World, job: Job) -> bool:
        return job.status is PROCESSING and job.updated_at <= world.now - STUCK_AFTER

    def take_back(self, world: World, seen: Iterable[Claim]) -> World:
        """Take back those of the claims that are stuck still."""
        for claim in seen:
            job = world.job(claim.key)
            if self.holds(job, claim) and self._is_stuck(world, job):
                world = self.lose(world, claim)
        return world

    def lose(self, world: World, claim: Claim) -> World:
        """Take one claim back. It costs a retry; the last one ends the job, unless a newer version is owed."""
        world = self._notice(world, claim, "worker_lost", None)
        job, change = world.job(claim.key), {"due_at": None, "error": WORKER_LOST}
        if claim.retries < MAX_RETRIES:
            return self._move(world, job, "reset_stuck", PENDING, **change, retries=job.retries + 1)
        if job.overtaken:
            return self._move(world, job, "reset_stuck", PENDING, due_at=None, error=None, retries=0)
        return self.bury(self._move(world, job, "reset_stuck", FAILED, **change), claim)

    # --- back into the queue ---

    def retry(self, world: World, signup: int, phase: Phase | None = None) -> World:
        """Let the failed jobs of a signup run again, as a person asks."""
        return self.retry_all(world, lambda job: job.key.signup == signup and phase in {None, job.key.phase})

    def retry_all(self, world: World, wanted: Any = lambda _job: True) -> World:
        """Let all failed jobs run again that are wanted."""
        return self._requeue(world, filter(wanted, world.jobs), "retry_manually", "manual_retry", manual=True)

    def revive_unauthorized(self, world: World) -> World:
        """Let the jobs run again that failed because the credentials did."""
        refused = [job for job in world.jobs if job.error in CREDENTIALS_AT_FAULT]
        return self._requeue(world, refused, "revive", "revived")

    def revive_followers(self, world: World, key: Key) -> World:
        """Let the enriched job run again that was given up because of this initial one."""
        follower = world.find(Key(key.signup, Phase.ENRICHED)) if key.phase is Phase.INITIAL else None
        followers = [follower] if follower is not None and follower.error == INITIAL_FAILED else []
        return self._requeue(world, followers, "revive", "revived")

    def _requeue(self, world: World, jobs: Iterable[Job], verb: str, action: str, **values: Any) -> World:
        for job in [job for job in jobs if job.status is FAILED]:
            fresh = {"retries": 0, "due_at": None, "error": None, "letter": False}
            world = self._move(world, job, verb, PENDING, **fresh, **values)
            world = self._flag(self._tell(world, job.key, action), job.key.signup)
        return world

    # --- the gate ---

    def is_closed(self, world: World) -> bool:
        """Tell whether any reason closes the gate."""
        return any(stands(row, world.now) for row in world.gate)

    def close(self, world: World, reason: Reason, wait: int | None) -> World:
        """Close the gate; a closing never shortens one that stands."""
        until = None if wait is None else world.now + wait
        row = next((row for row in world.gate if row.reason is reason), Closing(reason))
        if stands(row, world.now):
            longest = None if until is None or row.until is None else max(until, row.until)
            return put_closing(world, row._replace(until=longest))
        return put_closing(world, row._replace(closed_at=world.now, until=until))

    def open(self, world: World, reasons: Iterable[Reason] = Reason, *, due: bool = False) -> World:
        """Open the gate for these reasons, or for those of them whose time has come."""
        for row in closed_for(world, reasons):
            if not due or (row.until is not None and row.until <= world.now):
                world = put_closing(world, Closing(row.reason))
        return world

    def open_by_hand(self, world: World) -> World:
        """Open the gate whatever closed it, and revive what the credentials had stopped."""
        closed = [row.reason for row in world.gate if stands(row, world.now)]
        if Reason.AUTH in closed:
            world = self.revive_unauthorized(world)
        return self.open(world, closed)

    def _close_for(self, world: World, outcome: Outcome, *, probing: bool) -> World:
        match outcome:
            case RetryLater(error_type=ErrorType.RATE_LIMIT, retry_after=timedelta() as asked):
                return self.close(world, Reason.RATE_LIMIT, seconds(asked))
            case RetryLater(error_type=ErrorType.NETWORK | ErrorType.SERVER_ERROR) if not probing:
                return self.close(world, Reason.OUTAGE, seconds(gate.OUTAGE_CLOSED)) if is_outage(world) else world
            case Rejected(code=code) if code in CREDENTIALS_AT_FAULT and credentials_fail(world):
                return self.close(world, Reason.AUTH, seconds(gate.OUTAGE_CLOSED))
        return world

    def begin_probe(self, world: World) -> tuple[Reason, ...]:
        """Return the reasons that may be probed now; `probed` is the world then."""
        standing = [row for row in world.gate if stands(row, world.now)]
        if any(row.until is None or row.until > world.now for row in standing):
            return ()
        free = [row for row in standing if row.probing_until is None or row.probing_until <= world.now]
        return tuple(row.reason for row in free if row.reason is not Reason.OPERATOR)

    def probed(self, world: World, reasons: Iterable[Reason], *, lease: bool = True) -> World:
        """Return the world in which the right to probe was taken, or given up again."""
        until = world.now + seconds(gate.PROBE_LEASE) if lease else None
        for row in [row for row in world.gate if row.reason in set(reasons)]:
            world = put_closing(world, row._replace(probing_until=until))
        return world

    def settle(self, world: World, reasons: Iterable[Reason], *, works: bool) -> World:
        """Open the gate after a good probe; keep it closed for longer after a bad one."""
        if works:
            world = self.revive_unauthorized(world) if Reason.AUTH in set(reasons) else world
            return self.probed(self.open(world, reasons, due=True), reasons, lease=False)
        for row in closed_for(world, reasons):
            doubled = seconds(gate.OUTAGE_CLOSED) * 2 ** min(row.failed_probes + 1, 10)
            until = max(row.until or 0, world.now + min(doubled, seconds(gate.LONGEST_CLOSED)))
            world = put_closing(world, Closing(row.reason, row.closed_at, until, row.failed_probes + 1))
        return world

    def tells_of_outage(self, world: World) -> bool:
        """Tell whether so many different jobs have failed as probes that the region is not asked."""
        since = world.now - seconds(gate.PROBES_REMEMBERED)
        return len({key for key, at in world.noticed.probes if at > since}) >= PROBES_THAT_TELL

    # --- the one way a row changes, and its evidence ---

    def _move(self, world: World, job: Job, verb: str, target: JobStatus, **values: Any) -> World:
        self._check_arrow(verb, job.status, target)
        return world.put(world.job(job.key)._replace(status=target, updated_at=world.now, **values))

    def _check_arrow(self, verb: str, source: JobStatus | None, target: JobStatus) -> None:
        if (verb, source, target) not in ARROWS:
            raise NoSuchArrow(f"{verb}: {source} to {target}")

    def _tell(self, world: World, key: Key, action: str, retries: int = 0) -> World:
        job = world.job(key)
        return world.put(job._replace(told=play(job.told, action, retries)))

    def _notice(self, world: World, claim: Claim, word: str, outcome: Outcome | None) -> World:
        """Write an attempt: its job's evidence, and what the gate reads of it."""
        status = None if outcome is None or isinstance(outcome, Deferred) else outcome.http_status
        code = outcome.code if isinstance(outcome, RetryLater | Rejected | Deferred) else ""
        broken = isinstance(outcome, RetryLater) and outcome.error_type in OUT_OF_ORDER
        noticed = world.noticed
        recent = [(at, was) for at, was in noticed.recent if at > world.now - seconds(gate.OUTAGE_WINDOW)]
        probe = ((claim.key, world.now),) if code == PROBE_FAILED else ()
        answers = noticed.answers if status is None else (*noticed.answers, code)
        noticed = Noticed(
            answers[-gate.UNAUTHORIZED_IN_A_ROW :], (*recent, (world.now, broken)), noticed.probes + probe
        )
        return self._tell(world._replace(noticed=noticed), claim.key, word, claim.retries)

    def _set_signup(self, world: World, signup: int, **values: Any) -> World:
        signups = list(world.signups)
        signups[signup] = signups[signup]._replace(**values)
        return world._replace(signups=tuple(signups))

    def _flag(self, world: World, signup: int) -> World:
        failed = any(job.status is FAILED for job in world.jobs if job.key.signup == signup)
        return self._set_signup(world, signup, failed=failed)
