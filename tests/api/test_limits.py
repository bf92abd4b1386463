"""How often one may call: a token for itself, wrong tokens by address, and never at the price of an answer (S08, S09)."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

import pytest
import redis
import structlog
from flask import Flask
from pydantic import SecretStr

from api import create_app
from api.limits import APP_SHARE, WINDOW_SECONDS, WRONG_TOKENS_A_MINUTE
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.settings import Settings
from tests.api.callers import BASE, NOT_LISTENING, SIGNUPS, Caller, Reply

PATH = f"{SIGNUPS}/x"
A_SECOND = 2
ALLOWED = A_SECOND * WINDOW_SECONDS


@pytest.fixture
def slow(settings: Settings) -> Settings:
    """Settings under which a token may send little."""
    return settings.model_copy(update={"api_rate_limit": A_SECOND})


@pytest.fixture
def app(slow: Settings) -> Iterator[Flask]:
    app = create_app(slow)
    yield app
    app.extensions["database"].close()


def statuses(send: Callable[[], Reply], times: int) -> list[int]:
    return [send().status_code for _ in range(times)]


def with_redis(settings: Settings, address: str | None) -> Flask:
    return create_app(settings.model_copy(update={"redis_url": SecretStr(f"redis://{address}/0") if address else None}))


def test_a_token_that_sends_too_much_is_told_when_to_come_back(viewer: Caller) -> None:
    assert statuses(lambda: viewer.get(PATH), ALLOWED) == [404] * ALLOWED
    reply = viewer.get(PATH)
    assert (reply.status_code, reply.json["code"]) == (429, "rate_limited")
    assert 1 <= int(reply.headers["Retry-After"]) <= WINDOW_SECONDS


def test_a_thousand_requests_at_once_are_counted_as_well_as_one_by_one(app: Flask) -> None:
    viewer = Caller(app, "viewer-token")
    with ThreadPoolExecutor(16) as threads:
        codes = list(threads.map(lambda _: viewer.get(PATH).status_code, range(1_000)))
    assert ALLOWED <= codes.count(404) <= 2 * ALLOWED
    assert set(codes) == {404, 429}


def test_the_limit_of_one_token_is_no_other_ones_affair(viewer: Caller, operator: Caller, shop: Caller) -> None:
    statuses(lambda: viewer.get(PATH), ALLOWED + 1)
    assert operator.get(PATH).status_code == 404
    assert shop.submit().status_code == 201


def test_an_application_may_send_more(shop: Caller) -> None:
    codes = statuses(lambda: shop.get(PATH), ALLOWED * APP_SHARE + 1)
    assert (codes[ALLOWED * APP_SHARE - 1], codes[-1]) == (403, 429)


def test_requests_that_are_refused_are_counted_too(viewer: Caller) -> None:
    assert statuses(viewer.submit, ALLOWED + 1) == [403] * ALLOWED + [429]


def test_all_processes_count_together(slow: Settings) -> None:
    viewers = [Caller(create_app(slow), "viewer-token") for _ in range(2)]
    codes = statuses(lambda: viewers[0].get(PATH), ALLOWED) + statuses(lambda: viewers[1].get(PATH), 1)
    assert codes == [404] * ALLOWED + [429]


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json"])
def test_open_routes_are_not_limited(path: str, anybody: Caller) -> None:
    assert set(statuses(lambda: anybody.get(path), ALLOWED + 1)) == {200}


def test_the_webhook_is_not_limited(anybody: Caller) -> None:
    codes = statuses(lambda: anybody.post(f"{BASE}/webhooks/customerio", {}), ALLOWED + 1)
    assert 429 not in codes


# --- Wrong tokens -----------------------------------------------------------------------------------------------------


def from_address(app: Flask, address: str, token: str, **headers: str) -> int:
    sent = {"Authorization": f"Bearer {token}", **headers}
    with app.test_client().get(PATH, headers=sent, environ_overrides={"REMOTE_ADDR": address}) as answer:
        return answer.status_code


def test_an_address_may_be_wrong_so_often(app: Flask) -> None:
    codes = [from_address(app, "192.0.2.1", f"wrong-{number}") for number in range(WRONG_TOKENS_A_MINUTE + 1)]
    assert codes == [401] * WRONG_TOKENS_A_MINUTE + [429]


def test_who_is_wrong_too_often_is_told_when_to_come_back(app: Flask) -> None:
    wrong = Caller(app, "wrong")
    statuses(lambda: wrong.get(PATH), WRONG_TOKENS_A_MINUTE)
    reply = wrong.get(PATH)
    assert (reply.status_code, reply.json["code"]) == (429, "rate_limited")
    assert 1 <= int(reply.headers["Retry-After"]) <= 60


def test_a_right_token_is_heard_from_an_address_that_was_wrong(app: Flask) -> None:
    for _ in range(WRONG_TOKENS_A_MINUTE + 1):
        from_address(app, "192.0.2.1", "wrong")
    assert from_address(app, "192.0.2.1", "viewer-token") == 404
    assert from_address(app, "192.0.2.2", "wrong") == 401


def test_an_address_in_a_header_is_not_believed(app: Flask) -> None:
    codes = [
        from_address(
            app, "192.0.2.1", "wrong", **{"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=10.0.0.{n}"}
        )
        for n in range(WRONG_TOKENS_A_MINUTE + 1)
    ]
    assert codes[-1] == 429


def test_who_brings_no_token_is_only_turned_away(anybody: Caller) -> None:
    assert set(statuses(lambda: anybody.get(PATH), 2 * WRONG_TOKENS_A_MINUTE)) == {401}


# --- Redis away -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [NOT_LISTENING, None])
def test_a_process_counts_for_itself_without_redis(address: str | None, slow: Settings) -> None:
    app = with_redis(slow, address)
    viewer, operator = Caller(app, "viewer-token"), Caller(app, "operator-token")
    assert statuses(lambda: viewer.get(PATH), ALLOWED + 1) == [404] * ALLOWED + [429]
    assert operator.get(PATH).status_code == 404


def test_a_redis_that_is_silent_is_asked_once_and_then_left_alone(
    slow: Settings, silent_port: int, count_callers: Callable[[], int]
) -> None:
    viewer = Caller(with_redis(slow, f"127.0.0.1:{silent_port}"), "viewer-token")
    assert set(statuses(lambda: viewer.get(PATH), ALLOWED)) == {404}
    assert 1 <= count_callers() < ALLOWED / 2  # again after five seconds


def test_a_redis_that_cannot_be_reached_fails_nobody_and_is_told_once(slow: Settings) -> None:
    viewer = Caller(with_redis(slow, NOT_LISTENING), "viewer-token")
    with structlog.testing.capture_logs() as lines:
        statuses(lambda: viewer.get(PATH), ALLOWED)
    assert [line["event"] for line in lines if line["event"].startswith("limits")] == ["limits_are_counted_here"]


def test_a_redis_with_another_password_fails_nobody(slow: Settings, redis_url: str) -> None:
    viewer = Caller(with_redis(slow, f":wrong@{redis_url.removeprefix('redis://').removesuffix('/0')}"), "viewer-token")
    assert viewer.get(PATH).status_code == 404


def test_a_redis_that_is_full_fails_nobody(viewer: Caller, valkey_server: EmbeddedValkey) -> None:
    with closing(redis.Redis.from_url(valkey_server.url)) as client:
        client.config_set("maxmemory", "1")
        try:
            assert viewer.get(PATH).status_code == 404
        finally:
            client.config_set("maxmemory", "0")


def test_what_is_kept_in_redis_is_small_and_goes_by_itself(viewer: Caller, redis_url: str) -> None:
    statuses(lambda: viewer.get(PATH), ALLOWED)
    Caller(viewer.app, "wrong").get(PATH)
    with closing(redis.Redis.from_url(redis_url)) as client:
        keys = list(client.scan_iter("ciosync:limits*"))
        assert 2 <= len(keys) <= 4
        assert all(0 < cast("int", client.ttl(key)) <= 120 for key in keys)
        assert "viewer-token" not in str(keys)
