"""What gunicorn imports, in a process of its own."""

import subprocess
import sys

import pytest

from tests.rules import tree

TOKENS = "shop:app:SECRETCANARY-token"


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_application_starts_without_reaching_for_its_stores() -> None:
    environment = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = run("from api.wsgi import app; print(app.test_client().get('/healthz').status_code)", **environment)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "200")


def test_the_log_is_json() -> None:
    done = run("import api.wsgi", DATABASE_URL="postgresql://u@127.0.0.1:1/d", CIO_API_TOKENS=TOKENS)
    assert all(line.startswith("{") for line in done.stderr.splitlines())
    assert "SECRETCANARY" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("environment", "cause"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "mysql://u:SECRETCANARY@h/d"}, "DATABASE_URL: must be a Postgres address"),
        ({"CIO_API_TOKENS": "SECRETCANARY"}, "CIO_API_TOKENS: entry 1 is not name:role:token"),
        ({"CIO_ENV": "production"}, "production does not run in mock mode"),
    ],
)
def test_a_configuration_fault_ends_the_process_in_three_lines(environment: dict[str, str], cause: str) -> None:
    done = run("import api.wsgi", **environment)
    lines = done.stderr.splitlines()
    assert done.returncode == 3
    assert [line.partition(":")[0] for line in lines] == ["error", "cause", "hint"]
    assert cause in lines[1]
    assert "SECRETCANARY" not in done.stderr


def test_importing_the_package_does_nothing() -> None:
    done = run("import api; print('imported')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")
