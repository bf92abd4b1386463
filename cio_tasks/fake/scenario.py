"""The weather: which faults everybody meets, whoever the person is."""

import random
import threading
import time
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cio_tasks.fake.app_scenario import AppScenario
from cio_tasks.fake.knobs import HeaderText, Outage, Rate, Seconds
from cio_tasks.fake.status_page import StatusScenario


class Scenario(BaseModel):
    """Knobs of the stand-in; the default is a healthy service. Unknown names are refused with ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    """Makes the rates repeat: same seed, same order of requests, same faults."""
    personas: bool = True
    """Whether addresses such as `ann+429x2@…` bring their faults."""

    error_rate: Rate = 0
    error_status: Annotated[int, Field(ge=400, le=599)] = 503
    reset_before_rate: Rate = 0
    """How many requests end in a TCP reset before anything was applied."""
    reset_after_rate: Rate = 0
    """How many are applied and then reset: a retry of those is a true duplicate."""
    outage: Outage | None = None
    """Every Track request fails this way; `refuse` closes the connection without an answer."""
    outage_seconds: Seconds | None = None
    """Counted from the moment the scenario is set; None: until it is replaced."""

    latency_seconds: Seconds = 0
    slow_seconds: Seconds = 2
    hang_seconds: Seconds = 60
    drip_seconds_per_byte: Seconds = 0
    """Writes every answer byte by byte, the head too."""

    retry_after: HeaderText | None = "1"
    """The header of a 429, sent as it stands; None leaves it out."""
    rate_limit_body: Literal["json", "text", "empty"] = "json"
    html_5xx: bool = False
    truncated_json: bool = False
    padding_bytes: Annotated[int, Field(ge=0)] = 0
    """Spaces after every body, for clients that must cap what they read."""

    unauthorized_as: Literal["json", "text"] = "json"
    accept_any_credentials: bool = False
    wrong_region: Literal["proxy", "redirect", "unauthorized"] | None = None
    """The account lives in the other region, and this is what the host here does about it."""
    redirect_to: HeaderText | None = None
    """Scheme and host every request is sent on to; with `wrong_region` it replaces the other region's host."""
    redirect_status: Literal[301, 302, 307, 308] = 301

    v1_error_shape: Literal["errors", "error"] = "errors"
    """`{"meta": {"errors": [...]}}` or `{"meta": {"error": "..."}}`: both are in the wild."""
    body_error_200: bool = False
    """Refusals are answered 200 with the list in the body; without any, the first item is refused."""
    batch_index_as: Literal["number", "string", "out_of_range", "missing"] = "number"
    oversize_status: Literal[400, 413] = 413
    non_ulid_ids: Literal["reject", "accept"] = "reject"
    event_creates_person: bool = True
    email_identifies: bool = True
    """Whether an e-mail belongs to one person only; otherwise it is an attribute like any other."""
    visibility_seconds: Seconds = 0
    """How long what the Track API accepted stays invisible in the App API."""

    app: AppScenario = AppScenario()
    status_page: StatusScenario = StatusScenario()

    @property
    def blemish(self) -> str | None:
        """What is wrong with every answer on its way out, whatever it says."""
        return "truncated_json" if self.truncated_json else "drip" if self.drip_seconds_per_byte else None


class Weather:
    """The scenario in force, since when, and its random numbers; may be changed from any thread."""

    def __init__(self, scenario: Scenario, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.change(scenario)

    @property
    def scenario(self) -> Scenario:
        """The scenario in force."""
        return self._scenario

    def change(self, scenario: Scenario) -> None:
        """Put a scenario in force from now on; its random numbers start at its seed."""
        with self._lock:
            self._scenario = scenario
            self._since = self._clock()
            self._random = random.Random(scenario.seed)  # noqa: S311 - faults must repeat, not surprise

    def outage(self) -> Outage | None:
        """Return how every request fails now, or None when there is no outage or its time is over."""
        scenario = self._scenario
        over = scenario.outage_seconds is not None and self._clock() - self._since >= scenario.outage_seconds
        return None if over else scenario.outage

    def strikes(self, rate: float) -> bool:
        """Draw one random number and tell whether a fault of this rate (0 to 1) happens."""
        with self._lock:
            return self._random.random() < rate
