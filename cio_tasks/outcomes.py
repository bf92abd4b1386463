"""What became of one delivery: four small values that one `match` in `delivery.py` records."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final


class ErrorType(StrEnum):
    """The four kinds of failure that jobs and attempts store (row A7)."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    NETWORK = "network"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Delivered:
    """Customer.io accepted the job's operations, or mock mode stood in for it."""

    http_status: int | None = None
    mock: bool = False


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The failure may pass: rate limit, server error or network.

    `code` is a stable word for the cause (`http_503`, `timeout`), `detail` a text that is safe to show, and
    `retry_after` what a 429 asked for (already clamped), if it did.
    """

    error_type: ErrorType
    code: str
    detail: str
    http_status: int | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The failure is final: the same request would be refused again."""

    code: str
    detail: str
    http_status: int | None = None
    error_type: ErrorType = ErrorType.OTHER


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was spent: the worker stops, our own pace is used up, or a probe found the outage still on.

    The job runs again at once, or after `wait`.
    """

    code: str
    detail: str
    wait: timedelta | None = None


Outcome = Delivered | RetryLater | Rejected | Deferred

UNAUTHORIZED: Final = "http_401"
"""The code of a 401: the credentials are at fault, not the job, so its job is revived when they work again."""

REDIRECTED: Final = "redirected"
"""The code of a 3xx: the region or the address is at fault. We never follow, since a redirected POST becomes a GET."""

CREDENTIALS_AT_FAULT: Final = frozenset({UNAUTHORIZED, REDIRECTED})

INITIAL_FAILED: Final = "initial_failed"
"""The code of an enriched job that was not sent because its signup's initial job has failed for good."""

WORKER_LOST: Final = "worker_lost"
"""The code of an attempt whose worker died or hung until the claim was taken back."""
