"""The system under test as processes of this machine, with a breakable connection to each of its three neighbours."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import redis
import requests
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from cio_tasks.cli.stack import answers, inherited
from cio_tasks.embedded import EmbeddedPostgres, EmbeddedValkey, create_database
from cio_tasks.failpoints import FIRED, Action, Failpoint, token_name
from cio_tasks.processes import ManagedProcess, RestartPolicy, Supervisor, free_port
from cio_tasks.schema import upgrade
from cio_tasks.settings import Role
from tests.chaos.proxy import HOST, FaultProxy, Target

SITE_ID: Final = "chaos-site"
SOCKET: Final = ".s.PGSQL.5432"
READY_WITHIN: Final = timedelta(seconds=60)
GRACE: Final = timedelta(seconds=5)
SECRETS: Final = ("CUSTOMERIO_API_KEY", "CUSTOMERIO_WEBHOOK_SECRET", "CIO_SECRET_KEY")
ALWAYS: Final = RestartPolicy(
    limit=1_000_000, backoff=timedelta(milliseconds=50), longest_backoff=timedelta(milliseconds=200)
)
ACTIONS: Final = (Action.KILL, Action.STOP)
UNFINISHED: Final = text("SELECT count(*) FROM signup_customerio_sync_jobs WHERE status IN ('pending', 'processing')")


class LeftBehind(AssertionError):
    """Something that a run started is still running."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large and how fast the system is. `stuck_after` is in seconds and knows no scale: a call may take 15 s."""

    workers: int = 2
    steady: bool = False
    """Whether a worker and an API run beside the others that are never killed, to see what a long life does to them."""
    time_scale: float = 0.02
    stuck_after: float = 31.0
    batch_size: int = 50


class SecondBeat:
    """A beat beside the first one, for some of the time."""

    def __init__(self, start: Callable[[], ManagedProcess]) -> None:
        self._start = start
        self._process: ManagedProcess | None = None

    def start(self) -> None:
        """Let two beats tick."""
        if self._process is None:
            self._process = self._start()
        else:
            self._process.restart()

    def stop(self) -> bool:
        """Leave the first one alone again; return whether there were two until now."""
        if self._process is None or not self._process.is_alive():
            return False
        self._process.terminate(GRACE)
        return True


@dataclass(frozen=True)
class System:
    """What runs. The nemesis breaks it, the load uses it, and nobody else touches it."""

    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    proxies: Mapping[str, FaultProxy]
    """By neighbour: `postgres`, `redis`, `customerio`."""
    supervisor: Supervisor
    workers: tuple[ManagedProcess, ...]
    beat: ManagedProcess
    second_beat: SecondBeat
    web: ManagedProcess
    steady: tuple[ManagedProcess, ...]
    engine: Engine
    """To the database itself, past the proxy."""
    api_urls: tuple[str, ...]
    """The first is of the API that gets killed."""
    fake_url: str
    token: str
    operator_token: str
    webhook_secret: str
    secrets: Mapping[str, str]
    """What may be in no log, no message and no metric, by what it is called."""
    ledger: Path

    @property
    def api_url(self) -> str:
        """Where the API is that gets killed."""
        return self.api_urls[0]

    # --- what can be done to it ---------------------------------------------------------------------------------------

    def kill(self, process: ManagedProcess) -> bool:
        """SIGKILL a process, which is started again; return whether it ran."""
        return send(process.pid, signal.SIGKILL)

    def kill_web_worker(self) -> bool:
        """SIGKILL the process that serves the requests; gunicorn starts another."""
        return sum(send(child.pid, signal.SIGKILL) for child in children(self.web.pid)) > 0

    def permit(self, point: Failpoint, action: Action) -> Path:
        """Let the next process that passes a failpoint do this; the file is gone when it has."""
        token = self.folder / "failpoints" / token_name(point, action)
        token.touch()
        return token

    def wake_stopped(self) -> int:
        """Let every process that was stopped go on; return how many."""
        mine = [process for process in self.members() if process.status() == psutil.STATUS_STOPPED]
        return sum(send(process.pid, signal.SIGCONT) for process in mine)

    def members(self) -> list[psutil.Process]:
        """Return all processes of the supervisor, with their children."""
        leaders = [process.pid for process in self.supervisor.processes if process.is_alive()]
        found = []
        for pid in leaders:
            try:
                leader = psutil.Process(pid)
                found += [leader, *leader.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def change_customerio(self, **knobs: Any) -> None:
        """Make the stand-in Customer.io misbehave, or with no knobs behave."""
        requests.put(f"{self.fake_url}/_fake/scenario", json=knobs, timeout=10).raise_for_status()

    def flush_redis(self) -> bool:
        """Empty Redis; return whether it answered."""
        with redis.Redis.from_url(self.valkey.url, socket_timeout=2) as client:
            try:
                return bool(client.flushall())
            except redis.RedisError:
                return False

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    def count_unfinished(self) -> int:
        """Return how many jobs have not ended."""
        with self.engine.connect() as connection:
            return int(connection.scalar(UNFINISHED) or 0)

    def fired(self) -> list[tuple[str, str]]:
        """Return the failpoints that fired, with what they did, in their order."""
        notes = self.folder / "failpoints" / FIRED
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]


