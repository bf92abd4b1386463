import pytest
from flask import Flask

from api import create_app
from cio_tasks.settings import Settings
from tests.api.callers import SIGNUP, SIGNUPS, Caller


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
