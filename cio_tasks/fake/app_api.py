"""The App API behind its routes, and the status page: decide what happens to a request, answer it, write it down."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from cio_tasks.fake import app_campaigns, app_people, app_suppression
from cio_tasks.fake.account import APP_URLS, OTHER
from cio_tasks.fake.app_asks import Ask, Handler, Refused, Routes
from cio_tasks.fake.app_scenario import AppScenario
from cio_tasks.fake.calls import Call
from cio_tasks.fake.histories import Histories, put
from cio_tasks.fake.knobs import Outage
from cio_tasks.fake.ledger import entry_of
from cio_tasks.fake.plans import Ending, Plan
from cio_tasks.fake.replies import HTML_TYPE, JSON_TYPE, Reply
from cio_tasks.fake.scenario import Scenario
from cio_tasks.fake.status_page import status_document, summary_document
from cio_tasks.fake.track import TrackAPI
from cio_tasks.fake.workspace import Workspace

ROUTES: Routes = {**app_people.ROUTES, **app_campaigns.ROUTES, **app_suppression.ROUTES}
HEADERS: Mapping[str, str] = {
    "access-control-allow-origin": "https://fly.customer.io",
    "cache-control": "must-revalidate,no-cache,no-store",
    "content-type": JSON_TYPE,
    "expires": "0",
    "pragma": "no-cache",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "via": "1.1 google",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}
"""Headers of a success, none of them about rates (source: node-fx)."""
PAGE = b"<html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>\n"
WINDOW_SECONDS = 1.0
MOVED = 301


class AppAPI:
    """The App API of one workspace and the status page, on the state that the Track API fills."""

    def __init__(self, track: TrackAPI, clock: Callable[[], float] = time.monotonic) -> None:
        self.workspace = Workspace()
        self._track = track
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: deque[float] = deque()

    @property
    def scenario(self) -> Scenario:
        """The scenario in force."""
        return self._track.weather.scenario

    def answer(self, call: Call, kind: str, handler: Handler) -> Plan:
        """Decide about one request and write it down; `kind` is the last fixed word of its path."""
        return self._written(call, self._plan(call, kind, handler))

    def answer_status(self, call: Call, document: str) -> Plan:
        """Answer `status.json` or `summary.json`; no credentials are asked for."""
        return self._written(call, self._status_plan(call, document))

    def put(self, histories: Histories) -> None:
        """Put in people with what they have behind them, and show it at once."""
        self._track.visibility.catch_up()
        put(histories, self._track.people, self.workspace, time.time())

    def clear(self) -> None:
        """Forget segments, campaigns and messages, and who has asked lately."""
        self.workspace.clear()
        with self._lock:
            self._taken.clear()

    def _written(self, call: Call, plan: Plan) -> Plan:
        self._track.ledger.append(
            entry_of(call, {"status": plan.status, "errors": [], "fault": plan.fault}, [], user=None)
        )
        return plan

    def _plan(self, call: Call, kind: str, handler: Handler) -> Plan:
        """The first of these that has something to say decides: the network, the door, the limit, then the faults."""
        scenario = self.scenario.app
        return (
            _outage(scenario.outage, "app_outage")
            or self._elsewhere(call, scenario)
            or self._stranger(call, scenario)
            or self._over_limit(scenario)
            or _failing(kind, scenario)
            or self._on_merits(call, handler, scenario)
        )

    def _elsewhere(self, call: Call, scenario: AppScenario) -> Plan | None:
        """Wrong-region behaviour changed: 301 in 2023 (customerio-node#134), 401 in 2026 (Airbyte-src)."""
        if scenario.wrong_region is None:
            return None
        fault = f"app_wrong_region:{scenario.wrong_region}"
        if scenario.wrong_region == "unauthorized":
            return Plan(reply=_error(401, "unauthorized"), fault=fault)
        location = APP_URLS[OTHER[self._track.account.region]] + call.path
        return Plan(reply=_error(MOVED, "wrong datacenter", {"location": location}), fault=fault)

    def _stranger(self, call: Call, scenario: AppScenario) -> Plan | None:
        if scenario.accept_any_key or self._track.account.accepts_app(call.authorization):
            return None
        return Plan(reply=_error(401, "unauthorized"))

    def _over_limit(self, scenario: AppScenario) -> Plan | None:
        with self._lock:
            now = self._clock()
            while self._taken and self._taken[0] <= now - WINDOW_SECONDS:
                self._taken.popleft()
            if len(self._taken) < scenario.rate_limit:
                self._taken.append(now)
                return None
        return Plan(reply=_rate_limited(scenario), fault="app_rate_limit")

    def _on_merits(self, call: Call, handler: Handler, scenario: AppScenario) -> Plan:
        with self.workspace.lock:
            people = self._track.visibility.shown(call.at)
            ask = Ask(call=call, people=people, workspace=self.workspace, scenario=self.scenario)
            try:
                document = handler(ask)
            except Refused as refused:
                return Plan(reply=_refusal(refused))
        return Plan(reply=_success(document, scenario))

    def _status_plan(self, call: Call, document: str) -> Plan:
        scenario = self.scenario.status_page
        if plan := _outage(scenario.outage, "status_outage"):
            return plan
        if scenario.moved_to is not None:
            headers = {"content-type": HTML_TYPE, "location": scenario.moved_to + call.path}
            return Plan(reply=Reply(MOVED, b"", headers), fault="status_moved")
        if scenario.not_json:
            return Plan(reply=Reply(200, PAGE, {"content-type": HTML_TYPE}), fault="status_not_json")
        make = {"status.json": status_document, "summary.json": summary_document}[document]
        return Plan(reply=Reply(200, _json(make(scenario, call.at))))


def not_found(_ask: Ask) -> None:
    """Answer any other path of the App API. Raises Refused."""
    raise Refused(404, "not found")


def _outage(outage: Outage | None, name: str) -> Plan | None:
    match outage:
        case None:
            return None
        case "503":
            return Plan(reply=_error(503, "service unavailable"), fault=f"{name}:503")
        case ending:
            return Plan(reply=Reply(200, b""), ending=Ending(ending), fault=f"{name}:{ending}")


def _failing(kind: str, scenario: AppScenario) -> Plan | None:
    status = scenario.failing.get(kind)
    if status is None:
        return None
    fault = f"app_failing:{kind}"
    if status == 429:  # noqa: PLR2004
        return Plan(reply=_rate_limited(scenario), fault=fault)
    return Plan(reply=_error(status, f"answered {status} on request"), fault=fault)


def _rate_limited(scenario: AppScenario) -> Reply:
    """A 429 says in whole seconds when to come back, except for daily quotas (source: AppOAS-0926)."""
    headers = {} if scenario.retry_after is None else {"retry-after": scenario.retry_after}
    return _error(429, "too many requests (reference 7f3a)", headers)


def _refusal(refused: Refused) -> Reply:
    if refused.plain:
        return Reply(refused.status, _json({"meta": {"errors": [refused.detail]}}))
    return _error(refused.status, refused.detail)


def _error(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Reply:
    """The status in the body is a text (source: AppOAS-0926)."""
    document = {"errors": [{"detail": detail, "status": str(status)}]}
    return Reply(status, _json(document), {"content-type": JSON_TYPE, **(headers or {})})


def _success(document: Mapping[str, Any] | None, scenario: AppScenario) -> Reply:
    if document is None:
        return Reply(204, b"", HEADERS)
    if scenario.not_json:
        return Reply(200, PAGE, {**HEADERS, "content-type": HTML_TYPE})
    return Reply(200, _json(_with_empty(document, scenario.empty_as)), HEADERS)


def _with_empty(value: Any, form: str) -> Any:
    """Write every empty list in the form asked for, or leave its name out."""
    if isinstance(value, Mapping):
        shown = {name: _with_empty(part, form) for name, part in value.items()}
        return {name: part for name, part in shown.items() if not (form == "missing" and part == [])}
    if isinstance(value, list | tuple):
        return None if form == "null" and not value else [_with_empty(part, form) for part in value]
    return value


def _json(document: Any) -> bytes:
    return json.dumps(document).encode() + b"\n"
