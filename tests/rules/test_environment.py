import ast
import re
from collections.abc import Iterator

import pytest

from cio_tasks.settings import Settings
from tests.rules import tree
from tests.rules.tree import Module

READER = "cio_tasks/settings.py"
HANDS_IT_ON = {"cio_tasks/cli/stack.py": "starts the demo's processes in this environment, less our own settings"}
"""Modules that copy the environment for a child process and read no setting in it, each with the reason."""

ACCESS = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}

PROMISED = {
    "DATABASE_URL",
    "REDIS_URL",
    "CUSTOMERIO_SITE_ID",
    "CUSTOMERIO_API_KEY",
    "CUSTOMERIO_APP_API_KEY",
    "CUSTOMERIO_WEBHOOK_SECRET",
    "CUSTOMERIO_REGION",
    "CUSTOMERIO_TRACK_URL",
    "CUSTOMERIO_APP_URL",
    "CUSTOMERIO_STATUS_URL",
    "CIO_ENV",
    "CIO_API_TOKENS",
    "CIO_SECRET_KEY",
    "CIO_TIME_SCALE",
    "CIO_RATE_LIMIT",
    "CIO_BATCH_SIZE",
    "CIO_STUCK_AFTER",
    "CIO_WAKE_WINDOW",
    "CIO_RETENTION_DAYS",
    "CIO_ALERT_THRESHOLD",
    "CIO_ALERT_URL",
}
"""Names that users' deployments rely on: one may be added, none may go."""


def reads(module: Module) -> Iterator[str]:
    """Yield the places that look into the environment, by whatever way."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and tree.dotted(node) in ACCESS:
            yield f"{module}:{node.lineno} {tree.dotted(node)}"
        elif isinstance(node, ast.keyword) and node.arg in {"envvar", "auto_envvar_prefix"}:
            yield f"{module}:{node.value.lineno} {node.arg}="
    yield from (f"{module}:{line} {name}" for name, line in tree.imports(module) if _reads_by_itself(name))


def _reads_by_itself(imported: str) -> bool:
    return imported in ACCESS or imported.split(".", maxsplit=1)[0] in {"dotenv", "pydantic_settings"}


def documented() -> dict[str, str]:
    """Return the names of `.env.example`, also those that are commented out, with their values."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", tree.text_of(tree.ROOT / ".env.example"), re.MULTILINE))


def known() -> set[str]:
    """Return the names that the settings read."""
    return {str(field.validation_alias) for field in Settings.model_fields.values()}


def of_compose() -> set[str]:
    """Return the names that docker-compose.yml asks for."""
    return set(re.findall(r"\$\{([A-Z0-9_]+)", tree.text_of(tree.ROOT / "docker-compose.yml")))


def test_only_the_settings_read_the_environment() -> None:
    others = [module for module in tree.product() if not module.under(READER, *HANDS_IT_ON)]
    tree.refuse(place for module in others for place in reads(module))


def test_an_exception_that_is_no_longer_needed_is_removed() -> None:
    assert set(HANDS_IT_ON) == {
        module.name for module in tree.product() if module.name in HANDS_IT_ON and any(reads(module))
    }


@pytest.mark.parametrize(
    "source",
    [
        "os.environ['A']",
        "value = os.environ.get('A')",
        "os.getenv('A')",
        "from os import environ",
        "from dotenv import load_dotenv",
        "from pydantic_settings import BaseSettings",
        "click.option('--token', envvar='TOKEN')",
    ],
)
def test_a_look_into_the_environment_is_seen(source: str) -> None:
    assert list(reads(tree.read(source)))


def test_the_settings_keep_every_promised_name() -> None:
    assert known() >= PROMISED


def test_the_example_names_every_setting_and_nothing_else() -> None:
    assert set(documented()) == known() | of_compose()


def test_the_example_shows_the_defaults() -> None:
    stores = {name: documented()[name] for name in ("DATABASE_URL", "REDIS_URL")}
    assert Settings.from_env(documented()) == Settings.from_env(stores)


def test_the_example_holds_no_secret() -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|AUTH|SITE_ID")
    tree.refuse(name for name, value in documented().items() if secret.search(name) and value)
