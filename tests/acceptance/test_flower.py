"""Flower as the compose file starts it: a view for those who may look, of ids and nothing else, that changes nothing."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flower.urls  # type: ignore[import-untyped]
import pytest
import redis
import requests
import yaml

from cio_tasks.cli.stack import answers, inherited
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.processes import free_port
from cio_tasks.settings import Settings
from tests.acceptance.conftest import System
from tests.eventually import eventually
from tests.rules import tree

PASSWORD = "SECRETCANARY-broker"
LOGIN = ("ops", "SECRETCANARY-flower")
OPEN = {"/metrics", "/healthcheck", "/logout", "/static/css/flower.css", "/login"}
"""What Flower 2.2 shows to everybody: no option closes it. So its port is published on the loopback interface only."""
PAGES = ["/", "/workers", "/worker/x", "/tasks", "/task/x", "/broker"]
LISTS = [
    "/api/workers",
    "/api/tasks",
    "/api/task/types",
    "/api/task/info/x",
    "/api/task/result/x",
    "/api/queues/length",
]
CHANGES = [
    *("/api/worker/shutdown/W", "/api/worker/pool/restart/W", "/api/worker/pool/grow/W", "/api/worker/pool/shrink/W"),
    *("/api/worker/pool/autoscale/W", "/api/worker/queue/add-consumer/W", "/api/worker/queue/cancel-consumer/W"),
    *("/api/task/apply/cio_tasks.process_due", "/api/task/async-apply/cio_tasks.process_due"),
    *("/api/task/send-task/cio_tasks.process_due", "/api/task/abort/x", "/api/task/revoke/x"),
    *("/api/task/timeout/cio_tasks.process_due", "/api/task/rate-limit/cio_tasks.process_due"),
]


class LockedValkey(EmbeddedValkey):
    """A broker with a password."""

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"


@pytest.fixture
def broker(state_dir: Path) -> Iterator[EmbeddedValkey]:
    with LockedValkey(state_dir / "broker") as server:
        redis.Redis(port=server.port).config_set("requirepass", PASSWORD)
        yield server


@dataclass(frozen=True)
class Flower:
    """A running Flower."""

    url: str

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=20, allow_redirects=False, **options)

    def read(self, path: str) -> requests.Response:
        return self.get(path, auth=LOGIN)

    def tasks(self) -> dict[str, dict[str, Any]]:
        return dict(self.read("/api/tasks").json())


@pytest.fixture
def view(system: System) -> Iterator[Flower]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    celery, *command = yaml.safe_load((tree.ROOT / "docker-compose.yml").read_text())["services"]["flower"]["command"]
    assert celery == "celery"
    here = {"--address=0.0.0.0": "--address=127.0.0.1", "--port=5555": f"--port={port}"}
    process = system.stack.supervisor.start(
        "flower",
        [sys.executable, "-m", "celery", *(here.get(word, word) for word in command)],
        env={**inherited(), **stores_of(system.stack.settings), "FLOWER_BASIC_AUTH": ":".join(LOGIN)},
        cwd=system.stack.supervisor.state_dir,
        ready=lambda: answers(f"{url}/healthcheck"),
    )
    view = Flower(url)
    eventually(view.tasks)  # beat's; until Flower hears of tasks, it misses them
    yield view
    process.kill()  # it has nothing to finish, and takes ten seconds to notice that it was told to stop


def stores_of(settings: Settings) -> dict[str, str]:
    return {"DATABASE_URL": settings.required_database_url(), "REDIS_URL": settings.required_redis_url()}


def workers_of(view: Flower) -> list[str]:
    """Return the names of the workers once one has told about itself."""
    return list(eventually(lambda: view.read("/api/workers?refresh=1").json()))


def finished(view: Flower) -> list[dict[str, Any]]:
    tasks = view.tasks().values()
    return [task for task in tasks if (task["name"], task["state"]) == ("cio_tasks.sync_signup", "SUCCESS")]


def test_a_finished_task_is_seen_and_is_an_id(system: System, view: Flower) -> None:
    signup_id = system.submit("canary-person@example.com", name="Canaryname")
    [task] = eventually(lambda: finished(view))
    [job] = system.jobs_of(signup_id)
    assert task["args"] == f"['{job.id}']"
    assert task["kwargs"] == "{}"
    assert view.read(f"/task/{task['uuid']}").status_code == 200


def test_nobody_looks_without_the_password(view: Flower) -> None:
    closed = [*PAGES, *LISTS]
    assert {view.get(path).status_code for path in closed} == {401}
    assert {view.get(path, auth=("ops", "wrong")).status_code for path in closed} == {401}
    assert {requests.post(view.url + path, timeout=20).status_code for path in ["/tasks/datatable", *CHANGES]} == {401}


def test_what_is_open_to_everybody_tells_numbers_and_names_of_tasks(system: System, view: Flower) -> None:
    system.submit("canary-person@example.com")
    [task] = eventually(lambda: finished(view))
    told = "".join(view.get(path).text for path in OPEN)
    assert "flower_events_total" in told
    assert not [word for word in ("canary", "SECRETCANARY", task["uuid"], "redis://") if word in told]


def test_every_address_of_flower_is_closed_or_known_to_be_open() -> None:
    known = len(PAGES) + len(LISTS) + len(CHANGES) + len(OPEN) + len(["/tasks/datatable", "any other"])
    assert len(flower.urls.handlers) == known


def test_flower_changes_nothing(system: System, view: Flower) -> None:
    [worker] = workers_of(view)
    for path in CHANGES:
        answer = requests.post(view.url + path.replace("W", worker), auth=LOGIN, timeout=20)
        assert answer.status_code == 403, path
    before = set(view.tasks())
    signup_id = system.submit("ada@example.com")
    eventually(lambda: finished(view))
    assert system.jobs_of(signup_id)
    assert not [name for name in before if "apply" in name]


def test_no_page_names_a_person_or_a_secret(system: System, view: Flower) -> None:
    for tag in ("", "+403", "+badattr", "+500x1"):
        system.submit(f"canary{tag}@example.com", name="Canaryname")
    eventually(lambda: [task["name"] for task in view.tasks().values()].count("cio_tasks.sync_signup") >= 4)
    [worker] = workers_of(view)
    pages = [*PAGES, *LISTS, f"/worker/{worker}", *(f"/task/{uuid}" for uuid in view.tasks())]
    shown = "".join(view.read(path).text for path in pages)
    assert "cio_tasks.sync_signup" in shown
    assert not [word for word in ("canary", "Canaryname", "example.com", "SECRETCANARY") if word in shown]
