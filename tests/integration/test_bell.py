"""The bell rings from a thread of its own: it costs the caller nothing, and what it loses is counted and costs nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from cio_tasks import counters, wake
from cio_tasks.bell import Bell, Ring
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.db import Sessions
from cio_tasks.embedded import EmbeddedValkey
from cio_tasks.outbox import MOST_WAITING
from cio_tasks.settings import Settings
from tests.eventually import eventually

SWEEP = Ring("cio_tasks.process_due")
SCRIPT = """
from uuid import uuid4
from cio_tasks import wake
from cio_tasks.settings import Settings
wake.configure(Settings.from_env())
wake.ring([uuid4()])
"""
FORKED = """
import os
from uuid import uuid4
from cio_tasks import wake
from cio_tasks.settings import Settings
wake.configure(Settings.from_env())
wake.ring([uuid4()])
assert wake.flush(5)
if os.fork() == 0:
    wake.ring([uuid4()])
    os._exit(0 if wake.flush(5) else 1)
_, status = os.wait()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def bell(settings: Settings) -> Iterator[Bell]:
    bell = Bell(settings)
    yield bell
    bell.close()
    bell.flush(20)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def count_lost(sessions: Sessions) -> int:
    with sessions.begin() as session:
        counters.flush(session)
    with sessions() as session:
        return counters.read(session).get(("wakeups_lost", ""), 0)


def run(script: str, settings: Settings) -> subprocess.CompletedProcess[bytes]:
    assert settings.redis_url is not None
    environment = {"REDIS_URL": settings.redis_url.get_secret_value(), "PATH": os.environ["PATH"]}
    return subprocess.run([sys.executable, "-c", script], env=environment, timeout=30, check=False)


def test_a_ring_is_published_soon(bell: Bell, client: redis.Redis) -> None:
    bell.put([SWEEP])
    assert bell.flush(5)
    assert client.llen(QUEUE) == 1


def test_ten_thousand_rings_fill_the_window_and_no_more(
    bell: Bell, client: redis.Redis, settings: Settings, sessions: Sessions
) -> None:
    before = count_lost(sessions)
    started = time.monotonic()
    bell.put([SWEEP] * 10_000)
    took = time.monotonic() - started
    assert bell.flush(20)
    assert client.llen(QUEUE) == settings.wake_window
    assert count_lost(sessions) - before >= 10_000 - MOST_WAITING - 200
    assert took < 5


def test_rings_from_many_threads_are_all_published(bell: Bell, client: redis.Redis) -> None:
    def ring() -> None:
        for _ in range(5):
            bell.put([SWEEP])

    threads = [threading.Thread(target=ring) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bell.flush(10)
    assert client.llen(QUEUE) == 100


def test_what_is_rung_while_redis_is_away_is_counted_and_what_comes_after_is_published(
    bell: Bell, valkey_server: EmbeddedValkey, sessions: Sessions
) -> None:
    before = count_lost(sessions)
    valkey_server.kill()
    bell.put([SWEEP] * 7)
    assert bell.flush(5)
    assert count_lost(sessions) - before == 7
    valkey_server.start()

    def is_published() -> bool:
        bell.put([SWEEP])
        with redis.Redis.from_url(valkey_server.url) as client:
            return bell.flush(5) and bool(client.llen(QUEUE))

    eventually(is_published)


def test_the_thread_ends_when_its_bell_is_replaced(settings: Settings) -> None:
    before = set(threading.enumerate())
    bell = Bell(settings)
    bell.put([SWEEP])
    assert bell.flush(5)
    mine = set(threading.enumerate()) - before
    bell.close()
    for thread in mine:
        thread.join(5)
    assert [thread.is_alive() for thread in mine] == [False]


def test_a_short_script_publishes_its_last_ring(settings: Settings, client: redis.Redis) -> None:
    def is_published() -> bool:
        """On a machine without time for it a ring may be lost: nobody waits longer than a moment for it."""
        return run(SCRIPT, settings).returncode == 0 and client.llen(QUEUE) == 1

    eventually(is_published)


def test_a_short_script_ends_at_once_when_redis_is_away(settings: Settings, valkey_server: EmbeddedValkey) -> None:
    valkey_server.kill()
    assert run(SCRIPT, settings).returncode == 0


def test_a_forked_process_rings_by_itself(settings: Settings, client: redis.Redis) -> None:
    assert run(FORKED, settings).returncode == 0
    assert client.llen(QUEUE) == 2


def test_ringing_never_waits_for_redis(settings: Settings, redis_url: str) -> None:
    wake.configure(settings)
    started = time.monotonic()
    for _ in range(100):
        wake.ring([uuid4()])
    assert time.monotonic() - started < 5
