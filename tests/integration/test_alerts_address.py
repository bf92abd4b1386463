import pytest

from cio_tasks.errors import ConfigurationError
from cio_tasks.settings import Settings

PRODUCTION = {
    "CIO_ENV": "production",
    "CUSTOMERIO_SITE_ID": "site",
    "CUSTOMERIO_API_KEY": "key",
    "CIO_SECRET_KEY": "s" * 32,
    "DATABASE_URL": "postgresql://u@h/d",
    "REDIS_URL": "redis://h",
}


@pytest.mark.parametrize("url", ["hooks.example.com", "ftp://hooks.example.com", "https://", "http://h:70000", "//h"])
@pytest.mark.parametrize("environment", [{}, PRODUCTION], ids=["development", "production"])
def test_what_is_no_address_is_refused(environment: dict[str, str], url: str) -> None:
    with pytest.raises(ConfigurationError, match="CIO_ALERT_URL must start with https:// and name a host") as refused:
        Settings.from_env(environment | {"CIO_ALERT_URL": url})
    assert "example" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://hooks.example.com/SECRETCANARY", "HTTP://hooks.example.com"])
def test_production_tells_nobody_in_clear_text(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CIO_ALERT_URL must be https") as refused:
        Settings.from_env(PRODUCTION | {"CIO_ALERT_URL": url})
    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/T0/B0?key=1#x", "https://user:secret@hooks.example.com:8443"]
)
def test_an_address_may_have_its_secret_anywhere(url: str) -> None:
    settings = Settings.from_env(PRODUCTION | {"CIO_ALERT_URL": url})
    assert settings.alert_url is not None
    assert url in settings.secrets
    assert url not in repr(settings)


def test_development_may_tell_a_receiver_on_this_machine() -> None:
    assert Settings.from_env({"CIO_ALERT_URL": "http://127.0.0.1:8000/hook"}).alert_url is not None
