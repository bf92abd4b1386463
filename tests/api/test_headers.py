"""What every answer carries, and what no header or path can do (S22, S23, S26, S27, S30, S31)."""

from collections.abc import Callable

import pytest
from flask import Flask

from api import create_app
from api.auth import public
from cio_tasks.settings import Settings
from tests.api.callers import SIGNUP, SIGNUPS, Caller, Reply
from tests.api.test_roles import ROUTES, Route

EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NO_ANSWER = {"Server", "X-Powered-By", "Set-Cookie", "Location", "Refresh"}
EVIL = "evil.example"
LONG_SECRET = "k" * 32
PRODUCTION = {"CIO_ENV": "production", "CIO_SECRET_KEY": LONG_SECRET, "CIO_API_TOKENS": f"app:app:{LONG_SECRET}"}

each_route = pytest.mark.parametrize("route", ROUTES, ids=" ".join)


@pytest.fixture
def broken(app: Flask) -> Flask:
    """The API with a route that raises."""

    @public
    def break_down() -> str:
        raise RuntimeError(EVIL)

    app.add_url_rule("/broken", view_func=break_down)
    return app


def provoke_429(app: Flask) -> Reply:
    viewer = Caller(app, "viewer-token")
    return next(reply for _ in range(10_000) if (reply := viewer.get(f"{SIGNUPS}/x")).status_code == 429)


PROVOKE: dict[int, Callable[[Flask], Reply]] = {
    200: lambda app: Caller(app).get("/healthz"),
    201: lambda app: Caller(app, "app-token").post(SIGNUPS, SIGNUP),
    400: lambda app: Caller(app, "app-token").post(SIGNUPS, b"{"),
    401: lambda app: Caller(app).post(SIGNUPS, SIGNUP),
    403: lambda app: Caller(app, "viewer-token").post(SIGNUPS, SIGNUP),
    404: lambda app: Caller(app).get("/nowhere"),
    405: lambda app: Caller(app).get(SIGNUPS),
    413: lambda app: Caller(app, "app-token").post(SIGNUPS, b"x" * 100_000),
    415: lambda app: Caller(app, "app-token").post(SIGNUPS, b"x", Content_Type="text/plain"),
    422: lambda app: Caller(app, "app-token").post(SIGNUPS, {}),
    429: provoke_429,
    500: lambda app: Caller(app).get("/broken"),
}


@pytest.mark.parametrize("status", PROVOKE)
def test_every_answer_has_the_headers_that_keep_browsers_out(status: int, broken: Flask) -> None:
    reply = PROVOKE[status](broken)
    assert reply.status_code == status
    assert {name: reply.headers.get(name) for name in EVERY_ANSWER} == EVERY_ANSWER
    assert len(reply.headers["X-Request-Id"]) == 32
    assert not NO_ANSWER & set(reply.headers.keys())


@pytest.mark.parametrize("status", [status for status in PROVOKE if status >= 400])
def test_an_error_is_a_fixed_text(status: int, broken: Flask) -> None:
    reply = PROVOKE[status](broken)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert set(reply.json) - {"errors"} == {"type", "title", "status", "detail", "code", "requestId"}
    assert not [
        word for word in (EVIL, "Traceback", ".py", "SELECT", "werkzeug", "localhost") if word in str(reply.json)
    ]


@pytest.mark.parametrize("base_url", ["http://localhost", "https://localhost"])
def test_browsers_are_held_to_tls_where_there_is_tls(base_url: str, app: Flask) -> None:
    with app.test_client().get("/healthz", base_url=base_url) as sent:
        assert sent.headers.get("Strict-Transport-Security") == (
            "max-age=31536000" if base_url.startswith("https") else None
        )


def test_browsers_are_held_to_tls_in_production(settings: Settings) -> None:
    given = {"DATABASE_URL": settings.required_database_url(), "REDIS_URL": settings.required_redis_url()}
    credentials = {"CUSTOMERIO_SITE_ID": "site", "CUSTOMERIO_API_KEY": "key"}
    app = create_app(Settings.from_env({**given, **credentials, **PRODUCTION}))
    assert Caller(app).get("/nowhere").headers["Strict-Transport-Security"] == "max-age=31536000"


# --- Origins and hosts ------------------------------------------------------------------------------------------------


@each_route
@pytest.mark.parametrize("origin", [f"https://{EVIL}", "null", "http://localhost"])
def test_no_page_of_any_origin_may_read_an_answer(origin: str, route: Route, app: Flask) -> None:
    (method, rule), admin = route, Caller(app, "admin-token")
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    replies = [admin.send(method, rule, {}, Origin=origin), admin.send("OPTIONS", rule, Origin=origin, **asked)]
    assert replies[1].status_code == 405
    named = [name for reply in replies for name in reply.headers.keys()]  # noqa: SIM118 - it is no dictionary
    assert not [name for name in named if name.lower().startswith("access-control")]


@each_route
def test_what_a_sender_says_of_hosts_and_addresses_is_in_no_answer(route: Route, app: Flask) -> None:
    said = {
        "Host": EVIL,
        "Forwarded": f"for={EVIL};host={EVIL};proto=https",
        "X-Forwarded-Host": EVIL,
        "X-Forwarded-For": EVIL,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": f"/{EVIL}",
        "X-Original-URL": f"/{EVIL}",
        "X-Rewrite-URL": f"/{EVIL}",
        "Referer": f"https://{EVIL}/",
    }
    reply = Caller(app, "admin-token").send(*route, {}, **said)
    assert EVIL not in reply.data.decode() + str(reply.headers)
    assert "Strict-Transport-Security" not in reply.headers


# --- Paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/../../etc/passwd",
        "/api/v1/..%2f..%2fetc/passwd",
        "/api/v1/%2e%2e/healthz",
        "/api/v1/signups%00",
        "/api/v1/signups/%00",
        "//api/v1/signups",
        "/api//v1/signups",
        "/api/v1/signups;role=admin",
        "/api/v1/signups/;/x",
        "/api/v1%252fsignups",
        "/API/V1/SIGNUPS",
        "/api/v1/signups/",
        "/healthz/../metrics",
        "/healthz/..;/metrics",
        "/metrics/",
        "/metrics;.css",
        "/metrics%2f",
        "/metrics%0d%0aX-Evil:1",
        "/%ff%fe",
        "/" + "a" * 64_000,
        "/console",
        "/?__debugger__=yes&cmd=resource&f=debugger.js",
        "/socket.io",
        "/socket.ioX/",
        "/static/../api/app.py",
        "/.env",
        "/.git/config",
    ],
)
def test_a_path_that_is_none_of_ours_is_not_found(path: str, app: Flask) -> None:
    reply = Caller(app, "admin-token").get(path)
    assert (reply.status_code, reply.json["code"]) == (404, "not_found")
