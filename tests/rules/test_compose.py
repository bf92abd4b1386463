import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules import tree
from tests.rules.test_environment import known

COMPOSE_FILE = tree.ROOT / "docker-compose.yml"
SOURCE = COMPOSE_FILE.read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(SOURCE)["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
ONE_SHOT = "migrate"
REFUSED_IN_PRODUCTION = {"CIO_TIME_SCALE", "CIO_FAILPOINTS", "FLASK_DEBUG"}
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|AUTH|SITE_ID")

each_service = pytest.mark.parametrize("name", SERVICES)


def faults_of(compose_file: Path) -> str:
    """Return what the Compose Specification's schema has against a file; nothing when it is valid."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose_file)]
    run = subprocess.run(check, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout + run.stderr


def test_the_compose_file_is_valid() -> None:
    assert not faults_of(COMPOSE_FILE)


def test_the_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(SOURCE.replace("healthcheck:", "healthchek:"))
    assert "healthchek" in faults_of(broken)


@each_service
def test_every_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@each_service
def test_every_service_comes_back_except_the_one_that_ends(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name == ONE_SHOT else "unless-stopped")
    assert SERVICES[name]["stop_grace_period"]


@each_service
def test_every_service_runs_with_the_least(name: str) -> None:
    service = SERVICES[name]
    assert service["init"] is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@each_service
def test_every_port_is_published_on_the_loopback_interface(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_every_image_names_its_version(name: str) -> None:
    assert re.search(r":(?!latest)\w", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(set(OURS) - {ONE_SHOT}))
def test_our_processes_start_after_the_migrations(name: str) -> None:
    assert SERVICES[name]["depends_on"][ONE_SHOT]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", OURS)
def test_our_processes_get_every_setting(name: str) -> None:
    assert set(SERVICES[name]["environment"]) >= known() - REFUSED_IN_PRODUCTION
    assert SERVICES[name]["environment"]["CIO_ENV"] == "production"


def test_no_secret_has_a_default() -> None:
    defaults = re.findall(r"\$\{([A-Z0-9_]+):?[-+]", SOURCE)
    tree.refuse(name for name in defaults if SECRET.search(name))


def test_a_missing_secret_stops_compose_with_a_message() -> None:
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", SOURCE))
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?[^}]+\}", SOURCE))
    assert {name for name in asked if SECRET.search(name)} == required


def test_flower_shows_and_changes_nothing() -> None:
    flower = SERVICES["flower"]
    assert "--read_only=True" in flower["command"]
    assert flower["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    assert not [word for word in flower["command"] if "auth" in word]
    assert "FLOWER_UNAUTHENTICATED_API" not in SOURCE


def test_the_broker_keeps_nothing_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["valkey"]["command"])
    assert '--save "" --appendonly no' in command
    assert "--maxmemory-policy noeviction" in command


def test_the_image_runs_as_nobody_special_and_forces_no_entry_point() -> None:
    final_stage = (tree.ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final_stage, re.MULTILINE)
    assert re.search(r"^ENTRYPOINT \[\]$", final_stage, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|^COPY (?!--from)", final_stage, re.MULTILINE)
