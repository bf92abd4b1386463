"""The judge of a run: it reads the evidence, trusts nobody, and names every violation with whom it befell."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeVar

from tests.chaos.evidence import SUCCESS, Attempt, Audit, Evidence, Job, Sent
from tests.chaos.replay import REQUEUES, replays

GRACE_SECONDS: Final = 1.0
"""How long after a closing a claim may still begin that did not see it: the time of a transaction."""
FINISHED: Final = ("completed", "failed")
SPLITTABLE: Final = (400, 403, 404, 413, 422, 500, 502, 503, 504)

T = TypeVar("T")
K = TypeVar("K")


class Kind(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    STUCK = "stuck"
    UNDELIVERED = "completed_without_delivery"
    UNEXPECTED = "unexpected"
    TOO_MANY_JOBS = "two_jobs_for_one_phase"
    NO_DEAD_LETTER = "failed_without_dead_letter"
    SHOULD_HAVE_FAILED = "refused_and_completed"
    REPEAT_UNEXPLAINED = "repeat_unexplained"
    REPEAT_OTHER_ID = "repeat_with_another_id"
    REPEAT_OLDER = "older_values_sent_again"
    REPLAY = "audit_does_not_replay"
    ORDER = "enriched_before_initial"
    WINDOW = "claimed_while_the_gate_was_closed"
    OUTAGE_LETTER = "dead_lettered_by_an_outage"
    DEADLOCK = "deadlock"
    LEAK = "secret_or_personal_data_seen"
    GROWTH = "process_grew"
    TOO_FEW = "too_little_happened"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong, and with what."""

    kind: Kind
    subject: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What the checker found. `figures` are counts for the report."""

    violations: tuple[Violation, ...]
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations


def check(evidence: Evidence) -> Verdict:
    """Judge a run that has come to rest."""
    facts = _Facts(evidence)
    found = [violation for rule in RULES for violation in rule(facts)]
    return Verdict(tuple(found), facts.figures())


class _Facts:
    """The evidence, ordered for looking things up."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.jobs = group(evidence.jobs, lambda job: (job.signup_id, job.phase))
        self.sent = group(evidence.sent, lambda sent: (sent.signup_id, sent.phase))
        self.attempts = group(evidence.attempts, lambda attempt: attempt.job_id)
        self.audit = group(evidence.audit, lambda entry: entry.job_id or "")
        self.signups = {signup.id: signup for signup in evidence.signups}
        self.by_external_id = {signup.external_id: signup for signup in evidence.signups}
        self.requests_of = group(evidence.requests, lambda request: request.external_id)

    def figures(self) -> dict[str, int]:
        """Return what there was of everything."""
        statuses = Counter(job.status for job in self.evidence.jobs)
        outcomes = Counter(attempt.outcome for attempt in self.evidence.attempts)
        asked = Counter(f"{request.kind}_{request.outcome}" for request in self.evidence.requests)
        sends = len(self.evidence.sent)
        distinct = len({sent.event_id for sent in self.evidence.sent})
        return {
            **{f"requests_{name}": count for name, count in sorted(asked.items())},
            **{f"jobs_{name}": count for name, count in sorted(statuses.items())},
            **{f"attempts_{name}": count for name, count in sorted(outcomes.items())},
            "events_sent": sends,
            "events_distinct": distinct,
            "events_repeated_after_success": sum(map(_taken_twice, self.sent.values())),
            "dead_letters": len(self.evidence.dead_letters),
            "kills": count_kills(self.evidence),
            "faults": sum(strike.struck for strike in self.evidence.strikes),
        }


