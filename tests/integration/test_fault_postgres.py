"""Postgres in trouble: full, failed over, restarted in the middle of a sweep, or of a migration."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import cursor
from pydantic import SecretStr
from sqlalchemy import TextClause, create_engine, func, make_url, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from api import create_app
from cio_tasks import failpoints, maintenance
from cio_tasks.db import make_engine, make_sessions
from cio_tasks.embedded import EmbeddedPostgres, create_database, drop_database
from cio_tasks.embedded.system_user import server_account
from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import Signup, SyncAttempt, SyncJob
from cio_tasks.processor import Summary, process_due
from cio_tasks.runtime import Runtime
from cio_tasks.schema import newest_version, upgrade
from cio_tasks.settings import Settings
from cio_tasks.states import JobStatus
from tests.api.callers import Caller
from tests.concurrency.together import crowd
from tests.conftest import TEMPLATE, Server
from tests.eventually import eventually
from tests.factories import Factory

STUCK = 250
SMALL = "size=32m"
UPGRADE = "import sys; from cio_tasks.schema import upgrade; upgrade(sys.argv[1])"
SLEEPING = text("""
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()
""")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
REACHED = text("SELECT version_num FROM alembic_version")
STALE = {"status": JobStatus.PROCESSING, "claim_token": 1, "claimed_by": "the dead one"}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


# --- restarted in the middle ------------------------------------------------------------------------------------------


@pytest.fixture
def _slow_reaper() -> Iterator[None]:
    """The first lot of stuck jobs waits for a while before it is committed."""
    failpoints.arm("reaper.before_commit=sleep(1500)@1")
    yield
    failpoints.arm(None)


def find_sleeping(make: Factory) -> int | None:
    """Return whose transaction is open. One transaction always sees the same activity, so each look is a new one."""
    with make.sessions() as session:
        return cast("int | None", session.scalar(SLEEPING))


def end_backend(make: Factory, pid: int | None) -> None:
    with make.sessions() as session:
        session.execute(select(func.pg_terminate_backend(pid)))


@pytest.mark.usefixtures("_slow_reaper")
def test_a_connection_lost_while_stuck_jobs_are_taken_back_leaves_them_to_the_next_sweep(
    runtime: Runtime, make: Factory, pool: ThreadPoolExecutor
) -> None:
    crowd(make.sessions, STUCK)
    with make.sessions.begin() as session:
        session.execute(update(SyncJob).values(updated_at=func.now() - timedelta(hours=1), **STALE))
    sweeping = pool.submit(maintenance.reset_stuck, runtime)
    end_backend(make, eventually(lambda: find_sleeping(make)))
    with pytest.raises(OperationalError):
        sweeping.result()
    after_it = {job.status for job in make.all(SyncJob)}

    assert (after_it, maintenance.reset_stuck(runtime)) == ({JobStatus.PROCESSING}, STUCK)
    assert {job.attempt_count for job in make.all(SyncJob)} == {1}
    assert process_due(runtime, limit=1_000).succeeded == STUCK


@pytest.fixture
def empty_url(postgres: Server) -> Iterator[str]:
    name = f"empty_{uuid4().hex}"
    yield create_database(postgres.url, name)
    drop_database(postgres.url, name)


def test_a_migration_that_was_killed_is_finished_by_the_next(empty_url: str) -> None:
    """It waits for a table of its second step when it dies: the first step stands, the second has not happened."""
    engine = create_engine(empty_url, poolclass=NullPool)

    def ask(question: TextClause) -> Any:
        with engine.connect() as connection:
            return connection.scalar(question)

    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE customerio_webhook_events (id int)"))
        migrating = subprocess.Popen([sys.executable, "-c", UPGRADE, empty_url])
        eventually(lambda: ask(WAITING), seconds=60)
        migrating.kill()
        migrating.wait()
        connection.rollback()

    assert (ask(REACHED), upgrade(empty_url)) == ("0001", newest_version())


# --- no room left -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(servers_dir: Path) -> Iterator[Path]:
    """A file system of a few megabytes; only root can make one."""
    folder = servers_dir / f"small-{uuid4().hex[:8]}"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL, "none", str(folder)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def full_database(postgres: Server, small_disk: Path) -> Iterator[str]:
    """A database whose tables are on the small disk; the log of the server is elsewhere."""
    name = f"small_{uuid4().hex}"
    tables = small_disk / "tables"
    tables.mkdir()
    owner = Path(str(make_url(postgres.url).query["host"])).stat()
    os.chown(tables, owner.st_uid, owner.st_gid)
    with server_session(postgres.url) as cursor:
        cursor.execute(f"CREATE TABLESPACE {name} LOCATION '{tables}'")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} TABLESPACE {name}")
        yield make_url(postgres.url).set(database=name).render_as_string(hide_password=False)
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"DROP TABLESPACE {name}")


@contextmanager
def server_session(url: str) -> Iterator[cursor]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as opened:
        connection.autocommit = True
        yield opened


def fill(disk: Path) -> Path:
    """Leave no byte on a disk; return what to remove."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    return filler