@contextmanager
def running_system(folder: Path, shape: Shape) -> Iterator[System]:
    """Start everything, and end it in reverse order.

    Raises:
        LeftBehind: something it started is still running afterwards.
    """
    try:
        with ExitStack() as stack:
            yield _start(stack, folder, shape)
    finally:
        if left := still_running(folder):
            raise LeftBehind(f"still running: {left}")


def still_running(folder: Path) -> list[str]:
    """Return the processes whose command line or environment speaks of `folder`, this one aside."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ", "status"]):
        if process.info["pid"] == os.getpid() or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        if any(str(folder) in word for word in words) and not is_ancestor(process.info["pid"]):
            found.append(" ".join(process.info["cmdline"] or []))
    return found


def is_ancestor(pid: int) -> bool:
    """Tell whether a process is above this one: a shell whose command line names the folder is no leftover."""
    return pid in {parent.pid for parent in psutil.Process().parents()}


def _start(stack: ExitStack, folder: Path, shape: Shape) -> System:
    (folder / "failpoints").mkdir(parents=True)
    postgres = stack.enter_context(EmbeddedPostgres(folder / "stores", durable=False))
    valkey = stack.enter_context(EmbeddedValkey(folder / "stores"))
    url = create_database(postgres.facts.url, "ciosync")
    upgrade(url)
    engine = create_engine(url, poolclass=NullPool)
    fake_port, api_port, steady_port = free_port(), free_port(), free_port()
    targets: dict[str, Target] = {
        "postgres": postgres.socket_folder / SOCKET,
        "redis": (HOST, valkey.port),
        "customerio": (HOST, fake_port),
    }
    proxies = {name: stack.enter_context(FaultProxy(target, name=name)) for name, target in targets.items()}
    supervisor = stack.enter_context(Supervisor(folder / "processes", policy=ALWAYS, grace=GRACE))
    settings = settings_of(folder, shape, url, proxies)
    start = _Starter(supervisor, {**inherited(), **settings, "PYTHONUNBUFFERED": "1"})
    fake_url, ledger = start.customerio(fake_port, folder)
    workers = tuple(start.worker(f"worker{number}") for number in range(shape.workers))
    return System(
        folder=folder,
        postgres=postgres,
        valkey=valkey,
        proxies=proxies,
        supervisor=supervisor,
        workers=workers,
        beat=start.beat("beat"),
        second_beat=SecondBeat(lambda: start.beat("beat2")),
        web=start.web("web", api_port),
        steady=start.steady(steady_port) if shape.steady else (),
        engine=engine,
        api_urls=tuple(f"http://{HOST}:{port}/api/v1" for port in (api_port, steady_port)[: 1 + shape.steady]),
        fake_url=fake_url,
        token=token_of(settings, Role.APP),
        operator_token=token_of(settings, Role.OPERATOR),
        webhook_secret=settings["CUSTOMERIO_WEBHOOK_SECRET"],
        secrets={name: settings[name] for name in SECRETS}
        | {f"token of {role}": token_of(settings, role) for role in Role},
        ledger=ledger,
    )


def settings_of(folder: Path, shape: Shape, url: str, proxies: Mapping[str, FaultProxy]) -> dict[str, str]:
    """Return the environment of the processes: every neighbour behind its proxy, every failpoint waiting for a token."""
    through = make_url(url).set(host=HOST, port=proxies["postgres"].port, query={"sslmode": "disable"})
    orders = [f"dir={folder / 'failpoints'}"]
    orders += [f"{point}={action}!token" for point in Failpoint for action in ACTIONS]
    return {
        "DATABASE_URL": through.render_as_string(hide_password=False),
        "REDIS_URL": f"redis://{HOST}:{proxies['redis'].port}/0",
        "CUSTOMERIO_TRACK_URL": f"http://{HOST}:{proxies['customerio'].port}",
        "CUSTOMERIO_SITE_ID": SITE_ID,
        "CUSTOMERIO_API_KEY": secrets.token_urlsafe(16),
        "CUSTOMERIO_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        "CIO_API_TOKENS": ",".join(f"chaos-{role}:{role}:{secrets.token_urlsafe(24)}" for role in Role),
        "CIO_SECRET_KEY": secrets.token_urlsafe(32),
        "CIO_TIME_SCALE": str(shape.time_scale),
        "CIO_STUCK_AFTER": str(shape.stuck_after),
        "CIO_BATCH_SIZE": str(shape.batch_size),
        "CIO_RATE_LIMIT": "1000",
        "CIO_FAILPOINTS": ";".join(orders),
    }


def token_of(settings: Mapping[str, str], role: Role) -> str:
    """Return the token of a role."""
    return next(entry.split(":")[2] for entry in settings["CIO_API_TOKENS"].split(",") if entry.split(":")[1] == role)


class _Starter:
    """Starts the processes, all in the same environment."""

    def __init__(self, supervisor: Supervisor, env: Mapping[str, str]) -> None:
        self._supervisor = supervisor
        self._env = dict(env)

    def customerio(self, port: int, folder: Path) -> tuple[str, Path]:
        url, ledger = f"http://{HOST}:{port}", folder / "ledger.jsonl"
        arguments = ["--host", HOST, "--port", str(port), "--ledger", str(ledger)]
        self._start("customerio", ["cio_tasks", "fake", "serve", *arguments], lambda: answers(f"{url}/_fake/health"))
        return url, ledger

    def worker(self, name: str) -> ManagedProcess:
        return self._celery(name, "worker", "-n", f"{name}@%h", "--without-mingle", "--without-gossip")

    def beat(self, name: str) -> ManagedProcess:
        return self._celery(name, "beat")

    def steady(self, port: int) -> tuple[ManagedProcess, ...]:
        """Start a worker and an API that pass every failpoint unharmed."""
        env = {name: value for name, value in self._env.items() if name != "CIO_FAILPOINTS"}
        unharmed = _Starter(self._supervisor, env)
        return unharmed.worker("steady_worker"), unharmed.web("steady_web", port)

    def web(self, name: str, port: int) -> ManagedProcess:
        argv = ["gunicorn", "-k", "gthread", "-w", "1", "--threads", "32", "-b", f"{HOST}:{port}"]
        argv += ["--no-control-socket", "api.wsgi:app"]
        return self._start(name, argv, lambda: answers(f"http://{HOST}:{port}/readyz"))

    def _celery(self, name: str, role: str, *arguments: str) -> ManagedProcess:
        return self._start(name, ["celery", "-A", "cio_tasks.celery_app", role, "--loglevel", "WARNING", *arguments])

    def _start(self, name: str, argv: list[str], ready: Callable[[], bool] | None = None) -> ManagedProcess:
        return self._supervisor.start(
            name,
            [sys.executable, "-m", *argv],
            env=self._env,
            cwd=self._supervisor.state_dir,
            ready=ready,
            ready_timeout=READY_WITHIN,
        )


def children(pid: int) -> list[psutil.Process]:
    """Return the children of a process; none when it is gone."""
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether there was somebody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
