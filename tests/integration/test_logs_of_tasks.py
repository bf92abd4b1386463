"""What a worker's lines say: which task wrote them, and for which job."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cio_tasks import wake
from cio_tasks.cli.stack import inherited
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.models import SyncAttempt
from cio_tasks.processes import ManagedProcess, Supervisor
from cio_tasks.settings import Settings
from tests.conftest import API_KEY, SITE_ID
from tests.eventually import eventually
from tests.factories import Factory
from tests.log_lines import read_lines

WORKER = [sys.executable, "-m", "celery", "-A", "cio_tasks.celery_app", "worker", "--loglevel", "INFO", "-c", "1"]
PERSON = "ada@example.com"


@pytest.fixture
def worker(settings: Settings, fake: FakeCustomerIO, tmp_path: Path) -> Iterator[ManagedProcess]:
    """A worker that does one task after the other, in the same thread."""
    own = {
        "DATABASE_URL": settings.required_database_url(),
        "REDIS_URL": settings.required_redis_url(),
        "CUSTOMERIO_SITE_ID": SITE_ID,
        "CUSTOMERIO_API_KEY": API_KEY,
        "CUSTOMERIO_TRACK_URL": fake.url,
    }
    with Supervisor(tmp_path) as supervisor:
        yield supervisor.start("worker", WORKER, env={**inherited(), **own})


def wait_for_line(worker: ManagedProcess, *words: str) -> dict[str, Any]:
    """Return the first line whose event has all these words, once there is one."""

    def find() -> list[dict[str, Any]]:
        whole, _, _ = worker.log_path.read_text(encoding="utf-8").rpartition("\n")
        ours = "\n".join(line for line in whole.splitlines() if line.startswith("{"))  # beside Celery's banner
        return [line for line in read_lines(ours) if all(word in line["event"] for word in words)]

    return eventually(find, seconds=60)[0]


def test_a_job_and_its_task_are_in_the_lines_of_the_worker_that_delivers_it(
    worker: ManagedProcess, settings: Settings, make: Factory
) -> None:
    wake.configure(settings)
    job = make.job(make.signup(PERSON))
    wake.ring([job.id])
    line = wait_for_line(worker, "sync.completed")
    (attempt,) = make.all(SyncAttempt)

    assert (line["job_id"], line["phase"], line["delivery_request_id"]) == (str(job.id), "initial", attempt.request_id)
    assert line["task_id"]
    assert "request_id" not in line
    assert PERSON not in worker.log_path.read_text()


def test_a_job_is_not_in_the_lines_of_the_next_task(worker: ManagedProcess, settings: Settings, make: Factory) -> None:
    wake.configure(settings)
    job = make.job(make.signup(PERSON))
    wake.ring([job.id])
    wake.sweep_after(timedelta(0))
    delivered = wait_for_line(worker, "sync_signup", "succeeded")
    swept = wait_for_line(worker, "process_due", "succeeded")

    assert delivered["job_id"] == str(job.id)
    assert "job_id" not in swept
    assert swept["task_id"] in swept["event"]
    assert delivered["task_id"] != swept["task_id"]
