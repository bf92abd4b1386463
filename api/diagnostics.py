"""The troubleshooting toolkit over HTTP: the same questions, and the same answers, as on the command line.

Each may take seconds and holds a thread meanwhile, so only a few run at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import BoundedSemaphore
from typing import Any, Final

from flask import Blueprint, Response

from api.auth import Action, caller, requires
from api.diagnostic_bodies import (
    CampaignBody,
    Diagnosis,
    IdentifyBody,
    InvestigateBody,
    NetworkQuery,
    ReportQuery,
    RunbookBody,
    TrackBody,
)
from api.errors import Busy, InvalidInput, Unanswered
from api.job_bodies import NoQuery
from api.operations import answer, operation
from api.sessions import current_runtime, current_sessions, transaction
from cio_tasks.checks.running import run_checks
from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.customerio.transport import Transport
from cio_tasks.diagnostics.campaign import examine_campaign
from cio_tasks.diagnostics.credentials import check_credentials
from cio_tasks.diagnostics.incident.gathering import gather
from cio_tasks.diagnostics.incident.levels import Level
from cio_tasks.diagnostics.incident.report import read_report
from cio_tasks.diagnostics.incident.runbook import shown_runbook, take_steps
from cio_tasks.diagnostics.incident.severity import judge
from cio_tasks.diagnostics.incident.shapes import cleaned, shown_verdict
from cio_tasks.diagnostics.incident.steps import Case
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.network import measure
from cio_tasks.diagnostics.person import investigate
from cio_tasks.diagnostics.rate_limit import read_window
from cio_tasks.diagnostics.requests import (
    Exchange,
    make,
    prepare_identify,
    prepare_track,
    refuse,
    transport_of,
)
from cio_tasks.diagnostics.targets import list_targets
from cio_tasks.errors import NotFound
from cio_tasks.journal import add_audit
from cio_tasks.settings import Settings

AT_ONCE: Final = 4
PATIENCE: Final = timedelta(seconds=10)
"""What a person or a campaign may take: somebody waits in front of a page."""
CALL: Final = timedelta(seconds=10)

diagnostics: Final = Blueprint("diagnostics", __name__, url_prefix="/api/v1/diagnostics")
_running: Final = BoundedSemaphore(AT_ONCE)


@contextmanager
def _taking_turns() -> Iterator[Settings]:
    """Give the settings while fewer than `AT_ONCE` diagnostics run.

    Raises:
        Busy: when so many run already.
    """
    if not _running.acquire(blocking=False):
        raise Busy
    try:
        yield current_runtime().settings
    finally:
        _running.release()


def _tell(document: dict[str, Any]) -> Response:
    return answer(Diagnosis.model_validate(document))


# --- the system -------------------------------------------------------------------------------------------------------


@diagnostics.get("/doctor")
@requires(Action.OPERATE)
@operation("Look at every part, as `ciosync doctor` does.", query=NoQuery, answers={200: Diagnosis})
def doctor(query: NoQuery) -> Response:  # noqa: ARG001 - it is read so that a mistyped parameter is refused
    """Return each check with its fix."""
    with _taking_turns() as settings:
        return _tell(run_checks(settings).as_json())


@diagnostics.get("/network")
@requires(Action.OPERATE)
@operation("Measure the way to Customer.io, as `ciosync network` does.", query=NetworkQuery, answers={200: Diagnosis})
def network(query: NetworkQuery) -> Response:
    """Return name, connection, certificate and times of Customer.io's servers, and our own rate limit. Reads only."""
    with _taking_turns() as settings:
        reports = measure(list_targets(settings), count=query.count, timeout=CALL / 2)
        window = read_window(settings)
        limit = {"limit": window.limit, "used": window.used, "note": window.note}
        return _tell({"targets": [report.shown() for report in reports], "rateLimit": limit})


@diagnostics.get("/auth")
@requires(Action.OPERATE)
@operation("Try the credentials, as `ciosync debug auth` does. Reads only.", query=NoQuery, answers={200: Diagnosis})
def auth(query: NoQuery) -> Response:  # noqa: ARG001 - as above
    """Return whether the credentials are accepted, and if not, which mistake it is."""
    with _taking_turns() as settings:
        return _tell(check_credentials(settings, timeout=CALL).shown(settings, Mask(settings.secrets)))


# --- a person, a campaign ---------------------------------------------------------------------------------------------


@diagnostics.post("/investigate")
@requires(Action.OPERATE)
@operation(
    "Ask why somebody does not get what they should, as `ciosync investigate` does.",
    body=InvestigateBody,
    answers={200: Diagnosis},
)
def ask_about_person(body: InvestigateBody) -> Response:
    """Return what Customer.io and we know of a user, and the issues. The user comes in the body, not in the address."""
    with _taking_turns() as settings:
        report = investigate(settings, current_sessions(), body.user, kind=body.kind, within=PATIENCE)
        return _tell(report.as_json(_mask(settings, body, "investigate")))


