"""The settings: the one file that reads the environment, into a frozen object that is passed in.

Every fault is reported at once, by name and without its value, since a value may be a secret.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from cio_tasks import failpoints
from cio_tasks.errors import ConfigurationError

TOTAL_DEADLINE: Final = timedelta(seconds=15)
"""The longest that one call to Customer.io may take, slow drips included (rule 9)."""

TRACK_URLS: Final = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
APP_URLS: Final = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
STATUS_URL: Final = "https://status.customerio.com"
OWN_HOSTS: Final = ("customer.io", "customerio.com")
STORES_HINT: Final = "see .env.example; `ciosync demo` starts its own"
REDIS_SCHEMES: Final = ("redis", "rediss")
SHORTEST_SECRET: Final = 32
SHORTEST_WEBHOOK_SECRET: Final = 16
"""Customer.io makes this one; theirs are far longer."""


class Role(StrEnum):
    """What a token may do over HTTP; a later role includes nothing of an earlier one unless `api/auth.py` says so."""

    APP = "app"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One entry of `CIO_API_TOKENS`: who it is, what they may do, and the secret itself."""

    name: str
    role: Role
    token: SecretStr


class Settings(BaseModel):
    """All settings, named in the environment as the aliases say. Immutable; build it with `from_env` or by keyword."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, hide_input_in_errors=True, str_strip_whitespace=True, extra="forbid"
    )

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")

    customerio_site_id: SecretStr | None = Field(None, validation_alias="CUSTOMERIO_SITE_ID")
    customerio_api_key: SecretStr | None = Field(None, validation_alias="CUSTOMERIO_API_KEY")
    customerio_app_api_key: SecretStr | None = Field(None, validation_alias="CUSTOMERIO_APP_API_KEY")
    customerio_webhook_secret: SecretStr | None = Field(None, validation_alias="CUSTOMERIO_WEBHOOK_SECRET")
    customerio_region: Literal["us", "eu"] = Field("us", validation_alias="CUSTOMERIO_REGION")
    customerio_track_url: str | None = Field(None, validation_alias="CUSTOMERIO_TRACK_URL")
    customerio_app_url: str | None = Field(None, validation_alias="CUSTOMERIO_APP_URL")
    customerio_status_url: str = Field(STATUS_URL, validation_alias="CUSTOMERIO_STATUS_URL")

    env: Literal["development", "production"] = Field("development", validation_alias="CIO_ENV")
    debug: bool = Field(False, validation_alias="FLASK_DEBUG")
    api_tokens: tuple[ApiToken, ...] = Field((), validation_alias="CIO_API_TOKENS")
    secret_key: SecretStr | None = Field(None, validation_alias="CIO_SECRET_KEY")
    time_scale: float = Field(1.0, gt=0, le=1, allow_inf_nan=False, validation_alias="CIO_TIME_SCALE")
    rate_limit: int = Field(100, ge=1, le=1000, validation_alias="CIO_RATE_LIMIT")
    batch_size: int = Field(200, ge=1, le=400, validation_alias="CIO_BATCH_SIZE")
    stuck_after: timedelta = Field(timedelta(seconds=300), validation_alias="CIO_STUCK_AFTER")
    wake_window: int = Field(200, ge=0, validation_alias="CIO_WAKE_WINDOW")
    retention_days: int = Field(90, ge=1, le=3650, validation_alias="CIO_RETENTION_DAYS")
    alert_threshold: int = Field(10, ge=1, validation_alias="CIO_ALERT_THRESHOLD")
    alert_url: SecretStr | None = Field(None, validation_alias="CIO_ALERT_URL")
    api_rate_limit: int = Field(50, ge=1, le=100_000, validation_alias="CIO_API_RATE_LIMIT")
    webhook_stale: Literal["refuse", "keep"] = Field("refuse", validation_alias="CIO_WEBHOOK_STALE")
    release: str | None = Field(None, max_length=100, validation_alias="CIO_RELEASE")
    failpoints: str | None = Field(None, validation_alias="CIO_FAILPOINTS")

    @classmethod
    def from_env(cls, values: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `values`, by default the environment of the process.

        Raises:
            ConfigurationError: naming every setting at fault and what is wrong with it, never its value.
        """
        given = set_values(values)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = [*_faults(error), *cls._more_faults(given, error)]
            raise ConfigurationError("; ".join(faults), hint="the names and values: .env.example") from None

    @classmethod
    def _more_faults(cls, given: Mapping[str, str], error: ValidationError) -> list[str]:
        """Return the contradictions among the settings that are not at fault by themselves."""
        at_fault = tuple(str(fault["loc"][0]) for fault in error.errors() if fault["loc"])
        if at_fault:
            try:
                cls.model_validate({name: value for name, value in given.items() if name not in at_fault})
            except ValidationError as more:
                return [fault for fault in _faults(more) if not fault.startswith(at_fault)]
        return []

    @field_validator("database_url", mode="before")
    @classmethod
    def _normalise_database_url(cls, value: Any) -> Any:
        """Take the plain forms as psycopg2: SQLAlchemy 2.1 reads `postgresql://` as psycopg 3."""
        url = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(url, str):
            return value
        scheme, separator, rest = url.strip().partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
            raise ValueError("must be a Postgres address, such as postgresql://user:password@host/database")
        return f"postgresql+psycopg2://{rest}"

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in REDIS_SCHEMES:
            raise ValueError("must be a Redis address, such as redis://host:6379/0")
        return value

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _parse_tokens(cls, value: Any) -> Any:
        """Read `name:role:token` entries, comma-separated."""
        if not isinstance(value, str):
            return value
        return tuple(_parse_token(number, entry) for number, entry in enumerate(value.split(","), 1) if entry.strip())

    @field_validator("stuck_after", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            raise ValueError("must be a number of seconds") from None

    @field_validator("failpoints")
    @classmethod
    def _check_failpoints(cls, value: str | None) -> str | None:
        failpoints.parse(value or "")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = [*self._contradictions()]
        if self.env == "production":
            faults += self._unfit_for_production()
        if faults:
            raise ValueError(FAULT_SEPARATOR.join(faults))
        return self

    def _contradictions(self) -> list[str]:
        faults = []
        if self.stuck_after <= 2 * TOTAL_DEADLINE:
            faults.append(f"CIO_STUCK_AFTER must exceed {2 * TOTAL_DEADLINE.seconds} s, twice the deadline of a call")
        names = [token.name for token in self.api_tokens]
        if len(set(names)) < len(names):
            faults.append("CIO_API_TOKENS gives one name to two tokens")
        if len({token.token.get_secret_value() for token in self.api_tokens}) < len(names):
            faults.append("CIO_API_TOKENS gives one token to two names")
        if len(self.webhook_secrets) > 2:  # noqa: PLR2004 - the one in force, and the one before or after it
            faults.append("CUSTOMERIO_WEBHOOK_SECRET holds more than two secrets")
        for name, url in self._customerio_urls().items():
            faults += _url_faults(name, url, strict=self.env == "production")
        if self.alert_url is not None and not _is_address(self.alert_url.get_secret_value(), {"http", "https"}):
            faults.append("CIO_ALERT_URL must start with https:// and name a host")
        return faults

    def _customerio_urls(self) -> dict[str, str]:
        return {
            "CUSTOMERIO_TRACK_URL": self.track_url,
            "CUSTOMERIO_APP_URL": self.app_url,
            "CUSTOMERIO_STATUS_URL": self.customerio_status_url,
        }

    def _unfit_for_production(self) -> list[str]:
        """Return what `CIO_ENV=production` refuses (row A1 and the contract)."""
        faults = []
        if self.mock:
            faults.append("CUSTOMERIO_SITE_ID and CUSTOMERIO_API_KEY are missing: production does not run in mock mode")
        if self.secret_key is None or len(self.secret_key.get_secret_value()) < SHORTEST_SECRET:
            faults.append(f"CIO_SECRET_KEY must have at least {SHORTEST_SECRET} characters")
        if any(len(secret) < SHORTEST_WEBHOOK_SECRET for secret in self.webhook_secrets):
            faults.append(f"CUSTOMERIO_WEBHOOK_SECRET must have at least {SHORTEST_WEBHOOK_SECRET} characters")
        if self.debug:
            faults.append("FLASK_DEBUG must be off")
        if self.time_scale != 1:
            faults.append("CIO_TIME_SCALE is for tests and the demo")
        if self.failpoints is not None:
            faults.append("CIO_FAILPOINTS is for tests")
        if self.alert_url is not None and self.alert_url.get_secret_value().lower().startswith("http:"):
            faults.append("CIO_ALERT_URL must be https")
        faults += [
            f"{name.upper()} is missing" for name in ("database_url", "redis_url") if getattr(self, name) is None
        ]
        faults += [
            f"the token {token.name!r} in CIO_API_TOKENS must have at least {SHORTEST_SECRET} characters"
            for token in self.api_tokens
            if len(token.token.get_secret_value()) < SHORTEST_SECRET
        ]
        return faults

    @property
    def mock(self) -> bool:
        """Whether nothing is sent because the Track credentials are missing (row A1)."""
        return self.customerio_site_id is None or self.customerio_api_key is None

    @property
    def track_url(self) -> str:
        """The base address of the Track API, without a slash at the end."""
        return (self.customerio_track_url or TRACK_URLS[self.customerio_region]).rstrip("/")

    @property
    def app_url(self) -> str:
        """The base address of the App API, without a slash at the end."""
        return (self.customerio_app_url or APP_URLS[self.customerio_region]).rstrip("/")

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The keys that may have signed a webhook: the current one and, while it replaces another, that one too."""
        held = self.customerio_webhook_secret.get_secret_value() if self.customerio_webhook_secret else ""
        return tuple(key.strip() for key in held.split(",") if key.strip())

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the redactor."""
        held = [value for value in self.__dict__.values() if isinstance(value, SecretStr)]
        values = [secret.get_secret_value() for secret in [*held, *(token.token for token in self.api_tokens)]]
        return tuple(dict.fromkeys([*values, *self.webhook_secrets]))

    def require_stores(self) -> None:
        """Check that both stores are named.

        Raises:
            ConfigurationError: naming each that is not.
        """
        missing = [name.upper() for name in ("database_url", "redis_url") if getattr(self, name) is None]
        if missing:
            raise ConfigurationError(f"{' and '.join(missing)} not set", hint=STORES_HINT)

    def required_database_url(self) -> str:
        """Return `DATABASE_URL`.

        Raises:
            ConfigurationError: when it is not set.
        """
        return _required("DATABASE_URL", self.database_url)

    def required_redis_url(self) -> str:
        """Return `REDIS_URL`.

        Raises:
            ConfigurationError: when it is not set.
        """
        return _required("REDIS_URL", self.redis_url)

    def scaled(self, wait: timedelta) -> timedelta:
        """Return a wait of the retry schedule, the gate or a sweep on this process's clock (`CIO_TIME_SCALE`)."""
        return wait * self.time_scale


def set_values(values: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the settings that `values`, by default the environment, holds: names and texts, empty ones left out."""
    values = os.environ if values is None else values
    known = [str(field.validation_alias) for field in Settings.model_fields.values()]
    return {name: values[name] for name in known if values.get(name, "").strip()}


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the settings in an env file (`NAME=value` lines), or nothing when there is no such file."""
    return set_values({name: value or "" for name, value in dotenv_values(path).items()})


def _required(name: str, value: SecretStr | None) -> str:
    if value is None:
        raise ConfigurationError(f"{name} is not set", hint=STORES_HINT)
    return value.get_secret_value()


def _parse_token(number: int, entry: str) -> ApiToken:
    parts = entry.strip().split(":", 2)
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - name, role, token
        raise ValueError(f"entry {number} is not name:role:token")
    name, role, token = parts
    if role not in set(Role):
        raise ValueError(f"entry {number} has an unknown role; roles: {', '.join(Role)}")
    return ApiToken(name=name, role=Role(role), token=SecretStr(token))


def _url_faults(name: str, url: str, *, strict: bool) -> list[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return [f"{name} is not an address"]
    if parts.scheme not in {"http", "https"} or not host:
        return [f"{name} must start with https:// and name a host"]
    if parts.username or parts.password or parts.query or parts.fragment:
        return [f"{name} must be a plain address, without user, query or fragment"]
    if strict and (parts.scheme != "https" or not host.endswith(tuple(f".{own}" for own in OWN_HOSTS))):
        return [f"{name} must be https and one of Customer.io's own hosts in production"]
    return []


def _is_address(url: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


FAULT_SEPARATOR: Final = "; "


def _faults(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        message = str(fault["msg"]).removeprefix("Value error, ")
        lines += [f"{fault['loc'][0]}: {message}"] if fault["loc"] else message.split(FAULT_SEPARATOR)
    return lines
