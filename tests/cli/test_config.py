from pathlib import Path

import pytest

from cio_tasks.settings import Settings
from tests.cli.conftest import Answer, CommandLine

CANARY = "SECRETCANARY"
SECRETS = {
    "DATABASE_URL": f"postgresql://ciosync:{CANARY}@db.example.com:5432/ciosync?sslpassword={CANARY}",
    "REDIS_URL": f"rediss://:{CANARY}@redis.example.com:6379/0",
    "CUSTOMERIO_SITE_ID": f"{CANARY}-site-id-1234",
    "CUSTOMERIO_API_KEY": f"{CANARY}-api-key-1234",
    "CUSTOMERIO_APP_API_KEY": CANARY,
    "CUSTOMERIO_WEBHOOK_SECRET": f"{CANARY}-hook-old-1234,{CANARY}-hook-new",
    "CIO_API_TOKENS": f"shop:app:{CANARY}-token-12345678",
    "CIO_SECRET_KEY": f"{CANARY}-secret-key-1234567890",
    "CIO_ALERT_URL": f"https://hooks.example.com/services/{CANARY}",
}


def shown(answer: Answer) -> dict[str, tuple[object, str]]:
    return {one["name"]: (one["value"], one["origin"]) for one in answer.json["settings"]}


def test_every_setting_is_shown_by_its_name(cli: CommandLine) -> None:
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert shown(cli("config", "show", "--json")).keys() == names
    assert {line.split()[0] for line in cli("config", "show").out.splitlines()} == names


@pytest.mark.parametrize("flags", [[], ["--json"], ["--origin"]], ids=str)
def test_no_secret_is_shown(cli: CommandLine, flags: list[str]) -> None:
    answer = cli("config", "show", *flags, **SECRETS)
    assert answer.code == 0
    assert CANARY not in answer.out + answer.err


def test_a_store_shows_where_it_is_and_who_enters(cli: CommandLine) -> None:
    values = shown(cli("config", "show", "--json", **SECRETS))
    assert values["DATABASE_URL"][0] == "postgresql+psycopg2://ciosync:••••@db.example.com:5432/ciosync?••••"
    assert values["REDIS_URL"][0] == "rediss://:••••@redis.example.com:6379/0"
    assert values["CIO_ALERT_URL"][0] == "https://hooks.example.com/••••"
    assert values["CIO_API_TOKENS"][0] == "shop:app:SECR…78 (27 chars)"


def test_the_region_decides_the_default_addresses(cli: CommandLine) -> None:
    values = shown(cli("config", "show", "--json", CUSTOMERIO_REGION="eu"))
    assert values["CUSTOMERIO_TRACK_URL"] == ("https://track-eu.customer.io", "default")


def test_the_environment_comes_before_the_env_file_and_that_before_the_defaults(cli: CommandLine) -> None:
    Path(".env").write_text("CIO_BATCH_SIZE=7\nCIO_RATE_LIMIT=8\n", encoding="utf-8")
    values = shown(cli("config", "show", "--json", CIO_RATE_LIMIT="9"))
    assert values["CIO_RATE_LIMIT"] == (9, "environment")
    assert values["CIO_BATCH_SIZE"] == (7, ".env")
    assert values["CIO_WAKE_WINDOW"] == (200, "default")


def test_production_reads_no_env_file(cli: CommandLine) -> None:
    Path(".env").write_text("CIO_SECRET_KEY=from-a-file-that-should-not-count-at-all\n", encoding="utf-8")
    answer = cli("config", "show", CIO_ENV="production")
    assert answer.code == 3
    assert "CIO_SECRET_KEY" in answer.err


def test_all_faults_are_told_at_once_and_no_value(cli: CommandLine) -> None:
    answer = cli("config", "show", CIO_RATE_LIMIT="many", CUSTOMERIO_REGION="SECRETCANARY")
    assert answer.code == 3
    assert {"CIO_RATE_LIMIT:", "CUSTOMERIO_REGION:"} <= set(answer.err.split())
    assert CANARY not in answer.err


def test_mock_mode_is_told_to_people_and_to_scripts(cli: CommandLine) -> None:
    assert "mock mode" in cli("config", "show").err
    assert cli("config", "show", "--json").json["mock"] is True
