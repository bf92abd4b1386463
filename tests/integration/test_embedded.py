"""PostgreSQL and Valkey from wheels: started, found again after a crash, and ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import psutil
import psycopg2
import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from cio_tasks.embedded import (
    EmbeddedError,
    EmbeddedPostgres,
    EmbeddedValkey,
    StateInUse,
    create_database,
    drop_database,
    embedded_postgres,
    embedded_valkey,
)
from cio_tasks.embedded.server import wheel_folder
from cio_tasks.processes import ProcessRecord, wait_until

SOON = timedelta(seconds=15)

HOLDER = """
import json, sys, time
from pathlib import Path
import psycopg2
from redis import Redis
from cio_tasks.embedded import embedded_postgres, embedded_valkey

folder = Path(sys.argv[1])
with embedded_postgres(folder, durable=False) as postgres, embedded_valkey(folder) as valkey:
    try:
        print(json.dumps([postgres.pid, valkey.facts.pid]), flush=True)
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        psycopg2.connect(postgres.url.replace("+psycopg2", "")).close()
        print(json.dumps(Redis.from_url(valkey.url).ping()), flush=True)
"""

WITHOUT_EXTRA = """
import sys
from pathlib import Path
sys.modules["psutil"] = None
from cio_tasks.embedded import EmbeddedError, embedded_valkey
from cio_tasks.processes import Supervisor

for start in (embedded_valkey, Supervisor):
    try:
        with start(Path(sys.argv[1])):
            pass
    except EmbeddedError as error:
        print(error)
