"""The weather of the App API: its own limit and its own faults, whatever the Track API meets."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cio_tasks.fake.knobs import ErrorStatus, HeaderText, Outage, Seconds

RATE_LIMIT = 10
"""Requests per second to all ordinary endpoints of a workspace together (source: AppOAS)."""
HISTORY_DAYS = 30
"""How far back activities are guaranteed (source: AppOAS)."""


class AppScenario(BaseModel):
    """Knobs of the App API; the default is a healthy one. Unknown names are refused with ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outage: Outage | None = None
    """Every request to the App API fails this way."""
    failing: Mapping[str, ErrorStatus] = {}
    """The status of one kind of request, by the last fixed word of its path: `{"activities": 503, "customers": 404}`."""
    wrong_region: Literal["redirect", "unauthorized"] | None = None
    """The account lives in the other region: 301 with the host there, or, as seen in 2026, a plain 401."""
    accept_any_key: bool = False

    rate_limit: Annotated[int, Field(ge=0)] = RATE_LIMIT
    retry_after: HeaderText | None = "1"
    """The header of a 429, whole seconds; None leaves it out, as when a daily quota is the cause."""

    latency_seconds: Seconds = 0
    hang_seconds: Seconds = 60
    drip_seconds_per_byte: Seconds = 0
    truncated_json: bool = False
    not_json: bool = False
    """Success is answered with a web page, as a proxy in between would."""
    padding_bytes: Annotated[int, Field(ge=0)] = 0

    empty_as: Literal["list", "null", "missing"] = "list"
    """How an empty collection is written: `null` was seen live."""
    last_page: Literal["empty", "null", "missing", "live", "same"] = "empty"
    """What `next` is on the last page: nothing in three forms, a token whose page is empty and whose own token lives on,
    or the same token for ever."""
    clean_address: Literal["empty_list", "missing", "empty_object", "null"] = "empty_list"
    """What the suppression search says of an address that is on no list; the sources do not agree."""
    history_days: Annotated[int, Field(ge=1)] = HISTORY_DAYS
    numbers_as_strings: bool = False
    """Whether ids and times of messages come as text: the id of an action does at Customer.io, though the spec says not."""
