import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.envelopes import read_envelope
from tests.messages import MALFORMED, NOTHING_AFTER, changed, message

NOBODY = UUID("01a20108-be89-7174-b70d-f10de0b8ada0")
TASKS = {"cio_tasks.sync_signup", "cio_tasks.process_due", "celery.backend_cleanup"}


def test_a_message_of_ours_is_read_as_it_was_written() -> None:
    ours = message()
    read = read_envelope(ours, TASKS)
    assert read is not None
    assert (read["body"], read["headers"]["task"]) == (ours["body"], "cio_tasks.sync_signup")
    assert read["properties"]["delivery_tag"] == ours["properties"]["delivery_tag"]


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_message_of_ours_is_none(name: str) -> None:
    assert read_envelope(MALFORMED[name], TASKS) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("headers.eta", (datetime.now(UTC) + timedelta(hours=1)).isoformat(), id="eta"),
        ("headers.expires", "2020-01-01T00:00:00+00:00"),
        ("headers.retries", 4),
        ("properties.delivery_info.redelivered", True),
        ("headers.redelivered", True),
    ],
)
def test_a_retry_and_a_redelivery_are_messages_of_ours(path: str, value: Any) -> None:
    assert read_envelope(changed(message(), path, value), TASKS) is not None


def test_what_is_not_known_of_a_message_never_reaches_celery() -> None:
    read = read_envelope(changed(message(), "headers.chain", [{"task": "celery.backend_cleanup"}]), TASKS)
    assert read is not None
    assert "chain" not in read["headers"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_document_is_an_error(document: Any) -> None:
    assert read_envelope(document, TASKS) is None


@given(
    st.sampled_from(["headers", "properties", "body", "content-type"]),
    st.none() | st.integers() | st.text() | st.lists(st.integers()),
)
def test_no_part_of_another_kind_is_an_error(name: str, value: Any) -> None:
    assert read_envelope(message() | {name: value}, TASKS) is None


@pytest.mark.parametrize("argument", ["x", 5, None, [str(NOBODY)], "../../etc", f"{NOBODY};"])
def test_an_argument_is_an_id(argument: Any) -> None:
    body = base64.b64encode(json.dumps([[argument], {}, NOTHING_AFTER]).encode()).decode()
    assert read_envelope(message() | {"body": body}, TASKS) is None
