import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from cio_tasks.errors import ConfigurationError
from cio_tasks.settings import TOTAL_DEADLINE, ApiToken, Role, Settings, read_dotenv

CANARY = "SECRETCANARY"
LONG_SECRET = "0123456789abcdef" * 2
FIT = {
    "CIO_ENV": "production",
    "CUSTOMERIO_SITE_ID": "site",
    "CUSTOMERIO_API_KEY": "key",
    "CIO_SECRET_KEY": LONG_SECRET,
    "DATABASE_URL": "postgresql://ciosync@db/ciosync",
    "REDIS_URL": "rediss://cache/0",
    "CIO_API_TOKENS": f"shop:app:{LONG_SECRET}",
}
SINGLE_FAULTS = {
    "DATABASE_URL": f"mysql://{CANARY}@db/ciosync",
    "REDIS_URL": f"http://{CANARY}@cache",
    "CUSTOMERIO_REGION": CANARY,
    "CIO_ENV": CANARY,
    "CIO_API_TOKENS": CANARY,
    "CIO_TIME_SCALE": CANARY,
    "CIO_RATE_LIMIT": CANARY,
    "CIO_BATCH_SIZE": CANARY,
    "CIO_STUCK_AFTER": CANARY,
    "CIO_WAKE_WINDOW": CANARY,
    "CIO_RETENTION_DAYS": CANARY,
    "CIO_ALERT_THRESHOLD": CANARY,
}


SECRETS = {
    "DATABASE_URL": f"postgresql://u:{CANARY}@db/d",
    "REDIS_URL": f"redis://:{CANARY}@cache/0",
    "CUSTOMERIO_SITE_ID": f"{CANARY}-site",
    "CUSTOMERIO_API_KEY": f"{CANARY}-key",
    "CUSTOMERIO_APP_API_KEY": f"{CANARY}-app-key",
    "CUSTOMERIO_WEBHOOK_SECRET": f"{CANARY}-webhook",
    "CIO_SECRET_KEY": f"{CANARY}-session",
    "CIO_ALERT_URL": f"https://hooks.example.com/{CANARY}",
    "CIO_API_TOKENS": f"shop:app:{CANARY}-token",
}


def faults(environment: dict[str, str]) -> str:
    """Return what is said about a faulty environment."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environment)
    return str(caught.value)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_empty_environment_means_mock_mode_in_development() -> None:
    settings = Settings.from_env({})

    assert settings.mock
    assert (settings.env, settings.rate_limit, settings.stuck_after) == ("development", 100, timedelta(minutes=5))
    assert settings == Settings.model_validate({})


def test_own_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIO_RATE_LIMIT", "7")

    assert Settings.from_env().rate_limit == 7


def test_empty_value_and_foreign_name_count_for_nothing() -> None:
    assert Settings.from_env({"CIO_RATE_LIMIT": "", "CUSTOMERIO_SITE_ID": "  ", "PATH": "/bin"}) == Settings.from_env(
        {}
    )


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\r\n"])
def test_whitespace_around_a_pasted_key_is_trimmed(space: str) -> None:
    names = ("CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY", "CIO_SECRET_KEY", "CIO_BATCH_SIZE", "CUSTOMERIO_TRACK_URL")
    plain = dict(zip(names, ("site", "key", LONG_SECRET, "9", "https://track.customer.io"), strict=True))
    padded = {name: f"{space}{value}{space}" for name, value in plain.items()}

    assert Settings.from_env(padded) == Settings.from_env(plain)


def test_env_file_is_read_like_the_environment(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# comment\nCIO_RATE_LIMIT='7'\nCUSTOMERIO_SITE_ID=\nexport PATH=/bin\n", encoding="utf-8")

    assert read_dotenv(path) == {"CIO_RATE_LIMIT": "7"}
    assert read_dotenv(tmp_path / "absent") == {}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.from_env({}).rate_limit = 5


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_plain_database_address_means_psycopg2(scheme: str) -> None:
    settings = Settings.from_env({"DATABASE_URL": f"{scheme}://u:p@host:5432/name?sslmode=require"})

    assert settings.required_database_url() == "postgresql+psycopg2://u:p@host:5432/name?sslmode=require"
    assert Settings.from_env({"DATABASE_URL": settings.required_database_url()}) == settings


@pytest.mark.parametrize("url", ["mysql://h/d", "postgresql+psycopg://h/d", "sqlite://", "host/name", "://"])
def test_database_that_is_not_postgres_is_refused(url: str) -> None:
    assert faults({"DATABASE_URL": url}).startswith("DATABASE_URL: must be a Postgres address")


@pytest.mark.parametrize("url", ["http://cache", "amqp://h", "cache:6379", "unix:///redis.sock", "redis+socket:///s"])
def test_redis_address_that_not_every_part_understands_is_refused(url: str) -> None:
    """Celery calls a socket `redis+socket://`, redis-py `unix://`, and neither takes the other's word."""
    assert faults({"REDIS_URL": url}).startswith("REDIS_URL: must be a Redis address")


