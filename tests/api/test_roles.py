"""Who may what, over the whole address map: one table, and every cell of it asked for (S01, S02, S06, S14)."""

from collections.abc import Callable

import pytest
from flask import Flask

from api.auth import MAY, PUBLIC, Action, declared_action
from cio_tasks.settings import Role
from tests.api.callers import BASE, SIGNUPS, Caller
from tests.api.conftest import Counts
from tests.factories import Factory

SYNC = f"{SIGNUPS}/customerio"
Route = tuple[str, str]

ROUTES: dict[Route, str] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
    ("GET", "/metrics"): Action.READ,
    ("POST", SIGNUPS): Action.SUBMIT,
    ("POST", f"{SIGNUPS}/<signup_id>/extraction/confirm"): Action.SUBMIT,
    ("GET", f"{SIGNUPS}/<signup_id>"): Action.READ,
    ("GET", f"{SYNC}/sync-failures"): Action.READ,
    ("GET", f"{SYNC}/stats"): Action.READ,
    ("GET", f"{SYNC}/jobs"): Action.READ,
    ("GET", f"{SYNC}/jobs/<job_id>"): Action.READ,
    ("GET", f"{SYNC}/gate"): Action.READ,
    ("POST", f"{SYNC}/<signup_id>/retry"): Action.OPERATE,
    ("POST", f"{SYNC}/retry"): Action.OPERATE,
    ("POST", f"{SYNC}/process"): Action.OPERATE,
    ("POST", f"{SYNC}/cleanup"): Action.OPERATE,
    ("POST", f"{SYNC}/gate/close"): Action.OPERATE,
    ("POST", f"{SYNC}/gate/open"): Action.OPERATE,
    ("GET", f"{BASE}/diagnostics/doctor"): Action.OPERATE,
    ("GET", f"{BASE}/diagnostics/network"): Action.OPERATE,
    ("GET", f"{BASE}/diagnostics/auth"): Action.OPERATE,
    ("POST", f"{BASE}/diagnostics/investigate"): Action.OPERATE,
    ("POST", f"{BASE}/diagnostics/campaign"): Action.OPERATE,
    ("POST", f"{BASE}/diagnostics/identify"): Action.OPERATE,
    ("POST", f"{BASE}/diagnostics/track"): Action.OPERATE,
    ("GET", f"{BASE}/diagnostics/incident/severity"): Action.OPERATE,
    ("POST", f"{BASE}/diagnostics/incident/runbook"): Action.OPERATE,
    ("GET", f"{BASE}/diagnostics/incident/report"): Action.OPERATE,
    ("POST", f"{BASE}/webhooks/customerio"): PUBLIC,
}
"""What each route does. A new route fails here until it has a line: method, rule as in the address map, and its action.

A public route needs a reason: it tells nothing, or has a check of its own, as the webhook's signature. A new parameter in a
rule needs a value in the fixture `fill`. Beside the routes, `/socket.io/` stands before them all (`api/live`): who may
connect there is in `test_live.py`.
"""

ALLOWED: dict[str, set[Role]] = {
    Action.SUBMIT: {Role.APP, Role.ADMIN},
    Action.READ: {Role.VIEWER, Role.OPERATOR, Role.ADMIN},
    Action.REVEAL: {Role.OPERATOR, Role.ADMIN},
    Action.OPERATE: {Role.OPERATOR, Role.ADMIN},
}

PROTECTED = [route for route, action in ROUTES.items() if action != PUBLIC]
CHANGING = [route for route in ROUTES if route[0] != "GET"]
ANY_METHOD = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "GETT"}
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")

each_route = pytest.mark.parametrize("route", ROUTES, ids=" ".join)
each_protected_route = pytest.mark.parametrize("route", PROTECTED, ids=" ".join)
each_changing_route = pytest.mark.parametrize("route", CHANGING, ids=" ".join)

Fill = Callable[[str], str]


@pytest.fixture
def fill(make: Factory) -> Fill:
    """Put the ids of what exists into a rule."""
    signup = make.signup()
    ids = {"signup_id": signup.id, "job_id": make.job(signup).id}

    def fill(rule: str) -> str:
        for name, value in ids.items():
            rule = rule.replace(f"<{name}>", str(value))
        assert "<" not in rule, f"{rule} has a parameter that this fixture has no value for"
        return rule

    return fill


def declared(app: Flask) -> dict[Route, str | None]:
    return {
        (method, rule.rule): declared_action(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }


def methods_of(rule: str) -> set[str]:
    own = {method for method, its_rule in ROUTES if its_rule == rule}
    return own | ({"HEAD"} if "GET" in own else set())


def test_every_route_is_in_the_table_with_what_it_declares(app: Flask) -> None:
    assert declared(app) == ROUTES


def test_each_role_has_the_actions_of_the_table() -> None:
    assert {role: {action for action, roles in ALLOWED.items() if role in roles} for role in Role} == MAY


@pytest.mark.parametrize("role", Role)
@each_protected_route
def test_each_role_may_what_the_table_says(
    route: Route, role: Role, app: Flask, fill: Fill, count_rows: Callable[[], Counts]
) -> None:
    before = count_rows()
    reply = Caller(app, f"{role}-token").send(route[0], fill(route[1]), {})
    if role in ALLOWED[ROUTES[route]]:
        assert reply.status_code < 500
        assert reply.status_code not in {401, 403, 405}
    else:
        assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
        assert count_rows() == before


@each_protected_route
def test_nobody_gets_in_without_a_token(
    route: Route, anybody: Caller, fill: Fill, count_rows: Callable[[], Counts]
) -> None:
    before = count_rows()
    reply = anybody.send(route[0], fill(route[1]), {})
    assert (reply.status_code, reply.json["code"]) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].lower() == "bearer"
    assert count_rows() == before


# --- Methods ----------------------------------------------------------------------------------------------------------


@each_changing_route
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_a_route_that_changes_something_changes_nothing(
    method: str, route: Route, admin: Caller, fill: Fill, count_rows: Callable[[], Counts]
) -> None:
    path, before = fill(route[1]), count_rows()
    reply = admin.send(method, path, {}, Purpose="prefetch", Sec_Purpose="prefetch;prerender")
    assert reply.status_code == 405
    assert count_rows() == before


@each_route
def test_a_method_that_a_route_does_not_have_is_refused(
    route: Route, admin: Caller, fill: Fill, count_rows: Callable[[], Counts]
) -> None:
    path, others, before = fill(route[1]), ANY_METHOD - methods_of(route[1]), count_rows()
    assert {method: admin.send(method, path, {}).status_code for method in others} == dict.fromkeys(others, 405)
    assert count_rows() == before


@each_route
def test_another_method_in_a_header_or_a_parameter_has_no_effect(route: Route, admin: Caller, fill: Fill) -> None:
    (method, rule), path = route, fill(route[1])
    assert "DELETE" not in methods_of(rule)
    assert {admin.send("DELETE", path, {}, **{name: method}).status_code for name in OVERRIDES} == {405}
    assert admin.send("DELETE", f"{path}?_method={method}", {"_method": method}).status_code == 405
