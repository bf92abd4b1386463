import io
from collections.abc import Iterator

import pytest
import structlog
from flask import Flask
from structlog.typing import EventDict

from api.auth import public
from tests.api.callers import SIGNUP, SIGNUPS, Caller

SECRET = "SECRETCANARY-value"


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.fixture
def broken(app: Flask) -> Caller:
    """An API with a route that raises."""

    @public
    def break_down() -> str:
        raise RuntimeError(SECRET)

    app.add_url_rule("/broken", view_func=break_down)
    return Caller(app)


def test_a_fault_of_ours_is_answered_without_its_details(broken: Caller) -> None:
    reply = broken.get("/broken")
    assert reply.status_code == 500
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong here. The log has it under the request id.",
        "code": "internal_error",
        "requestId": reply.headers["X-Request-Id"],
    }


def test_a_fault_of_ours_is_logged_by_its_class_and_place(broken: Caller, logged: list[EventDict]) -> None:
    reply = broken.get("/broken")
    (line,) = [line for line in logged if line["event"] == "request_failed"]
    assert line["request_id"] == reply.headers["X-Request-Id"]
    assert line["exception"] == "builtins.RuntimeError"
    assert line["raised_at"][-1].endswith("break_down")
    assert SECRET not in str(logged)


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v1/signups/", "//api/v1/signups", "/console", "/?__debugger__=yes"]
)
def test_an_unknown_address_is_not_found(path: str, anybody: Caller) -> None:
    reply = anybody.get(path)
    assert (reply.status_code, reply.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_that_a_route_does_not_have_is_named_with_those_it_has(method: str, shop: Caller) -> None:
    reply = shop.send(method, SIGNUPS)
    assert (reply.status_code, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/broken", SIGNUPS])
def test_every_answer_has_the_headers_that_keep_browsers_out(path: str, broken: Caller) -> None:
    headers = broken.get(path, Origin="https://evil.example").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert not {"Access-Control-Allow-Origin", "Server", "X-Powered-By", "Set-Cookie"} & set(headers.keys())


@pytest.mark.parametrize("sent", ["a", "A-b_c.9", "x" * 64])
def test_a_sane_request_id_is_kept(sent: str, anybody: Caller) -> None:
    reply = anybody.get("/nowhere", X_Request_Id=sent)
    assert reply.headers["X-Request-Id"] == reply.json["requestId"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "<script>", "a/b", "é", "${jndi:ldap://x}"])
def test_any_other_request_id_is_replaced(sent: str, anybody: Caller) -> None:
    reply = anybody.get("/nowhere", X_Request_Id=sent.encode().decode("latin-1"))
    assert len(reply.headers["X-Request-Id"]) == 32
    assert reply.headers["X-Request-Id"] != sent


def test_each_request_has_an_id_of_its_own(anybody: Caller) -> None:
    assert anybody.get("/healthz").headers["X-Request-Id"] != anybody.get("/healthz").headers["X-Request-Id"]


def test_a_request_is_logged_without_what_was_sent(shop: Caller, logged: list[EventDict]) -> None:
    shop.post(f"{SIGNUPS}?q={SECRET}", SIGNUP)
    shop.get(f"/{SECRET}\n2026-01-01 ERROR")
    first, second = (line for line in logged if line["event"] == "request")
    assert (first["method"], first["route"], first["status"], first["caller"]) == ("POST", SIGNUPS, 201, "app")
    assert (second["route"], second["status"]) == ("unmatched", 404)
    assert not [word for word in (SECRET, "ada@example.com", "app-token", "ERROR") if word in str(logged)]


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was read of it."""

    def __init__(self) -> None:
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.count += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("length", "most"),
    [
        ({"CONTENT_LENGTH": "1000000"}, 0),
        ({"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}, 200_000),
    ],
)
def test_a_large_body_is_refused_without_being_read(length: dict[str, object], most: int, app: Flask) -> None:
    body = Endless()
    headers = {"Authorization": "Bearer app-token", "Content-Type": "application/json"}
    reply = app.test_client().post(
        SIGNUPS, headers=headers, environ_overrides={"wsgi.input": io.BufferedReader(body), **length}
    )
    assert reply.status_code == 413
    assert body.count <= most
