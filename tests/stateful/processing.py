"""The twin's `sync_one` and `process_due`: the same order of claims, requests and records."""

from collections.abc import Callable, Sequence

from cio_tasks.gate import Reason
from cio_tasks.outcomes import INITIAL_FAILED, Deferred, Delivered, ErrorType, Rejected, RetryLater
from tests.stateful.model import Twin
from tests.stateful.rows import Claim, Key, World
from tests.stateful.scheduler import Answer

Answers = Callable[[Key], Answer]
NOT_SENT = Rejected(INITIAL_FAILED, "not sent")
GATE_CLOSED = Deferred("gate_closed", "closed on the way")


def sync_one(twin: Twin, world: World, key: Key, answers: Answers) -> World:
    """Return the world after a message for this job."""
    claims = twin.claim(world, limit=1, key=key)
    world, _ = _deliver(twin, twin.claimed(world, claims), claims, answers)
    return world


def process_due(twin: Twin, world: World, *, limit: int, batch: int, answers: Answers, region: bool) -> World:
    """Return the world after a sweep. `region`: whether the account's region answers well."""
    world, count = _probe(twin, world, answers, region=region)
    while count < limit:
        claims = twin.claim(world, limit=min(batch, limit - count))
        world, deferred = _deliver(twin, twin.claimed(world, claims), claims, answers)
        count += len(claims)
        if not claims or deferred:
            break
    return world


def _deliver(twin: Twin, world: World, claims: Sequence[Claim], answers: Answers) -> tuple[World, bool]:
    """Deliver claims one by one; the rest is given back once the gate has closed on the way."""
    failed = False
    for claim in sorted(claims, key=lambda claim: (not claim.initial_failed, claim.retries)):
        if claim.initial_failed:
            world, failed = twin.record(world, claim, NOT_SENT, asked=False), True
        elif failed and twin.is_closed(world):
            left = [one for one in claims if twin.holds(world.job(one.key), one)]
            for one in left:
                world = twin.record(world, one, GATE_CLOSED, asked=False)
            return world, True
        else:
            answer = answers(claim.key)
            world = _ask(twin, world, claim, answer)
            failed = failed or not isinstance(answer.outcome, Delivered)
    return world, False


def _ask(twin: Twin, world: World, claim: Claim, answer: Answer, *, probing: bool = False) -> World:
    world = world._replace(sent=world.sent | {twin.request(claim, taken=answer.taken)})
    return twin.record(world, claim, answer.outcome, probing=probing)


def _probe(twin: Twin, world: World, answers: Answers, *, region: bool) -> tuple[World, int]:
    reasons = twin.begin_probe(world)
    if not reasons:
        return world, 0
    world = twin.probed(world, reasons)
    claims = () if Reason.AUTH in reasons else twin.claim(world, limit=1, probing=True)
    if not claims:
        return twin.settle(world, reasons, works=region), 0
    (claim,) = claims
    world = twin.claimed(world, claims)
    if claim.initial_failed:
        world = twin.record(world, claim, NOT_SENT, asked=False)
        return twin.probed(world, reasons, lease=False), 1
    answer = answers(claim.key)
    world = _ask(twin, world, claim, answer, probing=True)
    return twin.settle(world, reasons, works=_shows_it_works(twin, world, answer, region=region)), 1


def _shows_it_works(twin: Twin, world: World, answer: Answer, *, region: bool) -> bool:
    match answer.outcome:
        case RetryLater(error_type=ErrorType.RATE_LIMIT):
            return False
        case RetryLater():
            return region and not twin.tells_of_outage(world)
    return True
