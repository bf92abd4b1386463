import json
import re
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.customerio.replies import BatchResult, read_reply
from cio_tasks.customerio.transport import Reply
from cio_tasks.outcomes import REDIRECTED, UNAUTHORIZED, Delivered, ErrorType, Outcome, Rejected, RetryLater

SIZE = 4
RETRIED = {408, 429, *range(500, 600)}
OK = (200, 207)

words = st.sampled_from(["errors", "meta", "error", "batch_index", "reason", "field", "message"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5), max_leaves=20
)
bodies = st.binary(max_size=200) | documents.map(lambda document: json.dumps(document).encode())
headers = st.dictionaries(st.sampled_from(["retry-after", "content-type"]), st.text(max_size=30))


def reply(status: int | None, body: Any = b"{}", **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply("request-1", timedelta(0), status, named, content)


def read(status: int | None, body: Any = b"{}", **headers: str) -> BatchResult:
    return read_reply(reply(status, body, **headers), size=SIZE)


def kinds(result: BatchResult) -> list[type[Outcome]]:
    return [type(result.of(index)) for index in range(SIZE)]


def refused(index: Any, **parts: Any) -> dict[str, Any]:
    return {"batch_index": index, "reason": "invalid", "field": "attributes.plan", "message": "too long", **parts}


# --- the status -------------------------------------------------------------------------------------------------------


@pytest.mark.row("A3", "A7")
def test_429_is_a_rate_limit_that_says_how_long_it_lasts() -> None:
    assert read(429, retry_after="7").outcome == RetryLater(
        ErrorType.RATE_LIMIT, "http_429", "Customer.io answered 429", 429, timedelta(seconds=7)
    )


@pytest.mark.row("A4", "A7")
@pytest.mark.parametrize("status", [500, 502, 503, 504, 522, 524])
def test_5xx_is_a_server_error_to_retry(status: int) -> None:
    assert read(status).outcome == RetryLater(
        ErrorType.SERVER_ERROR, f"http_{status}", f"Customer.io answered {status}", status
    )


@pytest.mark.row("A4", "A7")
def test_408_counts_as_a_network_failure() -> None:
    assert read(408).outcome == RetryLater(ErrorType.NETWORK, "http_408", "Customer.io answered 408", 408)


@pytest.mark.row("A5", "A7")
@pytest.mark.parametrize("status", [400, 403, 404, 410, 413, 422])
def test_other_4xx_is_permanent(status: int) -> None:
    assert read(status).outcome == Rejected(f"http_{status}", f"Customer.io answered {status}", status, ErrorType.OTHER)


@pytest.mark.row("A5")
@pytest.mark.parametrize("body", [b"Unauthorized request", {"meta": {"error": "Unauthorized request"}}, b""])
def test_401_is_permanent_for_the_job_whatever_its_body(body: Any) -> None:
    outcome = read(401, body).outcome

    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.error_type) == (UNAUTHORIZED, ErrorType.OTHER)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_asks_whether_the_region_is_right(status: int) -> None:
    outcome = read(status, b"").outcome

    assert isinstance(outcome, Rejected)
    assert outcome.code == REDIRECTED
    assert "region" in outcome.detail


@pytest.mark.row("A6", "A7")
@pytest.mark.parametrize("failure", ["timeout", "connection_refused", "connection_reset", "dns", "tls", "not_http"])
def test_no_answer_is_a_network_failure_to_retry(failure: str) -> None:
    result = read_reply(Reply("request-1", timedelta(0), failure=failure), size=SIZE)

    assert result.outcome == RetryLater(ErrorType.NETWORK, failure, f"no answer from Customer.io: {failure}")
    assert not result.splittable


@pytest.mark.row("A3", "A4", "A5")
def test_every_failure_status_is_either_retried_or_permanent() -> None:
    failures = range(300, 600)

    assert {status for status in failures if kinds(read(status)) == [RetryLater] * SIZE} == RETRIED
    assert {status for status in failures if kinds(read(status)) == [Rejected] * SIZE} == set(failures) - RETRIED


@pytest.mark.parametrize("status", [100, 101, 199, 201, 202, 204, 206, 208, 299, 600, 999])
def test_status_that_customerio_never_sends_is_not_its_answer(status: int) -> None:
    outcome = read(status).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.code) == (ErrorType.NETWORK, "not_customerio")


def test_batch_is_split_where_one_item_may_have_spoiled_it() -> None:
    split = {status for status in range(300, 600) if read(status).splittable}

    assert split == {*range(400, 600)} - {401, 408, 429}


# --- a success and its items ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", OK)
@pytest.mark.parametrize("body", [b"{}\n", b"{}", b'{"errors":[]}', b'{"errors":null}', b"\xef\xbb\xbf{ }"])
def test_answer_without_errors_delivers_every_item(status: int, body: bytes) -> None:
    result = read(status, body)

    assert [result.of(index) for index in range(SIZE)] == [Delivered(status)] * SIZE


