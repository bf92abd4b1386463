"""P2, a high error rate: which errors, of what, since which change, and how to take load off (rows P2.1 to P2.5)."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

from cio_tasks.diagnostics.incident.evidence import Attempts, Deployments, Queue, Tally, Unknown
from cio_tasks.diagnostics.incident.levels import ERROR_RATE, FEWEST_ATTEMPTS
from cio_tasks.diagnostics.incident.severity import percent
from cio_tasks.diagnostics.incident.steps import Case, Result, Step, failed, human, passed, unread
from cio_tasks.diagnostics.rate_limit import read_window
from cio_tasks.diagnostics.telling import age, counted
from cio_tasks.failures import FailureFilter, FailureGroup, list_groups
from cio_tasks.gate import Reason

LIMITED: Final = str(HTTPStatus.TOO_MANY_REQUESTS.value)
SHOWN_GROUPS: Final = 3
WORSE: Final = 2
"""A release fails this many times as often as the others before it is suspected."""
PAUSE: Final = timedelta(minutes=15)


def check_distribution(case: Case) -> Result:
    """P2.1: which errors there are."""
    attempts = case.evidence.attempts
    if isinstance(attempts, Unknown):
        return unread(attempts)
    seen = f"{attempts.tally.failed} of {attempts.tally.total} attempts failed in 5 min"
    if attempts.tally.failed:
        seen += f": {_counts(attempts.by_type)} ({_counts(attempts.by_status)})"
    if attempts.rate is None:
        return human(f"{seen}; {FEWEST_ATTEMPTS} attempts make a rate", "what failed for good: ciosync failures groups")
    if attempts.rate <= ERROR_RATE:
        return passed(f"{seen}, {percent(attempts.rate)}")
    worst = next(iter(attempts.by_type), "other")
    return failed(f"{seen}, {percent(attempts.rate)}", ADVICE.get(worst, ADVICE["other"]))


ADVICE: Final = {
    "rate_limit": "we are too fast: step P2.4",
    "server_error": "Customer.io is at fault: ciosync incident runbook P1",
    "network": "where the way is broken: ciosync network --host track",
    "other": "what is refused, and why: ciosync failures groups",
}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def check_operations(case: Case) -> Result:
    """P2.2: what the failures are about: phases, and the causes of those that were given up."""
    attempts = case.evidence.attempts
    if isinstance(attempts, Unknown):
        return unread(attempts)
    groups = case.read(partial(list_groups, wanted=FailureFilter(), limit=SHOWN_GROUPS))
    phases = [f"{phase} {tally.failed} of {tally.total}" for phase, tally in sorted(attempts.by_phase.items())]
    seen = f"failed by phase: {', '.join(phases) or 'no attempts'}; {_groups_text(groups)}"
    bad = [phase for phase, tally in sorted(attempts.by_phase.items()) if _is_bad(tally)]
    if not bad:
        return passed(seen)
    chosen = f" --filter syncPhase={bad[0]}" if len(bad) == 1 else ""
    return failed(seen, f"ciosync failures list{chosen}, and one of them whole: ciosync failures show JOB")


def _is_bad(tally: Tally) -> bool:
    return tally.total >= FEWEST_ATTEMPTS and (tally.share or 0) > ERROR_RATE


def _groups_text(groups: list[FailureGroup] | Unknown) -> str:
    if isinstance(groups, Unknown):
        return f"causes not known ({groups.detail})"
    told = [f"{group.total} times {group.fingerprint}" for group in groups]
    return f"given up: {' | '.join(told)}" if told else "nothing was given up"


def check_deployments(case: Case) -> Result:
    """P2.3: whether something of ours changed lately."""
    deployments, attempts = case.evidence.deployments, case.evidence.attempts
    if isinstance(deployments, Unknown):
        return unread(deployments)
    if not deployments.releases:
        return human(
            "no worker has a heartbeat", "was something deployed, or a setting changed? ask, and look there first"
        )
    seen = _releases_text(deployments)
    suspect = None if isinstance(attempts, Unknown) else _suspect(deployments, attempts)
    if suspect is not None:
        return failed(f"{seen}; {suspect}", "go back to the release before it, or look at what it changed")
    if len(deployments.running) > 1:
        return failed(f"{seen}; several releases run at once", "finish the deployment, or go back")
    if deployments.recent:
        return human(seen, "did the errors begin with it? compare with the picture of: ciosync incident severity")
    return passed(f"{seen}; nothing was started within 2 h")


def _releases_text(deployments: Deployments) -> str:
    now = deployments.taken_at
    return ", ".join(
        f"{one.name}: {counted(one.workers, 'worker')}, first started {age(now - one.first_started_at)} ago"
        for one in deployments.releases
    )


def _suspect(deployments: Deployments, attempts: Attempts) -> str | None:
    """Return which recent release fails more than the others, if one does."""
    for release in deployments.recent:
        own = attempts.by_release.get(release.name, Tally())
        others = Tally(attempts.tally.total - own.total, attempts.tally.failed - own.failed)
        if _is_bad(own) and others.share is not None and (own.share or 0) >= WORSE * others.share:
            told = f"{percent(own.share or 0)} of the attempts of {release.name} fail"
            return f"{told}, {percent(others.share)} of the others"
    return None


def check_rate_limiting(case: Case) -> Result:
    """P2.4: whether Customer.io limits us, and how near we are to our own limit."""
    attempts, queue = case.evidence.attempts, case.evidence.queue
    window = read_window(case.settings)
    used = window.note if window.used is None else f"{window.used} used in the last second"
    ours = f"our own limit {window.limit} a second, {used}"
    if isinstance(attempts, Unknown):
        return human(f"{ours}; 429s not known: {attempts.detail}", "ciosync network")
    limited = attempts.by_status.get(LIMITED, 0)
    closed = isinstance(queue, Queue) and any(one.reason is Reason.RATE_LIMIT for one in queue.stats.gate.reasons)
    seen = f"{limited} of {attempts.tally.total} attempts met a 429; {ours}"
    if closed:
        seen += "; the gate is closed by rate_limit"
    if limited or closed:
        return failed(seen, f"step P2.5: {_slower(case)}; does something else use these credentials?")
    return passed(seen)


def scale_down(case: Case) -> Result:
    """P2.5: the exact commands; whether to is a person's decision."""
    attempts = case.evidence.attempts
    limited = 0 if isinstance(attempts, Unknown) else attempts.by_status.get(LIMITED, 0)
    failures = 0 if isinstance(attempts, Unknown) else attempts.tally.failed
    seconds = int(PAUSE.total_seconds())
    stop = f"ciosync gate close --reason 'error rate' --seconds {seconds}"
    if limited and 2 * limited >= failures:
        return human(f"{limited} of {failures} failures are 429s, so slower helps", f"{_slower(case)}; or stop: {stop}")
    return human(
        "slower helps against 429s; against other errors only stopping saves retries", f"{stop}; or {_slower(case)}"
    )


def _slower(case: Case) -> str:
    return f"set CIO_RATE_LIMIT={max(1, case.settings.rate_limit // 2)} and restart the workers"


STEPS: Final = (
    Step("P2.1", "Distribution by type", check_distribution),
    Step("P2.2", "Affected operations", check_operations),
    Step("P2.3", "Recent deployments", check_deployments),
    Step("P2.4", "Rate limiting", check_rate_limiting),
    Step("P2.5", "Scale down", scale_down),
)