"""


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder below one that is shut (0700); emptied, for pytest keeps three runs and a cluster has 40 MB."""
    yield tmp_path / "state"
    shutil.rmtree(tmp_path / "state", ignore_errors=True)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket, which pytest's own may not."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def holder(state_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A Python that holds both servers, as a foreground job with a process group of its own."""
    argv = [sys.executable, "-c", HOLDER, str(state_dir)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    yield process
    process.kill()
    process.communicate()


def said(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def runs(pid: int) -> bool:
    return ProcessRecord.find(pid) is not None


def query(url: str, statement: str) -> Any:
    """Run one statement in a connection and transaction of its own; return its one value, if it has any."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar_one() if result.returns_rows else None


def redis(server: EmbeddedValkey) -> "closing[Redis]":
    return closing(Redis.from_url(server.url, socket_timeout=5))


def test_postgres_answers_and_is_gone_after_the_context(state_dir: Path) -> None:
    with embedded_postgres(state_dir, durable=False) as server:
        assert query(server.url, "SELECT 1") == 1
        assert query(server.url, "SHOW server_version") == server.version
        assert server.name == "PostgreSQL"
        assert Path(server.address).is_socket()
        assert runs(server.pid)
        assert timedelta(0) < server.started_in < SOON
        backends = psutil.Process(server.pid).children()
        assert backends
    assert not any(runs(process.pid) for process in backends)
    assert not runs(server.pid)
    assert not Path(server.address).exists()


def test_postgres_has_utf8_utc_trigrams_and_many_connections(state_dir: Path) -> None:
    with embedded_postgres(state_dir, durable=False) as server:
        assert query(server.url, "SHOW server_encoding") == "UTF8"
        assert query(server.url, "SHOW timezone") == "UTC"
        assert int(query(server.url, "SHOW max_connections")) >= 200
        query(server.url, "CREATE EXTENSION pg_trgm")
        assert query(server.url, "SELECT cardinality(show_trgm('Zoë'))") == 4
        assert query(server.url, "SELECT lower('ŁÓDŹ')") == "łódź"


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_only_a_durable_postgres_waits_for_the_disk(state_dir: Path, durable: bool, fsync: str) -> None:
    with embedded_postgres(state_dir, durable=durable) as server:
        for setting in ("fsync", "full_page_writes"):
            assert query(server.url, f"SHOW {setting}") == fsync


def test_second_start_keeps_the_data_and_is_faster(state_dir: Path) -> None:
    with embedded_postgres(state_dir, durable=False) as first:
        query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded_postgres(state_dir, durable=False) as second:
        assert query(second.url, "SELECT answer FROM kept") == 42
    assert second.url == first.url
    assert second.started_in < first.started_in


@pytest.mark.parametrize(
    ("name", "socket_is_within"),
    [("x" * 120, False), ("a, b", False), ("a \"b\" 'c' é %41", True)],
    ids=["longer than a socket path", "a comma", "odd characters"],
)
def test_postgres_takes_any_folder(short_dir: Path, name: str, socket_is_within: bool) -> None:
    with embedded_postgres(short_dir / name, durable=False) as server:
        assert query(server.url, "SELECT 1") == 1
        assert Path(server.address).is_relative_to(short_dir) is socket_is_within
    assert not Path(server.address).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL a user")
def test_root_lends_postgres_a_user_and_a_way_through_shut_folders(state_dir: Path) -> None:
    shut = state_dir / "shut"
    shut.mkdir(mode=0o700, parents=True)
    with EmbeddedPostgres(shut, durable=False) as server:
        assert psutil.Process(server.facts.pid).uids().effective != 0
        assert server.data.stat().st_mode & 0o077 == 0
        assert f"chmod o+x {shut}: the user embedded_postgres has to pass through" in server.facts.notes


def test_killed_postgres_starts_again_with_all_it_committed(state_dir: Path) -> None:
    with EmbeddedPostgres(state_dir, durable=False) as server:
        query(server.facts.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        assert not server.is_running()
        assert query(server.start().url, "SELECT answer FROM kept") == 42


def test_postmaster_killed_alone_starts_again(state_dir: Path) -> None:
    with EmbeddedPostgres(state_dir, durable=False) as server:
        with closing(psycopg2.connect(server.facts.url.replace("+psycopg2", ""))):
            os.kill(server.facts.pid, signal.SIGKILL)
            wait_until(lambda: not server.is_running(), SOON)
            server.start()
        assert query(server.facts.url, "SELECT 1") == 1


def test_pid_file_that_names_a_stranger_of_the_same_user_stops_no_start(state_dir: Path) -> None:
    with EmbeddedPostgres(state_dir, durable=False) as server:
        server.kill()
        stranger = subprocess.Popen(["sleep", "600"], user=server.data.stat().st_uid)
        try:
            pid_file = server.data / "postmaster.pid"
            pid_file.write_text(pid_file.read_text().replace(str(server.facts.pid), str(stranger.pid), 1))
            assert query(server.start().url, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


def test_data_of_another_major_version_is_refused(state_dir: Path) -> None:
    with EmbeddedPostgres(state_dir, durable=False) as server:
        server.stop()
        (server.data / "PG_VERSION").write_text("17\n")
        with pytest.raises(EmbeddedError, match="was made by PostgreSQL 17, and this is 18") as caught:
            server.start()
        assert caught.value.hint


def test_postgres_that_cannot_start_shows_its_log(state_dir: Path) -> None:
    with EmbeddedPostgres(state_dir, durable=False) as server:
        server.stop()
        (server.data / "postgresql.conf").write_text("nonsense = 1\n")
        with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "nonsense"'):
            server.start()


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "killed before it was recorded"])
def test_next_start_ends_what_a_killed_holder_left(
    holder: "subprocess.Popen[str]", state_dir: Path, recorded: bool
) -> None:
    postgres_pid, valkey_pid = said(holder)
    holder.kill()
    holder.wait()
    assert runs(postgres_pid)
    assert runs(valkey_pid)
    if not recorded:
        (state_dir / "postgres" / "process.json").unlink()
    with embedded_postgres(state_dir, durable=False) as postgres, embedded_valkey(state_dir) as valkey:
        assert not runs(postgres_pid)
        assert not runs(valkey_pid)
        assert query(postgres.url, "SELECT 1") == 1
        with redis(valkey) as client:
            assert client.ping()


def test_ctrl_c_reaches_no_server_before_the_contexts_end(holder: "subprocess.Popen[str]") -> None:
    pids = said(holder)
    os.killpg(holder.pid, signal.SIGINT)
    assert said(holder) is True
    assert holder.wait(SOON.total_seconds()) == 0
    assert not any(map(runs, pids))


@pytest.mark.parametrize("start", [embedded_postgres, embedded_valkey])
def test_second_holder_is_told_who_holds_the_folder(state_dir: Path, start: Callable[[Path], Any]) -> None:
    with start(state_dir):
        with pytest.raises(StateInUse, match=f"in use by process {os.getpid()}") as caught, start(state_dir):
            pass
        assert caught.value.facts["pid"] == os.getpid()
    with start(state_dir):
        pass


def test_valkey_answers_on_the_loopback_and_is_gone_after_the_context(state_dir: Path) -> None:
    with embedded_valkey(state_dir) as server, redis(server) as client:
        assert client.ping()
        assert server.facts.version.startswith("9.")
        assert server.facts.address == f"127.0.0.1:{server.port}"
        sockets = psutil.Process(server.facts.pid).net_connections()
        assert {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert not runs(server.facts.pid)


def test_valkey_refuses_rather_than_forgets_and_keeps_nothing(state_dir: Path) -> None:
    wanted = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction", "protected-mode": "yes"}
    with embedded_valkey(state_dir) as server, redis(server) as client:
        assert wanted.items() <= cast("dict[str, str]", client.config_get()).items()
        client.set("word", "written")
        client.save()
        server.stop()
        server.start()
        assert client.get("word") is None


@pytest.mark.parametrize("end", [EmbeddedValkey.stop, EmbeddedValkey.kill])
def test_valkey_starts_again_on_its_port(state_dir: Path, end: Callable[[EmbeddedValkey], None]) -> None:
    with embedded_valkey(state_dir) as server, redis(server) as client:
        client.ping()
        first = server.facts
        end(server)
        assert not server.is_running()
        second = server.start()
        assert client.ping()
    assert second.url == first.url
    assert second.pid != first.pid


def test_valkey_on_a_port_that_is_taken_fails_and_says_so(state_dir: Path) -> None:
    with embedded_valkey(state_dir / "first") as server:
        second = embedded_valkey(state_dir / "second", port=server.port)
        with pytest.raises(EmbeddedError, match="Address already in use"), second:
            pass


def test_databases_are_copied_from_a_template_and_dropped_under_their_users(state_dir: Path) -> None:
    with embedded_postgres(state_dir, durable=False) as server:
        query(create_database(server.url, "template"), "CREATE TABLE made AS SELECT 7 AS number")
        copy = create_database(server.url, 'a "copy"', template="template")
        with closing(psycopg2.connect(copy.replace("+psycopg2", ""))) as user, user.cursor() as cursor:
            cursor.execute("SELECT number FROM made")
            assert cursor.fetchone() == (7,)
            drop_database(server.url, 'a "copy"')
        drop_database(server.url, 'a "copy"')
        assert query(server.url, "SELECT count(*) FROM pg_database WHERE datname LIKE 'a %'") == 0


def test_missing_wheel_names_the_extra() -> None:
    with pytest.raises(EmbeddedError, match=r'pip install "ciosync\[local\]"'):
        wheel_folder("no_such_wheel")


def test_without_the_extra_the_modules_load_and_whoever_starts_something_is_told(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WITHOUT_EXTRA, str(tmp_path)]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 2
    assert all('pip install "ciosync[local]"' in line for line in lines)
