from collections.abc import Callable

import pytest
from flask import Flask

from api import create_app
from api.auth import MAY, PUBLIC, Action, declared_action
from cio_tasks.settings import Role, Settings
from tests.api.callers import SIGNUP, SIGNUPS, SLIP, Caller
from tests.api.conftest import Counts
from tests.factories import Factory

OPEN_TO_EVERYBODY = {"/healthz", "/readyz", "/openapi.json"}
MATRIX = {
    ("POST", SIGNUPS): {"app", "admin"},
    ("POST", f"{SIGNUPS}/<signup_id>/extraction/confirm"): {"app", "admin"},
    ("GET", f"{SIGNUPS}/<signup_id>"): {"viewer", "operator", "admin"},
}
"""Which roles may what: every route that is not open, and a new one fails here until it is listed."""

CELLS = [(method, path, role) for method, path in MATRIX for role in Role]


def routes(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if declared_action(app.view_functions[rule.endpoint]) != PUBLIC
    }


def test_every_route_says_who_may_use_it(app: Flask) -> None:
    declared = {rule.rule: declared_action(app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()}
    assert [path for path, action in declared.items() if action is None] == []
    assert {path for path, action in declared.items() if action == PUBLIC} == OPEN_TO_EVERYBODY
    assert set(declared.values()) - {PUBLIC} <= set(Action)


def test_every_protected_route_is_in_the_matrix(app: Flask) -> None:
    assert routes(app) == set(MATRIX)


@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_each_role_may_what_the_matrix_says(
    cell: tuple[str, str, Role], app: Flask, make: Factory, count_rows: Callable[[], Counts]
) -> None:
    (method, path, role), signup = cell, make.signup()
    before = count_rows()
    body = SLIP if "confirm" in path else SIGNUP
    reply = Caller(app, f"{role}-token").send(method, path.replace("<signup_id>", str(signup.id)), body)
    if role in MATRIX[method, path]:
        assert reply.status_code in {200, 201}
    else:
        assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
        assert count_rows() == before


@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_nobody_gets_in_without_a_token(
    method: str, path: str, anybody: Caller, count_rows: Callable[[], Counts]
) -> None:
    before = count_rows()
    reply = anybody.send(method, path.replace("<signup_id>", "x"), SIGNUP)
    assert (reply.status_code, reply.json["code"]) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].lower() == "bearer"
    assert count_rows() == before


def test_a_route_that_says_nothing_is_open_to_nobody(app: Flask) -> None:
    app.add_url_rule("/forgotten", view_func=lambda: "secret")
    assert Caller(app).get("/forgotten").status_code == 401
    assert Caller(app, "admin-token").get("/forgotten").status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        "",
        "app-token",
        "Bearer",
        "Bearer ",
        "Bearer app-toke",
        "Bearer app-tokenn",
        "Bearer APP-TOKEN",
        "Bearer app-token,viewer-token",
        "Bearer shop:app:app-token",
        "Basic app-token",
        "Basic c2hvcDphcHAtdG9rZW4=",
        "Token app-token",
        "Bearer \xff\xfe",
        "Bearer app\u2010token",
        "Bearer " + "x" * 10_000,
        "Bearer null",
        "Bearer token=app-token",
    ],
)
def test_any_other_credential_is_refused(header: str, anybody: Caller) -> None:
    sent = header.encode().decode("latin-1")
    assert anybody.post(SIGNUPS, SIGNUP, Authorization=sent).status_code == 401


def test_a_token_in_the_address_is_none(anybody: Caller) -> None:
    assert anybody.post(f"{SIGNUPS}?access_token=app-token&token=app-token", SIGNUP).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_known_in_any_case(scheme: str, anybody: Caller) -> None:
    assert anybody.post(SIGNUPS, SIGNUP, Authorization=f"{scheme} app-token").status_code == 201


@pytest.mark.parametrize("token", ["a=b=c", "with:colon", "pässword-€", "x" * 500])
def test_a_token_may_hold_any_character(token: str, settings: Settings) -> None:
    given = settings.model_validate({"database_url": settings.database_url, "api_tokens": f"shop:viewer:{token}"})
    caller = Caller(create_app(given))
    header = f"Bearer {token}".encode().decode("latin-1")
    assert caller.post(SIGNUPS, SIGNUP, Authorization=header).status_code == 403


def test_without_tokens_nobody_gets_in(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"api_tokens": ()}))
    assert Caller(app, "app-token").post(SIGNUPS, SIGNUP).status_code == 401


def test_credentials_are_asked_for_before_the_body_is_looked_at(anybody: Caller, viewer: Caller) -> None:
    assert anybody.post(SIGNUPS, b"{", Content_Type="text/plain").status_code == 401
    assert viewer.post(SIGNUPS, b"x" * 1_000_000).status_code == 403


def test_every_role_has_its_permissions() -> None:
    assert set(MAY) == set(Role)
    assert MAY[Role.ADMIN] == set(Action)
    assert not MAY[Role.VIEWER] & {Action.SUBMIT, Action.OPERATE, Action.REVEAL}
