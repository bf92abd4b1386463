"""Real workers and beats around a Customer.io of this process: small enough to take apart one by one."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, func, make_url, select

from cio_tasks import wake
from cio_tasks.cli.stack import inherited
from cio_tasks.db import make_engine, make_sessions
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.fake import FakeCustomerIO
from cio_tasks.fake.ledger import LedgerEntry
from cio_tasks.models import Heartbeat, Signup, SyncAttempt, SyncJob
from cio_tasks.processes import ManagedProcess, Supervisor
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus
from tests.chaos.proxy import FaultProxy
from tests.eventually import eventually
from tests.factories import Factory

SITE_ID: Final = "crew-site"
API_KEY: Final = "crew-key"
SOCKET: Final = ".s.PGSQL.5432"
SECOND: Final = timedelta(seconds=1)


@dataclass
class Crew:
    """What a test may touch. Its database is behind a proxy for the processes, and not for the test."""

    fake: FakeCustomerIO
    broker: EmbeddedValkey
    postgres: FaultProxy
    engine: Engine
    supervisor: Supervisor
    env: dict[str, str]
    make: Factory
    processes: dict[str, ManagedProcess] = field(default_factory=dict)

    def start(
        self, name: str, role: str = "worker", *, threads: int = 16, prefix: Sequence[str] = (), **settings: str
    ) -> ManagedProcess:
        """Start a worker or a beat, with these settings instead of the others' and run by `prefix` if there is one."""
        options = ["-n", f"{name}@%h", "-c", str(threads), "--without-mingle", "--without-gossip"]
        options = options if role == "worker" else []
        celery = ["-m", "celery", "-A", "cio_tasks.celery_app", role, "--loglevel", "WARNING", *options]
        command = [*(prefix or [sys.executable]), *celery]
        env, folder = {**self.env, **settings}, self.supervisor.state_dir
        self.processes[name] = self.supervisor.start(name, command, env=env, cwd=folder)
        return self.processes[name]

    @property
    def workers(self) -> list[ManagedProcess]:
        """The workers that run."""
        running = [process for process in self.processes.values() if process.is_alive()]
        return [process for process in running if "worker" in process.argv]

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers have said that they consume."""

        def seen() -> int:
            with self.make.sessions() as session:
                recent = Heartbeat.seen_at > func.now() - 30 * SECOND
                return session.scalar(select(func.count()).where(Heartbeat.kind == "worker", recent)) or 0

        eventually(seen, lambda number: number >= count, seconds=60)

    def submit(self, count: int = 1) -> list[Signup]:
        """Store so many signups, as an application does, and wake a worker for each."""
        return [self.make.signup() for _ in range(count)]

    def jobs(self, signups: Sequence[Signup]) -> list[SyncJob]:
        """Return the jobs of these signups as they are now."""
        with self.make.sessions() as session:
            wanted = [signup.id for signup in signups]
            return list(session.scalars(select(SyncJob).where(SyncJob.signup_id.in_(wanted))))

    def attempts(self, signups: Sequence[Signup]) -> list[SyncAttempt]:
        """Return what was tried for these signups."""
        with self.make.sessions() as session:
            wanted = [job.id for job in self.jobs(signups)]
            return list(session.scalars(select(SyncAttempt).where(SyncAttempt.job_id.in_(wanted))))

    def wait_until_delivered(self, signups: Sequence[Signup], *, seconds: float = 120) -> None:
        """Wait until every one of these signups has reached Customer.io and the rows say so."""

        def unfinished() -> Counter[str]:
            return Counter(job.status for job in self.jobs(signups) if job.status != JobStatus.COMPLETED)

        eventually(unfinished, lambda counts: not counts, seconds=seconds)
        assert self.events_of(signups).keys() == {str(signup.id) for signup in signups}

    def events_of(self, signups: Sequence[Signup]) -> Counter[str]:
        """Return how often the event of each of these signups was asked for, in whatever request."""
        wanted = {str(signup.id) for signup in signups}
        return Counter(told for entry in self.fake.ledger.entries() for told in told_of(entry) if told in wanted)


def told_of(entry: LedgerEntry) -> list[str]:
    """Return the signups whose event a request carried."""
    events = [operation for operation in entry["operations"] if operation["event_id"]]
    return [str(operation["attributes"].get("signup_id")) for operation in events]


@contextmanager
def crew(folder: Path, database_url: str, **settings: str) -> Iterator[Crew]:
    """Give a crew without anybody in it, and end whoever was started."""
    with ExitStack() as stack:
        fake = stack.enter_context(FakeCustomerIO(site_id=SITE_ID, api_key=API_KEY))
        broker = stack.enter_context(EmbeddedValkey(folder / "broker"))
        socket_folder = Path(str(make_url(database_url).query["host"]))
        postgres = stack.enter_context(FaultProxy(socket_folder / SOCKET, name="postgres"))
        supervisor = stack.enter_context(Supervisor(folder / "processes", grace=20 * SECOND))
        engine = make_engine(database_url)
        stack.callback(engine.dispose)
        own = settings_of(database_url, broker, postgres, fake) | settings
        wake.configure(Settings.from_env(own))
        stack.callback(wake.configure, Settings.from_env({}))
        env = {**inherited(), **own, "PYTHONUNBUFFERED": "1"}
        yield Crew(fake, broker, postgres, engine, supervisor, env, Factory(make_sessions(engine)))


def settings_of(
    database_url: str, broker: EmbeddedValkey, postgres: FaultProxy, fake: FakeCustomerIO
) -> dict[str, str]:
    """Return the settings of all processes: a sweep twice a second, and small batches."""
    through: Any = make_url(database_url).set(host="127.0.0.1", port=postgres.port, query={"sslmode": "disable"})
    return {
        "DATABASE_URL": through.render_as_string(hide_password=False),
        "REDIS_URL": broker.url,
        "CUSTOMERIO_TRACK_URL": fake.url,
        "CUSTOMERIO_SITE_ID": SITE_ID,
        "CUSTOMERIO_API_KEY": API_KEY,
        "CIO_TIME_SCALE": "0.05",
        "CIO_BATCH_SIZE": "5",
        "CIO_STUCK_AFTER": "31",
        "CIO_RATE_LIMIT": "1000",
    }