def group(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return the items by their key, in their order."""
    found: dict[K, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found


def _taken_twice(sends: Sequence[Sent]) -> int:
    taken = Counter(sent.event_id for sent in sends if sent.taken)
    return sum(count - 1 for count in taken.values())


# --- nothing lost, nothing stuck --------------------------------------------------------------------------------------


def find_lost(facts: _Facts) -> Iterator[Violation]:
    """What a client was told is stored must have become a job that ended."""
    for request in facts.evidence.requests:
        if request.outcome != "accepted" or request.kind == "webhook":
            continue
        signup = facts.by_external_id.get(request.external_id)
        phase = "initial" if request.kind == "signup" else "enriched"
        jobs = facts.jobs.get((signup.id, phase), []) if signup else []
        if not jobs:
            yield Violation(Kind.LOST, request.external_id, f"{request.kind} accepted, and there is no {phase} job")
    for job in facts.evidence.jobs:
        if job.status not in FINISHED:
            yield Violation(Kind.STUCK, job.id, f"still {job.status} after the quiet")


def find_undelivered(facts: _Facts) -> Iterator[Violation]:
    """What is completed must be in the ledger as taken, in the version that the database has."""
    for job in facts.evidence.jobs:
        if job.status != "completed":
            continue
        taken = [sent for sent in facts.sent.get((job.signup_id, job.phase), []) if sent.taken]
        if not taken:
            yield Violation(Kind.UNDELIVERED, job.id, f"{job.phase} completed, and Customer.io never took it")
            continue
        signup = facts.signups.get(job.signup_id)
        if job.phase == "enriched" and signup is not None and signup.bet_amount is not None:
            amounts = [sent.attributes.get("bet_amount") for sent in taken]
            if signup.bet_amount not in amounts:
                yield Violation(Kind.UNDELIVERED, job.id, "the newest bet slip was never taken")


def find_badly_failed(facts: _Facts) -> Iterator[Violation]:
    """What failed has a dead letter, and what Customer.io refuses for good has failed."""
    for job in facts.evidence.jobs:
        if job.status == "failed" and not job.has_open_letter:
            yield Violation(Kind.NO_DEAD_LETTER, job.id, "failed without an open dead letter")
        signup = facts.signups.get(job.signup_id)
        requests = facts.requests_of.get(signup.external_id, []) if signup else []
        if job.status == "completed" and job.phase == "initial" and any(request.doomed for request in requests):
            yield Violation(Kind.SHOULD_HAVE_FAILED, job.id, "Customer.io refuses this person, and the job completed")


def find_unexpected(facts: _Facts) -> Iterator[Violation]:
    """Nothing may exist that no client asked for, and no phase twice."""
    for signup in facts.evidence.signups:
        if signup.external_id not in facts.requests_of:
            yield Violation(Kind.UNEXPECTED, signup.id, "a signup that no client sent")
    for (signup_id, phase), sends in facts.sent.items():
        if (signup_id, phase) not in facts.jobs:
            yield Violation(Kind.UNEXPECTED, signup_id, f"{len(sends)} requests of a {phase} phase without a job")
    for (signup_id, phase), jobs in facts.jobs.items():
        if len(jobs) > 1:
            yield Violation(Kind.TOO_MANY_JOBS, signup_id, f"{len(jobs)} jobs for the {phase} phase")


def find_lost_webhooks(facts: _Facts) -> Iterator[Violation]:
    """A webhook that was answered with 200 is stored, and none is stored that nobody sent."""
    asked = [request for request in facts.evidence.requests if request.kind == "webhook"]
    stored = set(facts.evidence.webhooks)
    for request in asked:
        if request.outcome == "accepted" and request.key not in stored:
            yield Violation(Kind.LOST, request.key, "webhook accepted, and it is not stored")
    for event_id in stored - {request.key for request in asked}:
        yield Violation(Kind.UNEXPECTED, event_id, "a webhook that nobody sent")


# --- repeats ----------------------------------------------------------------------------------------------------------


def find_repeats(facts: _Facts) -> Iterator[Violation]:
    """Every repeat has a recorded cause, the same event id, and says nothing older than what was said before."""
    for job in facts.evidence.jobs:
        sends = facts.sent.get((job.signup_id, job.phase), [])
        yield from _other_ids(facts, job, sends)
        yield from _without_cause(facts, job, sends)
        yield from _older(job, sends)


def _other_ids(facts: _Facts, job: Job, sends: Sequence[Sent]) -> Iterator[Violation]:
    signup = facts.signups.get(job.signup_id)
    versions = max(signup.extraction_version, 1) if signup and job.phase == "enriched" else 1
    ids = {sent.event_id for sent in sends}
    if len(ids) > versions:
        yield Violation(Kind.REPEAT_OTHER_ID, job.id, f"{len(ids)} event ids for {versions} versions of {job.phase}")


def _without_cause(facts: _Facts, job: Job, sends: Sequence[Sent]) -> Iterator[Violation]:
    repeats = sum(count - 1 for count in Counter(sent.event_id for sent in sends).values())
    causes = [attempt for attempt in facts.attempts.get(job.id, []) if attempt.outcome != "delivered"]
    asked = [entry for entry in facts.audit.get(job.id, []) if entry.action in REQUEUES]
    splits = count_splits(sends)
    if repeats > len(causes) + len(asked) + splits:
        found = Counter(attempt.outcome for attempt in causes)
        detail = f"{repeats} repeats of {job.phase}, explained by {dict(found)}, {len(asked)} requeued, {splits} split"
        yield Violation(Kind.REPEAT_UNEXPLAINED, job.id, detail)


def count_splits(sends: Sequence[Sent]) -> int:
    """Count the sends that follow a refused larger batch: a claim may send its jobs again in halves."""
    pairs = pairwise(sends)
    return sum(
        1
        for before, after in pairs
        if before.status in SPLITTABLE and 1 < after.size < before.size and not before.taken
    )


def _older(job: Job, sends: Sequence[Sent]) -> Iterator[Violation]:
    """A value may only change together with its time, and the time of one event never changes."""
    newest: dict[float | None, dict[str, object]] = {}
    times: dict[str, float | None] = {}
    for sent in sends:
        said = newest.setdefault(sent.timestamp, sent.attributes)
        if said != sent.attributes or times.setdefault(sent.event_id, sent.timestamp) != sent.timestamp:
            yield Violation(Kind.REPEAT_OLDER, job.id, f"request {sent.seq} says something else of the same moment")
            return


# --- replay -----------------------------------------------------------------------------------------------------------


def find_not_replayable(facts: _Facts) -> Iterator[Violation]:
    """Attempts and audit, played from the start, must give the present state of a job."""
    for job in facts.evidence.jobs:
        fault = replays(job, facts.attempts.get(job.id, []), facts.audit.get(job.id, []))
        if fault is not None:
            yield Violation(Kind.REPLAY, job.id, fault)


# --- order, windows, outages ------------------------------------------------------------------------------------------


def find_disorder(facts: _Facts) -> Iterator[Violation]:
    """No request of the enriched phase before Customer.io took the initial one."""
    for (signup_id, phase), sends in facts.sent.items():
        if phase != "enriched":
            continue
        taken = [sent.seq for sent in facts.sent.get((signup_id, "initial"), []) if sent.taken]
        first = min(sent.seq for sent in sends)
        if not taken or min(taken) > first:
            yield Violation(Kind.ORDER, signup_id, f"request {first} is enriched, and the initial one was not taken")


def find_in_windows(facts: _Facts) -> Iterator[Violation]:
    """While the gate is closed and its time has not come, no claim may begin. What was under way is excused."""
    windows = list_windows(facts.evidence.audit)
    for attempt in facts.evidence.attempts:
        if not attempt.sent:
            continue
        for reason, begin, end in windows:
            if begin + GRACE_SECONDS < attempt.started_at < end:
                detail = (
                    f"claimed {attempt.started_at - begin:.2f} s into a closing for {reason} of {end - begin:.2f} s"
                )
                yield Violation(Kind.WINDOW, attempt.job_id, detail)


def list_windows(audit: Iterable[Audit]) -> list[tuple[str, float, float]]:
    """Return when the gate was closed for sure: reason, begin and end, the end cut off by an earlier opening."""
    windows: list[tuple[str, float, float]] = []
    for entry in audit:
        reason = str(entry.details.get("reason"))
        if entry.action == "gate_closed" and entry.details.get("seconds") is not None:
            windows.append((reason, entry.at, entry.at + float(entry.details["seconds"])))
        elif entry.action == "gate_opened":
            windows = [
                (why, begin, min(end, entry.at) if why == reason and begin <= entry.at else end)
                for why, begin, end in windows
            ]
    return windows


def find_outage_letters(facts: _Facts) -> Iterator[Violation]:
    """An outage may delay a job, never bury it: no dead letter all of whose deliveries met one."""
    for letter in facts.evidence.dead_letters:
        if not letter.exhausted_retries or letter.error_type not in {"network", "server_error", "rate_limit"}:
            continue
        spent = [attempt for attempt in facts.attempts.get(letter.job_id, []) if attempt.outcome == "retry_later"]
        if spent and all(_in_outage(facts, attempt) for attempt in spent):
            yield Violation(Kind.OUTAGE_LETTER, letter.job_id, f"buried by {letter.error_code} during an outage")


def _in_outage(facts: _Facts, attempt: Attempt) -> bool:
    outages = [strike for strike in facts.evidence.strikes if strike.name.startswith("customerio.")]
    return any(strike.began_at <= attempt.finished_at <= strike.ended_at + GRACE_SECONDS for strike in outages)


# --- what was seen meanwhile ------------------------------------------------------------------------------------------


def find_seen(facts: _Facts) -> Iterator[Violation]:
    """Nobody waits while all is well, nothing deadlocks, nothing leaks, and no process grows."""
    seen = facts.evidence.observed
    for job_id, seconds in seen.stuck:
        yield Violation(Kind.STUCK, job_id, f"nobody took it in {seconds:g} s in which everything was well")
    for place, what in seen.leaks:
        yield Violation(Kind.LEAK, place, f"{what} was seen there")
    for kind, how in seen.grown:
        yield Violation(Kind.GROWTH, kind, how)
    if seen.deadlocks:
        yield Violation(Kind.DEADLOCK, "postgres", f"{seen.deadlocks} broken by the database")


# --- was it a test at all ---------------------------------------------------------------------------------------------


def find_too_little(facts: _Facts) -> Iterator[Violation]:
    """A run in which less happened than planned proves less than it says."""
    plan = facts.evidence.plan
    accepted = sum(request.kind == "signup" and request.outcome == "accepted" for request in facts.evidence.requests)
    if accepted < plan.signups:
        yield Violation(Kind.TOO_FEW, "signups", f"{accepted} accepted of {plan.signups} planned")
    kills = count_kills(facts.evidence)
    if kills < plan.kills:
        yield Violation(Kind.TOO_FEW, "kills", f"{kills} of {plan.kills} planned")
    faults = sum(strike.struck for strike in facts.evidence.strikes)
    if faults < plan.faults:
        yield Violation(Kind.TOO_FEW, "faults", f"{faults} of {plan.faults} planned")
    for prefix, wanted in plan.strikes.items():
        struck = sum(strike.struck and strike.name.startswith(prefix) for strike in facts.evidence.strikes)
        if struck < wanted:
            yield Violation(Kind.TOO_FEW, prefix, f"{struck} of {wanted} planned")
    if plan.signups and not any(sent.status in SUCCESS for sent in facts.evidence.sent):
        yield Violation(Kind.TOO_FEW, "ledger", "Customer.io never answered with success")


def count_kills(evidence: Evidence) -> int:
    """Return how many processes were killed."""
    return sum(strike.kills for strike in evidence.strikes)


RULES: Final[tuple[Callable[[_Facts], Iterator[Violation]], ...]] = (
    find_lost,
    find_undelivered,
    find_badly_failed,
    find_unexpected,
    find_lost_webhooks,
    find_repeats,
    find_not_replayable,
    find_disorder,
    find_in_windows,
    find_outage_letters,
    find_seen,
    find_too_little,
)
