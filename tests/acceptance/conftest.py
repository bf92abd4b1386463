"""The whole system as processes: a worker and beat of Celery, the API under gunicorn, the stand-in Customer.io."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from cio_tasks.cli.stack import Stack, local_stack
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.models import Signup, SyncJob
from cio_tasks.settings import Role
from tests.conftest import TEMPLATE, Server, copied_database
from tests.factories import Factory
from tests.listening import Listener, Teller


@dataclass(frozen=True)
class System:
    """What a test may touch: the API over HTTP, the tables, the broker's server and the other side's ledger."""

    stack: Stack
    sessions: Sessions
    broker: EmbeddedValkey

    def post(self, path: str, body: dict[str, Any], role: Role = Role.APP) -> requests.Response:
        """Call the API as an application does."""
        headers = {"Authorization": f"Bearer {self.stack.tokens[role]}"}
        return requests.post(f"{self.stack.api_url}/api/v1{path}", json=body, headers=headers, timeout=10)

    def submit(self, email: str, *, name: str = "Ada") -> str:
        """Submit a signup and return its id."""
        customer = {"email": email, "firstName": name, "lastName": "Lovelace"}
        answer = self.post("/signups", {"customer": customer, "operatorId": "op-1"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def change_customerio(self, **knobs: Any) -> None:
        """Make the stand-in Customer.io misbehave, or with no knobs behave."""
        requests.put(f"{self.stack.fake_url}/_fake/scenario", json=knobs, timeout=10).raise_for_status()

    def warm_up(self, listener: Listener) -> None:
        """Wait until the API passes on to this client what is told."""
        listener.attune(Teller(self.broker.url), seconds=20)

    def jobs_of(self, signup_id: str) -> list[SyncJob]:
        """Return the jobs of a signup as they are now."""
        return Factory(self.sessions).all(SyncJob, signup_id=UUID(signup_id))

    def contact_of(self, signup_id: str) -> str:
        """Return the identifier under which Customer.io has this signup's person."""
        with self.sessions() as session:
            return str(session.get_one(Signup, UUID(signup_id)).customerio_contact_id)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of one name that the stand-in has."""
        query: dict[str, str | int] = {"name": name, "limit": 10_000}
        answer = requests.get(f"{self.stack.fake_url}/_fake/events", params=query, timeout=10)
        return list(answer.json()["events"])


@pytest.fixture
def state_dir(servers_dir: Path) -> Path:
    return servers_dir / f"system-{uuid4().hex[:8]}"


@pytest.fixture
def broker(state_dir: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(state_dir / "broker") as server:
        yield server


@pytest.fixture
def scale() -> str:
    """How fast the retry schedule runs."""
    return "0.02"


@pytest.fixture
def system(postgres: Server, broker: EmbeddedValkey, state_dir: Path, scale: str) -> Iterator[System]:
    with copied_database(postgres.url, TEMPLATE) as url:
        own = {"DATABASE_URL": url, "REDIS_URL": broker.url, "CIO_TIME_SCALE": scale}
        with local_stack(state_dir / "system", own, fresh=False, tell=lambda *_: None) as stack:
            engine = make_engine(url)
            yield System(stack, make_sessions(engine), broker)
            engine.dispose()
