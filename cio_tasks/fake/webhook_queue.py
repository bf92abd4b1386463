"""The line of events that wait for one endpoint: in order, the first blocks the rest, tried again for seven days."""

import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cio_tasks.fake.knobs import Rate
from cio_tasks.fake.webhook_payloads import METRICS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
State = Literal["queued", "retrying", "delivered", "expired"]
Failure = Literal["timeout", "eof", "refused", "reset", "tls", "dns", "not_http", "stopped"]

HOUR_SECONDS = 3_600.0
GIVE_UP_SECONDS = 7 * 24 * HOUR_SECONDS
HOUR_STATUSES = {400, 401, 402, 403, 404, 405, 410, 429, 500, 502, 521}
HOUR_FAILURES = {"eof", "refused", "reset", "tls", "dns"}
"""After these a retry waits for at least an hour; after the others only for the backoff (source: HookOAS, timeouts and
failures; its `server misbehaving` is what a name server's failure is called there)."""


class EndpointSettings(BaseModel):
    """One receiver and how it is served; the default is what the documentation says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(?:[/?#]\S*)?$", max_length=2_000)]
    secret: Annotated[SecretStr, Field(min_length=1)]
    timeout_seconds: Positive = 4
    """For the whole answer, whatever the clock's scale (source: HookOAS)."""
    time_scale: Annotated[float, Field(gt=0, le=1)] = 1
    """Multiplies the waits between tries, the hour and the seven days."""
    first_backoff_seconds: Positive = 10
    """The wait after the first failure, doubled by each further one. The real figures are not published."""
    fresh_timestamp: bool = True
    """Whether a retry is signed anew, with its own time; which of both Customer.io does is not published."""
    duplicate_rate: Rate = 0
    """How many events are sent once more after they were delivered."""
    overtake_rate: Rate = 0
    """How many events get in before the one that was queued last, if that was not tried yet."""
    on_identify: tuple[str, ...] = ()
    """E-mail metrics that an identified person with an address causes, such as `sent`, `delivered`: one message."""
    on_event: tuple[str, ...] = ()
    """The same for a tracked event, as a campaign that it triggers would."""
    seed: int = 0
    """Makes the rates repeat."""

    @field_validator("on_identify", "on_event")
    @classmethod
    def _check_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [metric for metric in metrics if metric not in METRICS["email"]]:
            raise ValueError(f"email has no metric {', '.join(unknown)}")
        return metrics


class Try(TypedDict):
    """One request of a delivery. `at` is unix seconds; `failure` says why there is no status.

    `stopped` means that the sender was stopped while it waited: whether the receiver took the event is then unknown.
    """

    at: float
    timestamp: str
    status: int | None
    failure: Failure | None
    ms: float


class DeliveryRecord(TypedDict):
    """One event on its way to one endpoint; `next_try_at` is unix seconds."""

    seq: int
    url: str
    event_id: str | None
    object_type: str | None
    metric: str | None
    duplicate: bool
    state: State
    tries: list[Try]
    next_try_at: float | None


@dataclass(slots=True, eq=False)
class Delivery:
    """An event as it is sent: the same bytes, and so the same event id, in every try."""

    seq: int
    body: bytes
    event: Mapping[str, Any]
    duplicate: bool = False
    state: State = "queued"
    tries: list[Try] = field(default_factory=list)


class Queue:
    """The deliveries of one endpoint. No input or output, and no lock: the sender holds one."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        self._deliveries: list[Delivery] = []
        self._waiting: deque[Delivery] = deque()
        self._random = random.Random(settings.seed)  # noqa: S311 - disorder must repeat, not surprise

    def add(self, delivery: Delivery) -> None:
        """Put a delivery at the end, or before the last one when it overtakes."""
        self._deliveries.append(delivery)
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.state == "queued" and self._strikes(self.settings.overtake_rate):
            self._waiting.insert(len(self._waiting) - 1, delivery)
        else:
            self._waiting.append(delivery)

    def head(self) -> Delivery | None:
        """Return the delivery that blocks the others, or None when nothing waits."""
        return self._waiting[0] if self._waiting else None

    def begin(self, delivery: Delivery) -> str:
        """Note that a delivery is being tried, so that nothing overtakes it; return the timestamp to sign."""
        delivery.state = "retrying"
        if delivery.tries and not self.settings.fresh_timestamp:
            return delivery.tries[0]["timestamp"]
        return str(int(time.time()))

    def record(self, delivery: Delivery, attempt: Try) -> bool:
        """Record a try; tell whether the event, delivered now, is to be sent once more."""
        delivery.tries.append(attempt)
        if attempt["status"] is not None and 200 <= attempt["status"] < 300:  # noqa: PLR2004 - 2xx
            self._leave(delivery, "delivered")
            return not delivery.duplicate and self._strikes(self.settings.duplicate_rate)
        if attempt["failure"] != "stopped" and self._is_over(delivery):
            self._leave(delivery, "expired")
        return False

    def next_try_at(self, delivery: Delivery) -> float:
        """Return when to try next, in unix seconds; 0 when nothing was tried yet."""
        if not delivery.tries:
            return 0.0
        last = delivery.tries[-1]
        return last["at"] + last["ms"] / 1000 + self._wait(delivery.tries) * self.settings.time_scale

    def records(self, since: int = 0) -> list[DeliveryRecord]:
        """Return the deliveries with a number above `since` as they are now."""
        return [self._record(delivery) for delivery in self._deliveries if delivery.seq > since]

    def count(self, *states: State) -> int:
        """Return how many deliveries are in one of these states."""
        return sum(delivery.state in states for delivery in self._deliveries)

    def _wait(self, tries: list[Try]) -> float:
        """The wait doubles with each failure; some failures wait for an hour before (source: HookOAS)."""
        backoff = self.settings.first_backoff_seconds * 2.0 ** min(len(tries) - 1, 60)
        last = tries[-1]
        waits_an_hour = last["status"] in HOUR_STATUSES or last["failure"] in HOUR_FAILURES
        return max(HOUR_SECONDS, backoff) if waits_an_hour else backoff

    def _is_over(self, delivery: Delivery) -> bool:
        """Whether the next try would come after the seven days."""
        ends_at = delivery.tries[0]["at"] + GIVE_UP_SECONDS * self.settings.time_scale
        return self.next_try_at(delivery) > ends_at

    def _leave(self, delivery: Delivery, state: State) -> None:
        delivery.state = state
        self._waiting.remove(delivery)

    def _strikes(self, rate: float) -> bool:
        return self._random.random() < rate

    def _record(self, delivery: Delivery) -> DeliveryRecord:
        is_waiting = delivery.state == "retrying" and bool(delivery.tries)
        return {
            "seq": delivery.seq,
            "url": self.settings.url,
            "event_id": delivery.event.get("event_id"),
            "object_type": delivery.event.get("object_type"),
            "metric": delivery.event.get("metric"),
            "duplicate": delivery.duplicate,
            "state": delivery.state,
            "tries": list(delivery.tries),
            "next_try_at": self.next_try_at(delivery) if is_waiting else None,
        }
