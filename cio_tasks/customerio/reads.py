"""The transport for answers that are lists: it reads more of a body than deliveries ever need."""

from typing import Final, cast

from requests import PreparedRequest

from cio_tasks.customerio.app_answers import ANSWER_LIMIT
from cio_tasks.customerio.deadline import Deadline
from cio_tasks.customerio.transport import CONNECT_SECONDS, READ_SECONDS, Answer, Transport

WAITS: Final = (CONNECT_SECONDS, READ_SECONDS)


class ReadTransport(Transport):
    """Like `Transport` in everything but the cap on a body, which is `ANSWER_LIMIT`."""

    def _exchange(self, request: PreparedRequest, limit: Deadline) -> Answer:
        session = self._session()
        surroundings = session.merge_environment_settings(request.url or "", {}, True, None, None)
        with session.send(request, timeout=WAITS, allow_redirects=False, **surroundings) as response:
            limit.note("answered")
            content = cast("bytes", response.raw.read(ANSWER_LIMIT, decode_content=True))
            return response.status_code, {name.lower(): text for name, text in response.headers.items()}, content
