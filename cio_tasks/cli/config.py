"""`ciosync config show`: the settings in force, with secrets masked, and where each came from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from cio_tasks.cli.output import Output, answers, examples, pass_output
from cio_tasks.cli.tree import Tree
from cio_tasks.redaction import mask_secret
from cio_tasks.settings import ApiToken, Settings, read_dotenv, set_values

DOTENV: Final = Path(".env")
HIDDEN: Final = "••••"


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as it may be shown."""

    name: str
    value: str | float | None
    origin: str


def load_settings() -> Settings:
    """Return the settings: the environment's, then those of `.env` in the working directory, then the defaults.

    Outside development `.env` is not read.

    Raises:
        ConfigurationError: naming every setting at fault.
    """
    return _load()[0]


def _load() -> tuple[Settings, dict[str, str]]:
    """Return the settings and, for each that is set, where."""
    environment = set_values()
    dotenv = read_dotenv(DOTENV) if environment.get("CIO_ENV", "development") == "development" else {}
    origins = {**dict.fromkeys(dotenv, str(DOTENV)), **dict.fromkeys(environment, "environment")}
    return Settings.from_env({**dotenv, **environment}), origins


@click.group(cls=Tree, epilog=examples("ciosync config show", "ciosync config show --origin --json"))
def config() -> None:
    """Show the settings."""


@config.command(
    epilog=examples("ciosync config show", "ciosync config show --origin", "ciosync config show --json | jq .settings")
)
@click.option("--origin", is_flag=True, help="Show where each value came from.")
@answers
@pass_output
def show(output: Output, *, origin: bool) -> None:
    """Show every setting by its name in the environment, secrets masked."""
    settings, origins = _load()
    shown = [*_shown(settings, origins)]
    table = [(one.name, one.value, one.origin)[: 3 if origin else 2] for one in shown]
    listed = [{"name": one.name, "value": one.value, "origin": one.origin} for one in shown]
    output.result({"settings": listed, "mock": settings.mock}, table=table)
    if settings.mock:
        output.note("mock mode: without CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY nothing is sent")


def _shown(settings: Settings, origins: dict[str, str]) -> Iterable[Shown]:
    for field, about in Settings.model_fields.items():
        name = str(about.validation_alias)
        value = getattr(settings, BY_REGION.get(field, field))
        yield Shown(name, MASKS.get(field, _plain)(value), origins.get(name, "default"))


def _plain(value: Any) -> str | float | None:
    match value:
        case SecretStr():
            return _mask_secrets(value)
        case timedelta():
            return _plain(value.total_seconds())
        case float():
            return int(value) if value.is_integer() else value
        case int() | None:
            return value
        case _:
            return str(value)


def _mask_secrets(value: SecretStr | None) -> str | None:
    """Mask a secret, or each of several with commas between them."""
    if value is None:
        return None
    return ", ".join(mask_secret(secret.strip()) for secret in value.get_secret_value().split(","))


def _mask_tokens(tokens: tuple[ApiToken, ...]) -> str | None:
    shown = [f"{token.name}:{token.role}:{mask_secret(token.token.get_secret_value())}" for token in tokens]
    return ", ".join(shown) or None


def _mask_store(url: SecretStr | None) -> str | None:
    """Show where a store is and as whom it is entered: no password, and nothing after a question mark."""
    if url is None:
        return None
    parts = urlsplit(url.get_secret_value())
    entry, at, host = parts.netloc.rpartition("@")
    user, colon, _ = entry.partition(":")
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{user}{colon and ':' + HIDDEN}{at}{host}{parts.path}{query}"


def _mask_hook(url: SecretStr | None) -> str | None:
    """Show only the host: the path of such an address is often its secret."""
    if url is None:
        return None
    parts = urlsplit(url.get_secret_value())
    return f"{parts.scheme}://{parts.hostname}/{HIDDEN}"


BY_REGION: Final = {"customerio_track_url": "track_url", "customerio_app_url": "app_url"}
"""Settings whose default follows from another one."""
MASKS: Final[dict[str, Callable[[Any], str | float | None]]] = {
    "database_url": _mask_store,
    "redis_url": _mask_store,
    "alert_url": _mask_hook,
    "api_tokens": _mask_tokens,
}