@pytest.mark.parametrize("name", ["database", "redis"])
def test_address_that_is_needed_and_missing_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name.upper()}_URL is not set$") as caught:
        getattr(Settings.from_env({}), f"required_{name}_url")()

    assert caught.value.hint


@pytest.mark.parametrize(("region", "host"), [("us", "customer.io"), ("eu", "-eu.customer.io")])
def test_region_chooses_the_addresses(region: str, host: str) -> None:
    settings = Settings.from_env({"CUSTOMERIO_REGION": region})

    assert settings.track_url == f"https://track{host if region == 'eu' else '.' + host}"
    assert settings.app_url == f"https://api{host if region == 'eu' else '.' + host}"


def test_own_address_wins_over_the_region_and_loses_its_last_slash() -> None:
    settings = Settings.from_env({"CUSTOMERIO_REGION": "eu", "CUSTOMERIO_TRACK_URL": "http://127.0.0.1:8000/"})

    assert settings.track_url == "http://127.0.0.1:8000"


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_names_roles_and_secrets() -> None:
    settings = Settings.from_env({"CIO_API_TOKENS": " shop:app:a:b , eyes:viewer:c,, "})

    assert settings.api_tokens == (
        ApiToken("shop", Role.APP, SecretStr("a:b")),
        ApiToken("eyes", Role.VIEWER, SecretStr("c")),
    )


@pytest.mark.parametrize("role", Role)
def test_every_role_can_be_given(role: Role) -> None:
    assert Settings.from_env({"CIO_API_TOKENS": f"one:{role}:t"}).api_tokens[0].role is role


@pytest.mark.parametrize(
    ("tokens", "fault"),
    [
        (CANARY, "entry 1 is not name:role:token"),
        (f"a:app:t,{CANARY}:app", "entry 2 is not name:role:token"),
        (f"a:app:t,:app:{CANARY}", "entry 2 is not name:role:token"),
        (f"a:{CANARY}:t", "entry 1 has an unknown role; roles: app, viewer, operator, admin"),
        (f"a:app:{CANARY},a:admin:{CANARY}2", "CIO_API_TOKENS gives one name to two tokens"),
        (f"a:app:{CANARY},b:admin:{CANARY}", "CIO_API_TOKENS gives one token to two names"),
    ],
)
def test_faulty_token_is_named_by_its_place(tokens: str, fault: str) -> None:
    said = faults({"CIO_API_TOKENS": tokens})

    assert fault in said
    assert CANARY not in said


# --- bounds and contradictions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CIO_TIME_SCALE", "0"),
        ("CIO_TIME_SCALE", "-1"),
        ("CIO_TIME_SCALE", "1.01"),
        ("CIO_TIME_SCALE", "nan"),
        ("CIO_RATE_LIMIT", "0"),
        ("CIO_RATE_LIMIT", "1001"),
        ("CIO_BATCH_SIZE", "0"),
        ("CIO_BATCH_SIZE", "401"),
        ("CIO_STUCK_AFTER", "30"),
        ("CIO_STUCK_AFTER", "-300"),
        ("CIO_STUCK_AFTER", "nan"),
        ("CIO_STUCK_AFTER", "1e300"),
        ("CIO_WAKE_WINDOW", "-1"),
        ("CIO_RETENTION_DAYS", "0"),
        ("CIO_ALERT_THRESHOLD", "0"),
    ],
)
def test_number_out_of_bounds_is_refused_by_name(name: str, value: str) -> None:
    assert faults({name: value}).startswith(name)


def test_stuck_after_must_exceed_twice_the_deadline_of_a_call() -> None:
    just_enough = str(2 * TOTAL_DEADLINE.total_seconds() + 0.5)

    assert Settings.from_env({"CIO_STUCK_AFTER": just_enough}).stuck_after > 2 * TOTAL_DEADLINE
    assert "twice the deadline" in faults({"CIO_STUCK_AFTER": str(2 * TOTAL_DEADLINE.total_seconds())})


@pytest.mark.parametrize("name", ["CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY"])
def test_half_of_the_credentials_is_mock_mode_and_no_fit_for_production(name: str) -> None:
    assert Settings.from_env({name: CANARY}).mock
    assert "mock mode" in faults({name: CANARY, "CIO_ENV": "production"})


@pytest.mark.parametrize(
    "url",
    [
        "track.customer.io",
        "ftp://track.customer.io",
        "https://",
        "https://[track",
        "https://track.customer.io:99999",
        "https://track.customer.io:port",
        f"https://user:{CANARY}@track.customer.io",
        f"https://track.customer.io/?key={CANARY}",
        f"https://track.customer.io/#{CANARY}",
    ],
)
@pytest.mark.parametrize("name", ["CUSTOMERIO_TRACK_URL", "CUSTOMERIO_APP_URL", "CUSTOMERIO_STATUS_URL"])
def test_address_must_be_plain(name: str, url: str) -> None:
    said = faults({name: url})

    assert said.startswith(f"{name} ")
    assert CANARY not in said