def test_a_full_disk_is_answered_with_503_and_nothing_half_done(
    settings: Settings, small_disk: Path, full_database: str
) -> None:
    app = create_app(settings.model_copy(update={"database_url": SecretStr(full_database)}))
    shop, filler = Caller(app, "app-token"), fill(small_disk)
    answers = [shop.submit(externalId=f"full-{number}", customer__phone=None) for number in range(80)]
    filler.unlink()
    after = shop.submit(externalId="after").status_code
    with app.extensions["database"].sessions() as session:
        signups, jobs = (session.scalar(select(func.count()).select_from(model)) for model in (Signup, SyncJob))
    app.extensions["database"].close()
    taken = [answer.status_code for answer in answers].count(201)

    assert {answer.status_code for answer in answers} <= {201, 503}
    assert (answers[-1].status_code, answers[-1].json["code"], after) == (503, "unavailable", 201)
    assert signups == jobs == taken + 1


# --- failed over ------------------------------------------------------------------------------------------------------


@contextmanager
def standby_of(primary: EmbeddedPostgres, folder: Path) -> Iterator[EmbeddedPostgres]:
    """Copy a running server, and follow it: from then on it commits nothing that its standby does not have."""
    standby = EmbeddedPostgres(folder, durable=False)
    standby.folder.mkdir(parents=True)
    account = server_account(primary.data)
    if account is not None:
        os.chown(standby.folder, account.uid, account.gid)
    source = f"-h {primary.socket_folder} -U postgres -X stream -R -c fast -D {standby.data}"
    copying = standby._run([str(primary._install / "bin" / "pg_basebackup"), *source.split()], account)
    eventually(lambda: not copying.is_alive(), seconds=60)
    with standby, server_session(primary.facts.url) as cursor:
        cursor.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        cursor.execute("SELECT pg_reload_conf()")
        eventually(lambda: list_followers(cursor) == [("sync",)], seconds=60)
        yield standby
        standby.kill()


def list_followers(cursor: cursor) -> list[tuple[str]]:
    cursor.execute("SELECT sync_state FROM pg_stat_replication")
    return cast("list[tuple[str]]", cursor.fetchall())


def either(primary: EmbeddedPostgres, standby: EmbeddedPostgres, database: str) -> str:
    """Return the address of whichever of the two takes writes, as libpq finds it out."""
    hosts = [f"{server.socket_folder}:5432" for server in (primary, standby)]
    url = make_url(primary.facts.url).set(database=database)
    return url.update_query_dict({"host": hosts, "target_session_attrs": "read-write"}).render_as_string(False)


@pytest.fixture
def pair() -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    """A server of ours with a migrated database, and its standby."""
    with (
        TemporaryDirectory(prefix="ciosync-") as folder,
        EmbeddedPostgres(Path(folder) / "a", durable=False) as primary,
    ):
        upgrade(create_database(primary.facts.url, "ciosync"))
        with standby_of(primary, Path(folder) / "b") as standby:
            yield primary, standby


def test_a_failover_to_a_synchronous_standby_in_mid_delivery_costs_neither_a_job_nor_a_repeat(
    pair: tuple[EmbeddedPostgres, EmbeddedPostgres], runtime: Runtime, fake: FakeCustomerIO, pool: ThreadPoolExecutor
) -> None:
    primary, standby = pair
    engine = make_engine(either(primary, standby, "ciosync"))
    worker = replace(runtime, sessions=make_sessions(engine))
    crowd(worker.sessions, 10)
    fake.scenario = Scenario(latency_seconds=0.5)
    delivering = pool.submit(process_due, worker, limit=10)
    eventually(fake.ledger.count)
    primary.kill()
    with server_session(standby.facts.url) as cursor:
        cursor.execute("SELECT pg_promote()")
    summary, rows = delivering.result(), Factory(worker.sessions)

    assert (summary, fake.ledger.count()) == (Summary(processed=10, succeeded=10), 1)
    assert {(job.status, job.attempt_count) for job in rows.all(SyncJob)} == {(JobStatus.COMPLETED, 0)}
    assert len(rows.all(SyncAttempt)) == 10
    engine.dispose()
