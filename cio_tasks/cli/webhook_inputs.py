"""What the webhook commands read: a body as raw bytes, and the secret, which is never an argument."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import click

from cio_tasks.cli.config import load_settings
from cio_tasks.errors import ConfigurationError
from cio_tasks.redaction import mask_secret
from cio_tasks.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

STDIN: Final = "-"
MOST_BODY: Final = 16_000_000
"""Bytes that are read of a body, far more than a receiver takes."""
MOST_SECRET: Final = 4_096
SETTING: Final = "CUSTOMERIO_WEBHOOK_SECRET"
OTHERS: Final = {
    "CUSTOMERIO_API_KEY": "customerio_api_key",
    "CUSTOMERIO_APP_API_KEY": "customerio_app_api_key",
    "CUSTOMERIO_SITE_ID": "customerio_site_id",
}
"""Credentials that are taken for the signing key now and then."""

FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True)


def takes_body(*, required: bool) -> Callable[[F], F]:
    """Give a command the option `--body`."""
    return click.option(
        "--body", "body_path", type=FILE, required=required, help="The raw body, byte for byte; - is stdin."
    )


def takes_secret(function: F) -> F:
    """Give a command the option `--secret-file`."""
    return click.option(
        "--secret-file", "secret_path", type=FILE, help=f"The signing key; - is stdin. Otherwise {SETTING}."
    )(function)


@dataclass(frozen=True, slots=True)
class Keys:
    """The signing keys of this run; `others` are credentials, by name, that may be mistaken for one."""

    secrets: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The keys as they may be shown."""
        return " and ".join(mask_secret(secret) for secret in self.secrets)

    def required(self) -> "Keys":
        """Return itself.

        Raises:
            ConfigurationError: when there is no key.
        """
        if not self.secrets:
            raise ConfigurationError(f"{SETTING} is not set", hint="set it, or give --secret-file FILE (- is stdin)")
        return self


def read_body(path: str) -> bytes:
    """Return the bytes of a file or of stdin, untouched.

    Raises:
        BadParameter: when there are too many.
    """
    with click.open_file(path, "rb") as file:
        body: bytes = file.read(MOST_BODY + 1)
    if len(body) > MOST_BODY:
        raise click.BadParameter(
            f"more than {MOST_BODY // 1_000_000} MB; a webhook has at most one", param_hint="--body"
        )
    return body


def load_keys(secret_path: str | None, *, body_path: str | None = None) -> Keys:
    """Return the keys of the file, else of the settings; maybe none.

    Raises:
        ConfigurationError: when the settings or the file are at fault.
        UsageError: when stdin is to be both secret and body.
    """
    if secret_path == STDIN == body_path:
        raise click.UsageError("stdin cannot be both --body and --secret-file")
    settings = load_settings()
    others = {name: value for name, value in _credentials(settings).items() if value}
    if secret_path is None:
        return Keys(settings.webhook_secrets, others)
    return Keys(_read_secrets(secret_path), {**others, **_setting_as_others(settings)})


def _read_secrets(path: str) -> tuple[str, ...]:
    with click.open_file(path, "rb") as file:
        content: bytes = file.read(MOST_SECRET + 1)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("the secret file is not text", hint="it holds the signing key and no more") from None
    secrets = tuple(secret.strip() for secret in text.split(",") if secret.strip())
    if not secrets or len(content) > MOST_SECRET:
        what = "is empty" if not secrets else "is too long for a signing key"
        raise ConfigurationError(f"the secret file {what}", hint="it holds the signing key and no more")
    return secrets


def _credentials(settings: Settings) -> dict[str, str]:
    held = {name: getattr(settings, field) for name, field in OTHERS.items()}
    return {name: secret.get_secret_value() for name, secret in held.items() if secret is not None}


def _setting_as_others(settings: Settings) -> dict[str, str]:
    """With a secret file, those of the settings may be what the sender uses."""
    return {
        SETTING if number == 1 else f"{SETTING}, number {number}": secret
        for number, secret in enumerate(settings.webhook_secrets, 1)
    }
