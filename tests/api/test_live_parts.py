"""The small decisions of live events: which origin is foreign, which message is an event, which line is logged."""

import json
import logging
from typing import Any

import pytest

from api.live.door import is_foreign
from api.live.quiet import OncePerPlace, quiet_logger
from api.live.relay import LONGEST_MESSAGE, read_event
from cio_tasks.live import SYNCED

PAYLOAD = {
    "signupId": "s",
    "jobId": "j",
    "syncPhase": "initial",
    "operatorId": "o",
    "contactId": "c",
    "mock": True,
    "at": "t",
}
MESSAGE = {"method": "emit", "event": SYNCED, "data": [PAYLOAD]}


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "foreign"),
    [
        (None, "api.example", "https", False),
        ("https://api.example", "api.example", "https", False),
        ("https://API.example", "api.EXAMPLE", "https", False),
        ("https://api.example", "api.example", "http", False),
        ("http://api.example", "api.example", "http", False),
        ("http://api.example", "api.example", "https", True),
        ("https://api.example:8443", "api.example:8443", "https", False),
        ("https://api.example:8443", "api.example", "https", True),
        ("https://evil.example", "api.example", "https", True),
        ("https://api.example.evil", "api.example", "https", True),
        ("https://evil@api.example", "api.example", "https", True),
        ("null", "api.example", "https", True),
        ("", "api.example", "https", True),
        ("", "", "http", True),
        ("http://", "", "http", True),
        ("https://[", "api.example", "https", True),
        ("file://api.example", "api.example", "http", True),
        ("https://api.example, https://evil.example", "api.example", "https", True),
    ],
)
def test_a_page_of_another_origin_is_foreign(origin: str | None, host: str, scheme: str, foreign: bool) -> None:
    sent = {} if origin is None else {"HTTP_ORIGIN": origin}
    assert is_foreign({"wsgi.url_scheme": scheme, "HTTP_HOST": host, **sent}) is foreign


def test_a_live_event_is_read() -> None:
    assert read_event(json.dumps(MESSAGE).encode()) == (SYNCED, PAYLOAD)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "disconnect"},
        {"method": ["emit"]},
        {"event": "other"},
        {"event": None},
        {"data": []},
        {"data": PAYLOAD},
        {"data": [PAYLOAD, PAYLOAD]},
        {"data": [{**PAYLOAD, "email": "x"}]},
        {"data": [{name: value for name, value in PAYLOAD.items() if name != "at"}]},
        {"data": [{**PAYLOAD, "contactId": "x" * LONGEST_MESSAGE}]},
    ],
)
def test_anything_else_is_none(change: dict[str, Any]) -> None:
    assert read_event(json.dumps({**MESSAGE, **change}).encode()) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 4_000])
def test_what_is_no_message_is_none(content: bytes) -> None:
    assert read_event(content) is None


def test_a_library_may_complain_once_of_one_thing_and_quotes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.quiet")
    logger.addFilter(OncePerPlace())
    for secret in ("SECRETCANARY-1", "SECRETCANARY-2"):
        logger.error("a client sent %s", secret, exc_info=ValueError(secret))
    [record] = caplog.records
    assert record.message.startswith("test_live_parts:")
    assert record.message.endswith("complains of ValueError")
    assert "SECRETCANARY" not in caplog.text


def test_what_the_libraries_tell_of_messages_is_not_logged() -> None:
    assert not quiet_logger().isEnabledFor(logging.WARNING)
    assert len([known for known in quiet_logger().filters if isinstance(known, OncePerPlace)]) == 1