@given(scale=st.floats(0.0001, 1), seconds=st.integers(0, 10_000))
def test_time_scale_multiplies_a_wait(scale: float, seconds: int) -> None:
    wait = Settings.from_env({"CIO_TIME_SCALE": str(scale)}).scaled(timedelta(seconds=seconds))

    assert wait.total_seconds() == pytest.approx(seconds * scale, abs=1e-6)


# --- production -------------------------------------------------------------------------------------------------------


def test_fit_environment_is_accepted_in_production() -> None:
    assert not Settings.from_env(FIT).mock


@pytest.mark.row("A1")
@pytest.mark.parametrize(
    "missing", [{"CUSTOMERIO_SITE_ID"}, {"CUSTOMERIO_API_KEY"}, {"CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY"}]
)
def test_production_refuses_to_run_in_mock_mode(missing: set[str]) -> None:
    said = faults({name: value for name, value in FIT.items() if name not in missing})

    assert "production does not run in mock mode" in said


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("CIO_SECRET_KEY", LONG_SECRET[:31], "CIO_SECRET_KEY must have at least 32 characters"),
        ("CIO_SECRET_KEY", "", "CIO_SECRET_KEY must have at least 32 characters"),
        ("CIO_TIME_SCALE", "0.5", "CIO_TIME_SCALE is for tests"),
        ("CIO_FAILPOINTS", "worker.after_claim=kill", "CIO_FAILPOINTS is for tests"),
        ("DATABASE_URL", "", "DATABASE_URL is missing"),
        ("REDIS_URL", "", "REDIS_URL is missing"),
        ("CIO_API_TOKENS", "shop:app:short", "the token 'shop' in CIO_API_TOKENS must have at least 32 characters"),
        ("CUSTOMERIO_TRACK_URL", "http://track.customer.io", "CUSTOMERIO_TRACK_URL must be https"),
        (
            "CUSTOMERIO_TRACK_URL",
            "https://127.0.0.1",
            "CUSTOMERIO_TRACK_URL must be https and one of Customer.io's own",
        ),
        ("CUSTOMERIO_APP_URL", "https://evilcustomer.io", "CUSTOMERIO_APP_URL must be https and one of"),
        ("CUSTOMERIO_APP_URL", "https://api.customer.io.evil.example", "CUSTOMERIO_APP_URL must be https and one of"),
        ("CUSTOMERIO_STATUS_URL", "http://status.customerio.com", "CUSTOMERIO_STATUS_URL must be https"),
    ],
)
def test_production_refuses_what_is_good_enough_for_development(name: str, value: str, fault: str) -> None:
    Settings.from_env({**FIT, name: value, "CIO_ENV": "development"})

    assert faults({**FIT, name: value}).startswith(fault)


# --- telling ----------------------------------------------------------------------------------------------------------


def test_all_faults_of_single_settings_are_reported_together() -> None:
    assert re.findall(r"(?:^|; )([A-Z_]+): ", faults(SINGLE_FAULTS)) == list(SINGLE_FAULTS)


def test_no_fault_shows_a_value() -> None:
    assert CANARY not in faults(SINGLE_FAULTS)


def test_all_contradictions_are_reported_together() -> None:
    said = faults({"CIO_ENV": "production", "CIO_STUCK_AFTER": "10", "CUSTOMERIO_TRACK_URL": "http://localhost"})
    names = ("CIO_STUCK_AFTER", "CUSTOMERIO_TRACK_URL", "CUSTOMERIO_SITE_ID", "CIO_SECRET_KEY", "DATABASE_URL")

    assert all(name in said for name in names)


def test_faulty_setting_does_not_hide_a_contradiction() -> None:
    said = faults({"CIO_ENV": "production", "CIO_RATE_LIMIT": "0", "REDIS_URL": "http://cache"})

    assert all(name in said for name in ("CIO_RATE_LIMIT: ", "REDIS_URL: ", "mock mode", "CIO_SECRET_KEY"))
    assert "REDIS_URL is missing" not in said


def test_secrets_are_never_shown() -> None:
    settings = Settings.from_env(SECRETS)

    assert CANARY not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_redactor_is_given_every_secret() -> None:
    fields = [field for field in Settings.model_fields.values() if "SecretStr" in str(field.annotation)]
    values = set(Settings.from_env(SECRETS).secrets)

    assert {str(field.validation_alias) for field in fields} | {"CIO_API_TOKENS"} == set(SECRETS)
    assert values >= {value for name, value in SECRETS.items() if name not in {"DATABASE_URL", "CIO_API_TOKENS"}}
    assert values >= {f"postgresql+psycopg2://u:{CANARY}@db/d", f"{CANARY}-token"}


def test_both_webhook_keys_are_secrets_while_one_replaces_the_other() -> None:
    settings = Settings.from_env({"CUSTOMERIO_WEBHOOK_SECRET": "old-signing-key, new-signing-key"})

    assert {"old-signing-key", "new-signing-key"} <= set(settings.secrets)
