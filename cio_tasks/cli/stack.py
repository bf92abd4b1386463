"""Everything on this machine: servers, the stand-in Customer.io, worker, beat and API, for `demo` and `dev`.

What the environment names already is used; the rest is started, on loopback and free ports, and stopped in order.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psycopg2.errors
import requests
from sqlalchemy import make_url

from cio_tasks.embedded import EmbeddedServer, create_database, drop_database, embedded_postgres, embedded_valkey
from cio_tasks.processes import Supervisor, free_port
from cio_tasks.processes.managed import ManagedProcess
from cio_tasks.schema import upgrade
from cio_tasks.settings import Role, Settings

DATABASE: Final = "ciosync"
HOST: Final = "127.0.0.1"
READY_WITHIN: Final = timedelta(seconds=60)

Tell = Callable[[str, str], None]
"""Called with a name and a line about it for each part that is up."""


@dataclass(frozen=True)
class Stack:
    """What runs, and how to reach it."""

    settings: Settings
    api_url: str
    fake_url: str | None
    tokens: dict[Role, str]
    logs: Path
    supervisor: Supervisor
    own_processes: tuple[ManagedProcess, ...]


@contextmanager
def local_stack(
    state_dir: Path,
    environment: dict[str, str],
    *,
    fresh: bool,
    tell: Tell,
    reload: Sequence[str] = (),
    python: str = sys.executable,
) -> Iterator[Stack]:
    """Start all parts and stop them in reverse order, also after Ctrl-C.

    `environment` holds settings by their names; `fresh` empties the database that we start ourselves. `reload` is
    given to the API's server. `python` runs worker, beat and API: the interpreter of this or of another installation.

    Raises:
        EmbeddedError, StateInUse, ProcessFailed: when a part does not start; the message ends with its log.
        ConfigurationError: when the settings are at fault.
    """
    with ExitStack() as stack:
        own = dict(environment)
        Settings.from_env(own)  # a fault is told before anything has started
        tokens = _add_tokens(own)
        _add_stores(stack, state_dir, own, fresh=fresh, tell=tell)
        supervisor = stack.enter_context(Supervisor(state_dir))
        if supervisor.leftovers:
            tell("Left over", f"ended {len(supervisor.leftovers)} processes of a run that was killed")
        fake_url = _add_customerio(supervisor, state_dir, own, tell)
        settings = Settings.from_env(own)
        tell("Migrations", f"at head ({upgrade(settings.required_database_url())})")
        api_url, processes = _start_processes(supervisor, own, tell, python, reload)
        yield Stack(settings, api_url, fake_url, tokens, state_dir / "logs", supervisor, processes)


def _add_tokens(own: dict[str, str]) -> dict[Role, str]:
    """Make a token of each role for this run, beside those that are set."""
    tokens = {role: secrets.token_urlsafe(24) for role in Role}
    made = [f"local-{role}:{role}:{token}" for role, token in tokens.items()]
    own["CIO_API_TOKENS"] = ",".join([*filter(None, [own.get("CIO_API_TOKENS")]), *made])
    own.setdefault("CIO_SECRET_KEY", secrets.token_urlsafe(32))
    return tokens


def _add_stores(stack: ExitStack, state_dir: Path, own: dict[str, str], *, fresh: bool, tell: Tell) -> None:
    if "DATABASE_URL" in own:
        tell("Postgres", "yours (DATABASE_URL)")
    else:
        server = stack.enter_context(embedded_postgres(state_dir))
        own["DATABASE_URL"] = _own_database(server.url, fresh=fresh)
        tell("Postgres", _describe(server))
    if "REDIS_URL" in own:
        tell("Redis", "yours (REDIS_URL)")
    else:
        valkey = stack.enter_context(embedded_valkey(state_dir))
        own["REDIS_URL"] = valkey.url
        tell("Redis", _describe(valkey.facts))


def _own_database(server_url: str, *, fresh: bool) -> str:
    if fresh:
        drop_database(server_url, DATABASE)
    try:
        return create_database(server_url, DATABASE)
    except psycopg2.errors.DuplicateDatabase:
        return make_url(server_url).set(database=DATABASE).render_as_string(hide_password=False)


def _describe(server: EmbeddedServer) -> str:
    notes = "".join(f"\n  {note}" for note in server.notes)
    return f"{server.version}, own, {server.address} ({server.started_in.total_seconds():.1f} s){notes}"


def _add_customerio(supervisor: Supervisor, state_dir: Path, own: dict[str, str], tell: Tell) -> str | None:
    """Start the stand-in Customer.io unless credentials are set, and return its address."""
    if own.get("CUSTOMERIO_SITE_ID"):
        tell("Customer.io", "the real one: CUSTOMERIO_SITE_ID is set")
        return None
    site_id, api_key, port = "local-site", secrets.token_urlsafe(16), free_port()
    url = f"http://{HOST}:{port}"
    ledger = state_dir / "ledger.jsonl"
    ledger.unlink(missing_ok=True)
    arguments = ["--host", HOST, "--port", str(port), "--ledger", str(ledger)]
    credentials = {"CUSTOMERIO_SITE_ID": site_id, "CUSTOMERIO_API_KEY": api_key}
    credentials |= {"CUSTOMERIO_APP_API_KEY": secrets.token_urlsafe(16)}
    supervisor.start(
        "customerio",
        [sys.executable, "-m", "cio_tasks", "fake", "serve", *arguments],
        env={**inherited(), **credentials},
        ready=lambda: answers(f"{url}/_fake/health"),
        ready_timeout=READY_WITHIN,
    )
    own |= {**credentials, "CUSTOMERIO_TRACK_URL": url, "CUSTOMERIO_APP_URL": url, "CUSTOMERIO_STATUS_URL": url}
    tell("Customer.io", f"a stand-in, {url}")
    return url


def _start_processes(
    supervisor: Supervisor, own: dict[str, str], tell: Tell, python: str, reload: Sequence[str]
) -> tuple[str, tuple[ManagedProcess, ...]]:
    env = {**inherited(), **own, "PYTHONUNBUFFERED": "1"}
    cwd = supervisor.state_dir  # and not the folder we are called from, whose modules would come first
    celery = [python, "-m", "celery", "-A", "cio_tasks.celery_app"]
    worker = supervisor.start("worker", [*celery, "worker", "--loglevel", "INFO", "-n", "worker@%h"], env=env, cwd=cwd)
    beat = supervisor.start("beat", [*celery, "beat", "--loglevel", "INFO"], env=env, cwd=cwd)
    port = free_port()
    url = f"http://{HOST}:{port}"
    gunicorn = [python, "-m", "gunicorn", "-k", "gthread", "-w", "1", "--threads", "32"]
    api = supervisor.start(
        "api",
        [*gunicorn, "-b", f"{HOST}:{port}", "--no-control-socket", *reload, "api.wsgi:app"],
        env=env,
        cwd=cwd,
        ready=lambda: answers(f"{url}/readyz"),
        ready_timeout=READY_WITHIN,
    )
    tell("Worker, beat", f"process ids {worker.pid}, {beat.pid}")
    tell("API", url)
    return url, (worker, beat, api)


def inherited() -> dict[str, str]:
    """Return this process's environment without any setting of ours, for the processes that we start."""
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return {name: value for name, value in os.environ.items() if name not in names}


def answers(url: str) -> bool:
    """Tell whether a GET of `url` answers 200 within a second."""
    try:
        return bool(requests.get(url, timeout=1).status_code == HTTPStatus.OK)
    except requests.RequestException:
        return False