@diagnostics.post("/campaign")
@requires(Action.OPERATE)
@operation(
    "Ask why a campaign does not send, as `ciosync debug campaign` does.",
    body=CampaignBody,
    answers={200: Diagnosis},
    problems=(404, 424),
)
def ask_about_campaign(body: CampaignBody) -> Response:
    """Return a campaign, its trigger and audience, and the issues; with a user also what keeps that person out."""
    with _taking_turns() as settings:
        report = examine_campaign(settings, current_sessions(), body.campaign_id, user=body.user, within=PATIENCE)
        if isinstance(report, Failure):
            raise NotFound if report.trouble is Trouble.NOT_FOUND else Unanswered(report.detail)
        return _tell(report.as_json(_mask(settings, body, "campaign")))


# --- one call ---------------------------------------------------------------------------------------------------------


@diagnostics.post("/identify")
@requires(Action.OPERATE)
@operation(
    "Make one identify call and show all of it, as `ciosync debug identify` does. It writes to the workspace.",
    body=IdentifyBody,
    answers={200: Diagnosis},
)
def identify(body: IdentifyBody) -> Response:
    """Return request, answer and checks of exactly one call; a dry run sends nothing."""
    prepare = partial(prepare_identify, person=body.person, attributes=dict(body.attributes), version=body.api)
    return _call(body, prepare)


@diagnostics.post("/track")
@requires(Action.OPERATE)
@operation(
    "Make one track call and show all of it, as `ciosync debug track` does. It writes to the workspace.",
    body=TrackBody,
    answers={200: Diagnosis},
)
def track(body: TrackBody) -> Response:
    """Return request, answer and checks of exactly one call; a dry run sends nothing."""
    prepare = partial(prepare_track, person=body.person, name=body.event, data=dict(body.data), version=body.api)
    return _call(body, prepare)


def _call(body: IdentifyBody | TrackBody, prepare: Callable[[Transport], Exchange]) -> Response:
    with _taking_turns() as settings:
        if settings.mock and not body.dry_run:
            raise InvalidInput.of("dryRun", "must be true in mock mode: there are no credentials to call with")
        transport = transport_of(settings, timeout=CALL)
        exchange = prepare(transport)
        if not body.dry_run:
            _note("debug_call", {"what": type(body).__name__.removesuffix("Body").lower()})
            exchange = refuse(exchange) or make(transport, exchange, timeout=CALL)
        site_id = None if settings.customerio_site_id is None else settings.customerio_site_id.get_secret_value()
        return _tell(exchange.shown(_mask(settings, body, "call"), site_id=site_id))


# --- an incident ------------------------------------------------------------------------------------------------------


@diagnostics.get("/incident/severity")
@requires(Action.OPERATE)
@operation("Say how severe it is and why, from evidence.", query=NoQuery, answers={200: Diagnosis})
def severity(query: NoQuery) -> Response:  # noqa: ARG001 - as above
    """Return P1 to P4 or none, the reasons, the evidence, and why it is not worse."""
    with _taking_turns() as settings:
        evidence = gather(settings, current_sessions())
        return _tell(_clean(shown_verdict(judge(evidence), evidence), settings))


@diagnostics.post("/incident/runbook")
@requires(Action.OPERATE)
@operation("Take the steps of a runbook; nothing is changed.", body=RunbookBody, answers={200: Diagnosis})
def runbook(body: RunbookBody) -> Response:
    """Return each step as pass, fail or human; without a severity those for the one that is found."""
    with _taking_turns() as settings:
        evidence = gather(settings, current_sessions())
        verdict = judge(evidence)
        level = verdict.level if body.severity is None else Level(body.severity)
        taken = list(take_steps(Case(settings, current_sessions(), evidence, verdict), level, longest=CALL))
        return _tell(_clean(shown_runbook(level, taken), settings))


@diagnostics.get("/incident/report")
@requires(Action.OPERATE)
@operation("Tell what happened lately.", query=ReportQuery, answers={200: Diagnosis})
def report(query: ReportQuery) -> Response:
    """Return attempts, errors, gate closings, dead letters and releases of the last `sinceSeconds`."""
    with _taking_turns() as settings, transaction() as session:
        return _tell(_clean(read_report(session, timedelta(seconds=query.since_seconds)).shown(), settings))


# --- what may be shown ------------------------------------------------------------------------------------------------


def _mask(settings: Settings, body: Any, what: str) -> Mask:
    """Return what the caller may see. Whoever asks for personal data leaves a line in the audit."""
    reveal = bool(body.reveal) and caller().may(Action.REVEAL)
    if reveal:
        _note("revealed", {"what": what})
    return Mask(settings.secrets, reveal)


def _note(action: str, details: dict[str, Any]) -> None:
    with current_sessions().begin() as session:
        add_audit(session, action, [{"details": details}], actor=caller().name)


def _clean(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    told: dict[str, Any] = cleaned(document, settings.secrets)
    return told
