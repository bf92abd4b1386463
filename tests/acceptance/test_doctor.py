"""The doctor at the bedside of the whole system: real processes, one of which dies."""

import json
import os
import signal
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from cio_tasks.cli.stack import inherited
from cio_tasks.models import Heartbeat
from tests.acceptance.conftest import System
from tests.cli.conftest import CIOSYNC
from tests.eventually import eventually

WORKER, BEAT = 0, 1


def examine(system: System, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run the doctor as a process and return its checks by id; its exit code is what it says."""
    settings = system.stack.settings
    assert settings.customerio_site_id is not None
    assert settings.customerio_api_key is not None
    own = {
        "DATABASE_URL": settings.required_database_url(),
        "REDIS_URL": settings.required_redis_url(),
        "CUSTOMERIO_SITE_ID": settings.customerio_site_id.get_secret_value(),
        "CUSTOMERIO_API_KEY": settings.customerio_api_key.get_secret_value(),
        "CUSTOMERIO_TRACK_URL": settings.track_url,
        "CUSTOMERIO_STATUS_URL": settings.track_url,
        "CIO_TIME_SCALE": str(settings.time_scale),
    }
    done = subprocess.run(
        [CIOSYNC, "doctor", "--json", *arguments],
        env={**inherited(), **own},
        cwd=os.path.sep,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert not any(secret in done.stdout for secret in settings.secrets)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1)
    return {check["id"]: check for check in report["checks"]}


def failed(system: System, *arguments: str) -> set[str]:
    return {id_ for id_, check in examine(system, *arguments).items() if check["status"] == "fail"}


def test_the_doctor_sees_a_system_that_works_and_each_part_that_dies(system: System) -> None:
    checks = eventually(lambda: examine(system), lambda found: found["beat.tick"]["status"] == "ok", seconds=40)
    assert {id_ for id_, check in checks.items() if check["status"] == "fail"} == set()
    assert checks["celery.ping"]["message"].startswith("1 worker answered in ")
    assert checks["customerio.credentials"]["status"] == checks["database.migrations"]["status"] == "ok"

    system.stack.own_processes[BEAT].terminate()
    eventually(lambda: failed(system, "--only", "beat,celery"), lambda found: found == {"beat.tick"}, seconds=40)

    system.stack.own_processes[WORKER].kill()
    with system.sessions.begin() as session:
        session.execute(update(Heartbeat).values(seen_at=func.now() - timedelta(seconds=31)))
    assert failed(system, "--only", "beat,celery") == {"beat.tick", "celery.workers"}

    system.broker.stop()
    assert failed(system, "--only", "redis,celery") == {"redis.reachable", "celery.workers"}


@pytest.mark.parametrize("scale", ["1"])
def test_a_worker_that_hangs_is_alive_and_does_not_answer(system: System) -> None:
    eventually(
        lambda: examine(system, "--only", "celery")["celery.ping"]["status"], lambda word: word == "ok", seconds=40
    )
    worker = system.stack.own_processes[WORKER]
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        assert failed(system, "--only", "celery") == {"celery.ping"}
    finally:
        os.kill(worker.pid, signal.SIGCONT)
