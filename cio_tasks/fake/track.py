"""The Track API behind its routes: decide what happens to a request, carry it out, write it down."""

from dataclasses import replace
from typing import Any

from cio_tasks.fake.account import OTHER, TRACK_URLS, Account, region_document, user_of
from cio_tasks.fake.calls import Call, Dialect, Reader, Reading
from cio_tasks.fake.ledger import Ledger, LedgerAnswer, LedgerEntry, LedgerOperation, entry_of
from cio_tasks.fake.operations import Operation
from cio_tasks.fake.people import Effect, People, ignored
from cio_tasks.fake.personas import Personas, Strike
from cio_tasks.fake.plans import Ending, Plan, failing, silent, unreadable, verdict
from cio_tasks.fake.replies import redirect, unauthorized
from cio_tasks.fake.scenario import Scenario, Weather
from cio_tasks.fake.visibility import Visibility

SILENT_ENDINGS = {"timeout": Ending.HANG, "reset": Ending.RESET}


class TrackAPI:
    """One workspace: its account, its weather, its people and the ledger of everything asked of it."""

    def __init__(self, account: Account, weather: Weather, ledger: Ledger) -> None:
        self.account = account
        self.weather = weather
        self.ledger = ledger
        self.people = People(
            event_creates_person=lambda: weather.scenario.event_creates_person,
            email_identifies=lambda: weather.scenario.email_identifies,
        )
        self.visibility = Visibility(self.people)
        self._personas = Personas(self.people.find_email)

    def answer(self, call: Call, read: Reader) -> Plan:
        """Read, decide, apply and record one request; the caller then only has to put the plan on the wire."""
        reading = read(call, self.weather.scenario)
        self._personas.learn(reading.operations)
        plan = self._marked(self._plan(call, reading))
        effects = self._carry_out(plan, reading, call.at)
        self.ledger.append(_entry(call, reading, plan, effects))
        return plan

    def read_region(self, _call: Call, scenario: Scenario) -> Reading:
        """Read `GET /api/v1/accounts/region`: the region the account lives in, asked on either host (TrackOAS)."""
        home = OTHER[self.account.region] if scenario.wrong_region else self.account.region
        return Reading(Dialect.V1, document=region_document(home))

    def summary(self) -> dict[str, Any]:
        """Return the counts of requests, people, events, dropped duplicates, statuses and faults."""
        return {
            "requests": self.ledger.count(),
            "people": self.people.count(),
            "events": self.people.count_events(),
            "duplicates_dropped": self.people.count_duplicates_dropped(),
            "by_status": self.ledger.count_by_status(),
            "by_fault": self.ledger.count_by_fault(),
        }

    def clear(self) -> None:
        """Forget people, events, persona counts and the ledger's memory."""
        self.people.clear()
        self.visibility.catch_up()
        self._personas.clear()
        self.ledger.clear()

    def _plan(self, call: Call, reading: Reading) -> Plan:
        """The first of these that has something to say decides: the network, the door, the body, then the faults."""
        scenario = self.weather.scenario
        return (
            self._outage(reading, scenario)
            or self._elsewhere(call, scenario)
            or self._stranger(call, scenario)
            or unreadable(reading, scenario)
            or self._chance(reading, scenario)
            or self._by_person(reading, scenario)
        )

    def _outage(self, reading: Reading, scenario: Scenario) -> Plan | None:
        match self.weather.outage():
            case None:
                return None
            case "503":
                return failing(503, "outage:503", reading, scenario)
            case ending:
                return silent(Ending(ending), f"outage:{ending}")

    def _elsewhere(self, call: Call, scenario: Scenario) -> Plan | None:
        """Wrong-region behaviour is contradictory in the sources, so all three are offered."""
        if scenario.wrong_region == "unauthorized":
            return Plan(reply=unauthorized(scenario), fault="wrong_region:unauthorized", withheld="unauthorized")
        if scenario.wrong_region != "redirect" and scenario.redirect_to is None:
            return None
        host = scenario.redirect_to or TRACK_URLS[OTHER[self.account.region]]
        fault = "wrong_region:redirect" if scenario.wrong_region else "redirect"
        return Plan(reply=redirect(scenario.redirect_status, host + call.path), fault=fault, withheld="fault")

    def _stranger(self, call: Call, scenario: Scenario) -> Plan | None:
        if scenario.accept_any_credentials or self.account.accepts(call.authorization):
            return None
        return Plan(reply=unauthorized(scenario), withheld="unauthorized")

    def _chance(self, reading: Reading, scenario: Scenario) -> Plan | None:
        if self.weather.strikes(scenario.reset_before_rate):
            return silent(Ending.RESET, "reset_before")
        if self.weather.strikes(scenario.error_rate):
            return failing(scenario.error_status, f"error_rate:{scenario.error_status}", reading, scenario)
        return None

    def _by_person(self, reading: Reading, scenario: Scenario) -> Plan:
        strike = self._personas.strike(reading.operations) if scenario.personas else Strike()
        plan = replace(self._struck(strike, reading, scenario), slow=strike.slow)
        if plan.withheld is None and self.weather.strikes(scenario.reset_after_rate):
            return replace(plan, ending=Ending.RESET, fault="reset_after")
        return plan

    def _marked(self, plan: Plan) -> Plan:
        """Name the blemish an answer is going to have, when it has no other fault."""
        blemish = self.weather.scenario.blemish if plan.ending is Ending.ANSWER else None
        return replace(plan, fault=plan.fault or blemish)

    def _struck(self, strike: Strike, reading: Reading, scenario: Scenario) -> Plan:
        fault = f"persona:{strike.whole}"
        if strike.whole in SILENT_ENDINGS:
            return silent(SILENT_ENDINGS[strike.whole], fault)
        if strike.whole and strike.whole.isdigit():
            return failing(int(strike.whole), fault, reading, scenario)
        plan = verdict(reading, scenario, strike.bad_items)
        if strike.whole == "resetafter":
            return replace(plan, ending=Ending.RESET, fault=fault)
        return replace(plan, fault=plan.fault or strike.mild_fault)

    def _carry_out(self, plan: Plan, reading: Reading, at: float) -> list[Effect]:
        if plan.withheld:
            return [ignored(plan.withheld)] * len(reading.operations)
        refused = {one.position for one in plan.refusals}
        delay = self.weather.scenario.visibility_seconds
        return [
            ignored("refused") if index in refused else self.visibility.apply(operation, at, delay)
            for index, operation in enumerate(reading.operations)
        ]


def _entry(call: Call, reading: Reading, plan: Plan, effects: list[Effect]) -> LedgerEntry:
    answer: LedgerAnswer = {"status": plan.status, "errors": _errors(plan, reading), "fault": plan.fault}
    operations = list(map(_ledger_operation, reading.operations, effects))
    return entry_of(call, answer, operations, user_of(call.authorization))


def _ledger_operation(operation: Operation, effect: Effect) -> LedgerOperation:
    return {
        "type": operation.type,
        "action": operation.action,
        "person": dict([operation.person]) if operation.person else None,
        "email": operation.email,
        "name": operation.name,
        "event_id": operation.event_id,
        "timestamp": operation.timestamp,
        "attributes": operation.attributes,
        "applied": effect.applied,
        "why": effect.why,
    }


def _errors(plan: Plan, reading: Reading) -> list[dict[str, Any]]:
    whole = reading.refusal is not None
    return [{"batch_index": None if whole else one.position, **one.violation._asdict()} for one in plan.refusals]
