"""The settings and the webhook's secret, as doctor judges them."""

from typing import Any

import pytest

from cio_tasks.checks import Check, Group, Status
from cio_tasks.settings import Settings
from tests.checking import look

TRACK = {"CUSTOMERIO_SITE_ID": "SECRETCANARY-site", "CUSTOMERIO_API_KEY": "SECRETCANARY-key"}
TOKEN = {"CIO_API_TOKENS": f"app:app:SECRETCANARY{'x' * 32}"}
STORES = {"DATABASE_URL": "postgresql://u:SECRETCANARY@host/db", "REDIS_URL": "redis://:SECRETCANARY@host/0"}
WHOLE = {**TRACK, **TOKEN, **STORES, "CIO_SECRET_KEY": "SECRETCANARY" * 3}


def config(**values: str) -> dict[str, Check]:
    return look(Settings.from_env(values), Group.CONFIG)


def webhook(**values: str) -> dict[str, Check]:
    return look(Settings.from_env(values), Group.WEBHOOK)


def test_settings_are_counted_by_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TRACK.items():
        monkeypatch.setenv(name, value)
    count = len(Settings.model_fields)
    told = f"{count} settings valid: 2 from the environment, 1 from .env, {count - 3} by default"
    assert config(**TRACK, **TOKEN)["config.settings"].message == told


@pytest.mark.row("A1")
@pytest.mark.parametrize("missing", ["CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY"])
def test_mock_mode_is_a_warning_that_names_what_is_missing(missing: str) -> None:
    check = config(**{name: value for name, value in TRACK.items() if name != missing})["config.mode"]
    assert (check.status, check.fix) == (Status.WARN, f"set {missing}")
    assert check.message == f"mock mode: {missing} is not set, and nothing is sent"


@pytest.mark.row("A1")
def test_mock_mode_for_lack_of_both_names_both() -> None:
    assert config()["config.mode"].fix == "set CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY"
    assert config(**TRACK)["config.mode"].status is Status.OK


@pytest.mark.parametrize(
    ("tokens", "status", "word"),
    [
        (None, "warn", "every protected route answers 401"),
        ("app:app:SECRETCANARY", "warn", "1 of 1 API token have fewer than 32 characters"),
        (TOKEN["CIO_API_TOKENS"], "ok", "1 API token, of the roles app"),
    ],
)
def test_tokens_are_judged_by_what_they_are_good_for(tokens: str | None, status: str, word: str) -> None:
    check = config(**({} if tokens is None else {"CIO_API_TOKENS": tokens}))["config.tokens"]
    assert (check.status, word in check.message) == (status, True)


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("CIO_TIME_SCALE", "0.5", "config.time_scale"),
        ("CIO_FAILPOINTS", "reaper.before_commit=exit", "config.failpoints"),
        ("FLASK_DEBUG", "1", "config.debug"),
    ],
)
def test_what_is_for_tests_is_a_warning(name: str, value: str, id_: str) -> None:
    assert id_ not in config()
    assert config(**{name: value})[id_].status is Status.WARN


def test_what_production_would_refuse_is_told_at_once() -> None:
    check = config(**TRACK, **STORES, CIO_TIME_SCALE="0.5")["config.production"]
    assert check.status is Status.SKIP
    assert "CIO_SECRET_KEY must have at least 32 characters; CIO_TIME_SCALE is for tests" in check.message


@pytest.mark.row("I2")
def test_what_is_fit_for_production_is_told() -> None:
    assert config(**WHOLE)["config.production"].fix == "set CIO_ENV=production"
    assert config(**WHOLE, CIO_ENV="production")["config.production"].status is Status.OK


@pytest.mark.row("P4.1")
@pytest.mark.parametrize(
    ("secret", "status", "word"),
    [
        (None, "warn", "webhooks are answered with 503"),
        ("SECRETCANARY1", "ok", "the signing key is set"),
        ("SECRETCANARY1,SECRETCANARY2", "ok", "take the old one out afterwards"),
    ],
)
def test_the_webhooks_secret_is_judged(secret: str | None, status: str, word: str) -> None:
    given: dict[str, Any] = {} if secret is None else {"CUSTOMERIO_WEBHOOK_SECRET": secret}
    check = webhook(**given)["webhook.secret"]
    assert (check.status, word in check.message) == (status, True)


@pytest.mark.parametrize(("what", "word"), [("refuse", "refused"), ("keep", "kept and marked")])
def test_what_becomes_of_late_webhooks_is_told(what: str, word: str) -> None:
    assert word in webhook(CIO_WEBHOOK_STALE=what)["webhook.stale"].message
