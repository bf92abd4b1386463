"""The client as the rest of the project sees it: batch, region, and mock mode."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Self

from cio_tasks.customerio.limits import encode
from cio_tasks.customerio.pace import Pace
from cio_tasks.customerio.replies import BatchResult, read_reply
from cio_tasks.customerio.track import Operation
from cio_tasks.customerio.transport import Reply, Transport
from cio_tasks.outcomes import Deferred, Delivered
from cio_tasks.settings import TOTAL_DEADLINE, Settings

BATCH_PATH: Final = "/api/v2/batch"
REGION_PATH: Final = "/api/v1/accounts/region"
USER_AGENT: Final = "ciosync/0.1"
OWN_PACE: Final = Deferred("own_rate_limit", "our own limit of requests per second is used up")
MOCK_REPLY: Final = Reply(request_id="mock", elapsed=timedelta(0))


class CustomerIO:
    """The Track API of one workspace. Without credentials nothing is sent and everything succeeds, marked as mock."""

    def __init__(self, transport: Transport | None, pace: Pace) -> None:
        self._transport = transport
        self._pace = pace

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the client that the settings describe; no connection is made yet."""
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        pace = Pace(settings.rate_limit, redis_url=redis_url)
        if settings.customerio_site_id is None or settings.customerio_api_key is None:
            return cls(None, pace)
        auth = (settings.customerio_site_id.get_secret_value(), settings.customerio_api_key.get_secret_value())
        return cls(Transport(settings.track_url, auth=auth, total=TOTAL_DEADLINE, user_agent=USER_AGENT), pace)

    @property
    def mock(self) -> bool:
        """Whether nothing is sent (row A1)."""
        return self._transport is None

    def batch(self, operations: Sequence[Operation]) -> tuple[Reply, BatchResult]:
        """Send the operations in one request, and return the reply and its meaning (Track API v2, `POST /api/v2/batch`).

        The caller keeps within `limits.BATCH_BYTES`. Nothing is sent when our own pace allows none. Raises nothing for
        what the other side does.
        """
        if self._transport is None:
            return MOCK_REPLY, BatchResult(Delivered(mock=True))
        if not self._pace.wait_for_turn():
            return Reply("unsent", timedelta(0)), BatchResult(OWN_PACE)
        reply = self._transport.send("POST", BATCH_PATH, encode({"batch": list(operations)}))
        return reply, read_reply(reply, size=len(operations))

    def region(self) -> tuple[Reply, BatchResult]:
        """Ask for the account's region: the one documented read-only call of the Track API, so it checks credentials."""
        if self._transport is None:
            return MOCK_REPLY, BatchResult(Delivered(mock=True))
        reply = self._transport.send("GET", REGION_PATH)
        return reply, read_reply(reply, size=0)
