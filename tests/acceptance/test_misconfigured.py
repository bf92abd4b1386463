"""Processes that cannot work say so in three lines and end, rather than start and do nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cio_tasks.settings import Settings

ROOT = Path(__file__).parents[2]
CELERY = [sys.executable, "-m", "celery", "-A", "cio_tasks.celery_app"]
REDIS = {"REDIS_URL": "redis://127.0.0.1:1/0"}
DATABASE = {"DATABASE_URL": "postgresql://nobody:SECRETCANARY@127.0.0.1:1/none"}


def run(argv: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | settings
    return subprocess.run(
        argv,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("role", ["worker", "beat"])
@pytest.mark.parametrize(
    ("settings", "named"), [({}, "DATABASE_URL and REDIS_URL"), (REDIS, "DATABASE_URL"), (DATABASE, "REDIS_URL")]
)
def test_worker_and_beat_name_the_stores_they_lack(role: str, settings: dict[str, str], named: str) -> None:
    done = run([*CELERY, role], **settings)
    assert done.returncode == 3
    assert f"cause: {named} not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRETCANARY" not in done.stderr + done.stdout


def test_alembic_names_the_database_it_lacks() -> None:
    done = run([sys.executable, "-m", "alembic", "upgrade", "head"])
    assert done.returncode == 3
    assert "cause: DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("settings", [DATABASE, REDIS, {"CUSTOMERIO_SITE_ID": "site", "CUSTOMERIO_API_KEY": "key"}])
def test_the_demo_asks_before_it_leaves_this_machine(settings: dict[str, str], tmp_path: Path) -> None:
    done = run([sys.executable, "-m", "cio_tasks", "demo", "--state-dir", str(tmp_path)], **settings)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("scale", "code"), [("0", 2), ("-1", 2), ("2", 2), ("abc", 2), ("nan", 3)])
def test_a_wrong_time_scale_is_refused_before_anything_starts(scale: str, code: int, tmp_path: Path) -> None:
    done = run([sys.executable, "-m", "cio_tasks", "demo", "--time-scale", scale, "--state-dir", str(tmp_path)])
    assert done.returncode == code
    assert "--time-scale" in done.stderr or "CIO_TIME_SCALE" in done.stderr
    assert list(tmp_path.iterdir()) == []
