"""`ciosync incident severity`: the level, why, why not worse, and a picture of the error rate."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cio_tasks.cli.colour import BAD, ODD, PLAIN, paint
from cio_tasks.cli.faults import CommandFailed, Exit, Fault
from cio_tasks.cli.incident_case import open_case
from cio_tasks.cli.output import GAP, Output, align
from cio_tasks.cli.progress import working
from cio_tasks.diagnostics.incident.evidence import Attempts, Credentials, Unknown
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.picture import spark
from cio_tasks.diagnostics.incident.severity import AGAINST, Verdict, open_questions, percent
from cio_tasks.diagnostics.incident.shapes import cleaned, shown_verdict
from cio_tasks.diagnostics.incident.steps import Case
from cio_tasks.diagnostics.telling import age, counted

STYLES: Final = {Level.P1: BAD, Level.P2: BAD, Level.P3: ODD, Level.P4: ODD, Level.NONE: PLAIN}


def run(output: Output, *, explain: bool, fail_on: str | None, each: timedelta) -> None:
    """Print how severe it is, and fail when it is as bad as asked for."""
    with working("gathering evidence…", quiet=output.as_json), open_case("incident", each=each) as case:
        told = cleaned(shown_verdict(case.verdict, case.evidence), case.settings.secrets)
        lines = verdict_lines(case, explain=explain)
    output.result(told, table=[[line] for line in lines])
    fault = None if fail_on is None else _fault(case, Level(fail_on))
    if fault is not None:
        raise CommandFailed(fault)


def _fault(case: Case, fail_on: Level) -> Fault | None:
    """Return the error that it is as bad as that, or that nobody can say that it is not."""
    open_ones = open_questions(case.evidence, fail_on)
    if case.verdict.level.reaches(fail_on):
        return _severe(case.verdict, fail_on)
    if open_ones:
        message = f"it is not known whether it is as bad as {fail_on}: {', '.join(open_ones)}"
        cause = "; ".join(case.verdict.unknown)
        code = Exit.CONFIGURATION if case.sessions is None else Exit.TRY_AGAIN
        return Fault("incident.unknown", code, message, cause, "what cannot be reached: ciosync doctor")
    return None


def _severe(verdict: Verdict, fail_on: Level) -> Fault:
    message = f"{verdict.level} {verdict.level.meaning}: as bad as {fail_on}, or worse"
    hint = f"ciosync incident runbook {verdict.level}"
    return Fault("incident.severe", Exit.NO, message, verdict.reasons[0], hint)


def verdict_lines(case: Case, *, explain: bool) -> list[str]:
    """Return the level in a line, and under it what there is to say."""
    rows = cleaned([*_rows(case, explain=explain)], case.settings.secrets)
    top = paint(headline(case.verdict, case.evidence.attempts), STYLES[case.verdict.level])
    return [top, *(f"{GAP}{line}" for line in align(rows))]


def _rows(case: Case, *, explain: bool) -> Iterator[tuple[str, str]]:
    verdict, attempts = case.verdict, case.evidence.attempts
    yield from (("" if place else "why", reason) for place, reason in enumerate(verdict.reasons))
    if isinstance(attempts, Attempts):
        yield "errors", _picture(attempts)
    yield from ((f"not {level}", facts) for level, facts in verdict.against.items())
    if verdict.unknown and verdict.level is not Level.NONE:
        yield "unknown", "; ".join(verdict.unknown)
    if explain:
        yield from _evidence_rows(case)
    if verdict.level is not Level.NONE:
        yield "next", f"ciosync incident runbook {verdict.level}"
    elif verdict.unknown:
        yield "next", "ciosync doctor"
    elif isinstance(credentials := case.evidence.credentials, Credentials) and credentials.verdict == "trouble":
        yield "next", "ciosync network --host track"


def headline(verdict: Verdict, attempts: Attempts | Unknown) -> str:
    """Return the level, what it means, and since when."""
    if verdict.level is Level.NONE and isinstance(attempts, Unknown):
        return "Severity unknown: no incident can be seen, and what would show one could not be read"
    told = f"{verdict.level} {verdict.level.meaning}" if verdict.level is not Level.NONE else verdict.level.meaning
    if verdict.since is None or isinstance(attempts, Unknown):
        return told
    return f"{told}{GAP} since {verdict.since:%H:%M} UTC ({age(attempts.taken_at - verdict.since)})"


def _picture(attempts: Attempts) -> str:
    shares = [minute.share for minute in attempts.minutes]
    highest = max((share for share in shares if share is not None), default=None)
    top = "no attempts" if highest is None else f"highest {percent(highest)}"
    return f"{spark(shares)} per minute, 15 min to now, {top}"


def _evidence_rows(case: Case) -> Iterator[tuple[str, str]]:
    evidence = case.evidence
    attempts, queue, deployments = evidence.attempts, evidence.queue, evidence.deployments
    for level, against in AGAINST.items():
        if level not in case.verdict.against:
            yield f"{level} facts", ", ".join(against(evidence))
    if isinstance(attempts, Attempts):
        for name, counts in (("by type", attempts.by_type), ("by status", attempts.by_status)):
            yield name, ", ".join(f"{count} {word}" for word, count in counts.items()) or "no failures"
        phases = (f"{phase} {tally.failed} of {tally.total} failed" for phase, tally in attempts.by_phase.items())
        yield "by phase", ", ".join(phases) or "no attempts"
    if not isinstance(queue, Unknown):
        stats = queue.stats
        yield "queue", f"{stats.pending} pending, {stats.stuck} stuck, {stats.dead_letters} dead letters"
        yield "workers", f"{queue.workers} alive, {queue.silent_workers} silent"
    if not isinstance(deployments, Unknown):
        yield (
            "releases",
            ", ".join(f"{one.name} ({counted(one.workers, 'worker')})" for one in deployments.releases) or "none known",
        )
