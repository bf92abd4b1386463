"""The settings by themselves: nothing is asked of anybody. That they are valid is known, or there would be none."""

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from cio_tasks.checks.report import Check, passed, skipped, warned
from cio_tasks.checks.spans import many
from cio_tasks.settings import SHORTEST_SECRET, Settings, set_values

NEWEST_ALONE: Final = 2
"""A webhook's secret and, while it replaces another, that one too."""


def judge(settings: Settings) -> Iterator[Check]:
    """Yield what the settings say, what of it is dangerous, and what production would refuse."""
    yield _judge_sources(settings)
    yield _judge_mode(settings)
    yield _judge_tokens(settings)
    yield from _judge_test_settings(settings)
    yield _judge_production(settings)


def _judge_sources(settings: Settings) -> Check:
    names = {field: str(about.validation_alias) for field, about in Settings.model_fields.items()}
    given = {names[field] for field in settings.model_fields_set}
    from_environment = len(given & set_values().keys())
    parts = [
        (from_environment, "from the environment"),
        (len(given) - from_environment, "from .env"),
        (len(names) - len(given), "by default"),
    ]
    sources = ", ".join(f"{count} {source}" for count, source in parts if count)
    return passed("config.settings", f"{many(len(names), 'setting')} valid: {sources}")


def _judge_mode(settings: Settings) -> Check:
    """Warn of mock mode (row A1): all looks well in it, and nothing arrives."""
    if not settings.mock:
        return passed("config.mode", f"live: deliveries are sent to Customer.io, region {settings.customerio_region}")
    values = {"CUSTOMERIO_SITE_ID": settings.customerio_site_id, "CUSTOMERIO_API_KEY": settings.customerio_api_key}
    missing = " and ".join(name for name, value in values.items() if value is None)
    verb = "are" if " and " in missing else "is"
    return warned("config.mode", f"mock mode: {missing} {verb} not set, and nothing is sent", f"set {missing}")


def _judge_tokens(settings: Settings) -> Check:
    tokens = settings.api_tokens
    if not tokens:
        message = "CIO_API_TOKENS is not set: every protected route answers 401"
        return warned("config.tokens", message, "set CIO_API_TOKENS=name:role:token")
    short = sum(len(token.token.get_secret_value()) < SHORTEST_SECRET for token in tokens)
    if short:
        message = f"{short} of {many(len(tokens), 'API token')} have fewer than {SHORTEST_SECRET} characters"
        return warned("config.tokens", message, 'python -c "import secrets; print(secrets.token_urlsafe(32))"')
    roles = ", ".join(sorted({token.role.value for token in tokens}))
    return passed("config.tokens", f"{many(len(tokens), 'API token')}, of the roles {roles}")


def _judge_test_settings(settings: Settings) -> Iterator[Check]:
    if settings.time_scale != 1:
        speed = f"retries and sweeps are {1 / settings.time_scale:g} times as fast"
        message = f"CIO_TIME_SCALE is {settings.time_scale:g}: {speed}"
        yield warned("config.time_scale", message, "leave CIO_TIME_SCALE out, except in tests and the demo")
    if settings.failpoints is not None:
        yield warned(
            "config.failpoints", "CIO_FAILPOINTS is set: processes fail on purpose", "leave CIO_FAILPOINTS out"
        )
    if settings.debug:
        yield warned("config.debug", "FLASK_DEBUG is on", "leave FLASK_DEBUG out")


def _judge_production(settings: Settings) -> Check:
    """Return what `CIO_ENV=production` would refuse, by asking the settings themselves."""
    if settings.env == "production":
        return passed("config.production", "fit for production: CIO_ENV=production checks it at every start")
    values = {field: getattr(settings, field) for field in settings.model_fields_set}
    try:
        Settings(**{**values, "env": "production"})
    except ValidationError as error:
        return skipped("config.production", f"this is development; production would refuse: {_faults(error)}")
    return skipped("config.production", "this is development, and would do for production", "set CIO_ENV=production")


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in faults)


def judge_webhook(settings: Settings) -> Iterator[Check]:
    """Yield whether webhooks can be received, and what becomes of late ones."""
    secrets = settings.webhook_secrets
    if not secrets:
        message = "CUSTOMERIO_WEBHOOK_SECRET is not set: webhooks are answered with 503"
        yield warned("webhook.secret", message, "set it to the signing key of the reporting webhook in Customer.io")
    elif len(secrets) > NEWEST_ALONE:
        message = f"CUSTOMERIO_WEBHOOK_SECRET holds {len(secrets)} keys: each of them may sign"
        yield warned("webhook.secret", message, "keep the current one, and the one before only while it is replaced")
    elif len(secrets) == NEWEST_ALONE:
        yield passed("webhook.secret", "two keys, as while one replaces the other: take the old one out afterwards")
    else:
        yield passed("webhook.secret", "the signing key is set")
    late = "refused" if settings.webhook_stale == "refuse" else "kept and marked (CIO_WEBHOOK_STALE)"
    yield passed("webhook.stale", f"webhooks signed more than 5 minutes from now are {late}")
