"""The public status page, an Atlassian Statuspage: `/api/v2/status.json` and `/api/v2/summary.json`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cio_tasks.fake.knobs import HeaderText, Outage, Seconds

JsonObject = dict[str, Any]
Indicator = Literal["none", "minor", "major", "critical"]
ComponentStatus = Literal["operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"]

DESCRIPTIONS: Mapping[str, str] = {
    "none": "All Systems Operational",
    "minor": "Minor Service Outage",
    "major": "Partial System Outage",
    "critical": "Major Service Outage",
}
GROUP = "Third-Party Services"
COMPONENTS = (
    "Javascript Tracker",
    "Data Collection",
    "Data Processing",
    "Message Sending",
    "Management Interface",
    "Knowledge Base",
    GROUP,
    "Email Delivery",
    "SMS Delivery",
)
"""Nine of them, the last two in a group (source: w6w, probed 2026-08-01; the names of those two are ours)."""
GROUPED = COMPONENTS[-2:]
SINCE = "2015-01-01T00:00:00.000Z"


class IncidentScenario(BaseModel):
    """One incident that is not over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    status: Literal["investigating", "identified", "monitoring", "resolved", "postmortem"] = "investigating"
    impact: Indicator = "minor"
    components: Sequence[str] = []


class StatusScenario(BaseModel):
    """Knobs of the status page; by default all is well. Unknown names are refused with ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    indicator: Indicator = "none"
    description: str | None = None
    """None: the usual words for the indicator."""
    components: Mapping[str, ComponentStatus] = {}
    """The components that are not operational, by name."""
    incidents: Sequence[IncidentScenario] = []
    maintenances: Sequence[str] = []
    """Names of the maintenances that are announced."""

    outage: Outage | None = None
    moved_to: HeaderText | None = None
    """Scheme and host that every request is sent on to with a 301, as the old host does (source: w6w)."""
    latency_seconds: Seconds = 0
    hang_seconds: Seconds = 60
    not_json: bool = False


def status_document(scenario: StatusScenario, at: float) -> JsonObject:
    """Return the body of `status.json` at a time, in unix seconds (source: Statuspage's public API)."""
    description = scenario.description if scenario.description is not None else DESCRIPTIONS[scenario.indicator]
    return {
        "page": {
            "id": "7x4jm1wl2s3k",
            "name": "Customer.io Status",
            "url": "https://status.customerio.com",
            "time_zone": "America/New_York",
            "updated_at": _time(at),
        },
        "status": {"indicator": scenario.indicator, "description": description},
    }


def summary_document(scenario: StatusScenario, at: float) -> JsonObject:
    """Return the body of `summary.json`: the status with components, incidents and maintenances."""
    return {
        **status_document(scenario, at),
        "components": [_component(name, scenario.components.get(name, "operational"), at) for name in COMPONENTS],
        "incidents": [_incident(number, incident, at) for number, incident in enumerate(scenario.incidents)],
        "scheduled_maintenances": [
            {"id": f"maintenance{number}", "name": name, "status": "scheduled", "impact": "maintenance"}
            for number, name in enumerate(scenario.maintenances)
        ],
    }


def _component(name: str, status: str, at: float) -> JsonObject:
    return {
        "id": f"component{COMPONENTS.index(name)}",
        "name": name,
        "status": status,
        "created_at": SINCE,
        "updated_at": _time(at),
        "position": COMPONENTS.index(name) + 1,
        "description": None,
        "showcase": name != GROUP,
        "group": name == GROUP,
        "group_id": f"component{COMPONENTS.index(GROUP)}" if name in GROUPED else None,
        "only_show_if_degraded": False,
    }


def _incident(number: int, incident: IncidentScenario, at: float) -> JsonObject:
    return {
        "id": f"incident{number}",
        "name": incident.name,
        "status": incident.status,
        "impact": incident.impact,
        "created_at": _time(at),
        "updated_at": _time(at),
        "shortlink": "https://stspg.io/example",
        "incident_updates": [],
        "components": [{"name": name} for name in incident.components],
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
