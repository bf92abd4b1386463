"""Customer.io's public status page. What it does not say is unknown: a page that cannot be read is no outage."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from cio_tasks.customerio.app_answers import Failure, Trouble, read_document
from cio_tasks.customerio.app_values import as_list, as_object, as_text
from cio_tasks.customerio.client import USER_AGENT
from cio_tasks.customerio.reads import ReadTransport
from cio_tasks.customerio.transport import Anonymous
from cio_tasks.redaction import redact
from cio_tasks.settings import STATUS_URL, Settings

SUMMARY_PATH: Final = "/api/v2/summary.json"
WITHIN: Final = timedelta(seconds=5)
"""Less than a delivery gets: whoever asks is in a hurry, and unknown is an answer."""
SHOWN: Final = 200
OVER: Final = frozenset({"resolved", "postmortem"})
COLLECTION: Final = "Data Collection"
"""The component that takes what the Track API is sent; the page names it so (status.customerio.com)."""
PROCESSING: Final = "Data Processing"
"""The component that makes profiles of it: while it lags, a 200 is true and nothing shows yet."""


class Indicator(StrEnum):
    """How the page sums it up (Statuspage's public API); `unknown` is ours."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of Customer.io and how it is: `degraded_performance`, `partial_outage`, `major_outage`, …"""

    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that is not over, with its `status` (`investigating`, …) and `impact`."""

    name: str
    status: str
    impact: str


@dataclass(frozen=True, slots=True)
class StatusPage:
    """What the page says. `failure` says why the indicator is unknown, when the page could not be read."""

    indicator: Indicator
    description: str
    degraded: tuple[Component, ...] = ()
    incidents: tuple[Incident, ...] = ()
    maintenances: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def known(self) -> bool:
        """Whether the page says how things are."""
        return self.indicator is not Indicator.UNKNOWN

    @property
    def operational(self) -> bool:
        """Whether the page says that all is well; False also when it says nothing."""
        return self.indicator is Indicator.NONE and not self.degraded

    def status_of(self, component: str) -> str | None:
        """Return how a component that is not operational is, or None."""
        return next((one.status for one in self.degraded if one.name == component), None)


def read(settings: Settings, *, total: timedelta = WITHIN) -> StatusPage:
    """Ask the page with one request that ends within `total`. Raises nothing for what the other side does."""
    transport = ReadTransport(
        settings.customerio_status_url.rstrip("/"), auth=Anonymous(), total=total, user_agent=USER_AGENT
    )
    document = read_document(transport.send("GET", SUMMARY_PATH))
    transport.close()
    if isinstance(document, Failure):
        return _unknown(document)
    status = as_object(document.get("status"))
    if as_text(status.get("indicator")) is None:
        return _unknown(Failure(Trouble.UNREADABLE, "not_a_status_page", "the answer is not a status page's"))
    return _page(document, status)


def _unknown(failure: Failure) -> StatusPage:
    return StatusPage(Indicator.UNKNOWN, f"the status page could not be read: {_explain(failure)}", failure=failure)


def _explain(failure: Failure) -> str:
    """Say in a few words what kept us from reading it; the App API's words would mislead."""
    match failure.code:
        case "redirected":
            return f"it has moved; CUSTOMERIO_STATUS_URL should be {STATUS_URL}"
        case "not_customerio" | "not_a_status_page" | "too_large":
            return "something else answered"
        case code:
            return code.replace("_", " ")


def _page(document: dict[str, Any], status: dict[str, Any]) -> StatusPage:
    indicator = as_text(status.get("indicator"))
    return StatusPage(
        Indicator(indicator) if indicator in set(Indicator) else Indicator.UNKNOWN,
        _shown(status.get("description")),
        tuple(
            Component(_shown(one.get("name")), _shown(one.get("status")))
            for one in map(as_object, as_list(document.get("components")))
            if one.get("status") not in {"operational", None} and not one.get("group")
        ),
        tuple(
            Incident(_shown(one.get("name")), _shown(one.get("status")), _shown(one.get("impact")))
            for one in map(as_object, as_list(document.get("incidents")))
            if one.get("status") not in OVER
        ),
        tuple(_shown(as_object(one).get("name")) for one in as_list(document.get("scheduled_maintenances"))),
    )


def _shown(value: object) -> str:
    """Return a text of theirs as one short line: it goes to terminals and pages."""
    return redact(as_text(value) or "", limit=SHOWN)