@pytest.mark.row("A6")
@pytest.mark.parametrize("status", OK)
@pytest.mark.parametrize("body", [b"<html></html>", b"{", b"[]", b'"ok"', b"null", b"1", b"\xff\xfe\xfa", b"[" * 9_999])
def test_success_that_is_not_customerios_is_tried_again(status: int, body: bytes) -> None:
    outcome = read(status, body).outcome

    assert isinstance(outcome, RetryLater)
    assert (outcome.error_type, outcome.code) == (ErrorType.NETWORK, "not_customerio")


@pytest.mark.parametrize("status", OK)
def test_only_the_named_items_are_refused(status: int) -> None:
    result = read(status, {"errors": [refused(1), refused(3, field=None)]})

    assert kinds(result) == [Delivered, Rejected, Delivered, Rejected]
    assert result.of(1) == Rejected("item_invalid", "attributes.plan: too long", status)
    assert result.of(3) == Rejected("item_invalid", "item: too long", status)
    assert not result.splittable


def test_item_named_twice_is_refused_once_for_the_first_reason() -> None:
    result = read(207, {"errors": [refused(0, message="first"), refused(0, message="second"), refused(0)]})

    assert result.items == {0: Rejected("item_invalid", "attributes.plan: first", 207)}


@pytest.mark.parametrize("status", OK)
@pytest.mark.parametrize("index", [-1, SIZE, 10**30, True, False, 1.0, "1", None, [1], {"index": 1}])
def test_index_that_names_no_item_refuses_the_batch_and_lets_it_be_split(status: int, index: Any) -> None:
    result = read(status, {"errors": [refused(0), refused(index)]})

    assert kinds(result) == [Rejected] * SIZE
    assert result.splittable


@pytest.mark.parametrize("errors", ["boom", 1, True, {"message": "boom"}, ["boom"], [None], [[]], [{}]])
def test_errors_of_another_shape_refuse_the_batch_and_let_it_be_split(errors: Any) -> None:
    result = read(207, {"errors": errors})

    assert kinds(result) == [Rejected] * SIZE
    assert result.splittable


@pytest.mark.parametrize("reason", ["a b", "Ada@example.com", "x" * 300, "\x00", "\ud800", "é", ["a"], {"a": 1}])
def test_code_of_a_refused_item_is_a_short_plain_word(reason: Any) -> None:
    """It is stored, counted and logged as it stands, whatever the other side wrote."""
    outcome = read(207, {"errors": [refused(0, reason=reason)]}).of(0)

    assert isinstance(outcome, Rejected)
    assert re.fullmatch(r"item_[a-z0-9_.-]{1,55}", outcome.code)


# --- the text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"meta": {"errors": ["id must be present", "more"]}}, ": id must be present"),
        ({"meta": {"error": "Unauthorized request"}}, ": Unauthorized request"),
        ({"errors": [{"reason": "invalid", "field": "batch", "message": "too large"}]}, ": batch: too large"),
        ({"errors": [{"reason": "invalid"}]}, ": item: invalid"),
        ({"errors": [{}]}, ": item: refused"),
        ({"meta": {"errors": []}}, ""),
        ({"meta": "odd"}, ""),
        ({}, ""),
        (b"<html>Error</html>", ""),
        (b"", ""),
    ],
)
def test_every_known_shape_of_an_error_body_is_read(body: Any, detail: str) -> None:
    outcome = read(400, body).outcome

    assert isinstance(outcome, Rejected)
    assert outcome.detail == f"Customer.io answered 400{detail}"


# --- anything at all --------------------------------------------------------------------------------------------------


@given(st.integers(100, 999), bodies, headers, st.integers(0, 5))
def test_any_reply_has_a_meaning(status: int, body: bytes, headers: dict[str, str], size: int) -> None:
    result = read_reply(Reply("request-1", timedelta(0), status, headers, body), size=size)

    assert isinstance(result.outcome, get_args(Outcome))
    assert set(result.items) <= set(range(size))
    assert all(isinstance(item, Rejected) for item in result.items.values())


@given(bodies)
def test_nothing_but_200_and_207_is_ever_a_success(body: bytes) -> None:
    statuses = set(range(100, 1000)) - set(OK)

    assert not any(isinstance(read(status, body).outcome, Delivered) for status in statuses)


@pytest.mark.parametrize("depth", [10, 500, 900, 990, 1_000, 100_000])
@pytest.mark.parametrize("status", [207, 400, 503])
def test_depth_of_a_body_does_no_harm(status: int, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    result = read(status, b'{"errors":[{"batch_index":0,"message":' + nested + b"}]}")

    assert isinstance(result.of(0), (Rejected, RetryLater))
