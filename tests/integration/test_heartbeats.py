from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import func, update
from structlog.testing import capture_logs

from cio_tasks import counters, heartbeats, wake
from cio_tasks.db import Sessions, make_engine, make_sessions
from cio_tasks.heartbeats import Heart
from cio_tasks.models import Heartbeat
from cio_tasks.runtime import Runtime
from tests.eventually import eventually

NOWHERE = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
OFTEN = timedelta(seconds=0.05)


@pytest.fixture
def rows(sessions: Sessions) -> Callable[[], list[Heartbeat]]:
    def read() -> list[Heartbeat]:
        with sessions() as session:
            return list(session.query(Heartbeat).order_by(Heartbeat.process))

    return read


@pytest.fixture
def heart(runtime: Runtime) -> Iterator[Heart]:
    heart = Heart(runtime, every=OFTEN)
    heart.start()
    yield heart
    heart.stop()


def let_pass(sessions: Sessions, time: timedelta) -> None:
    with sessions.begin() as session:
        session.execute(update(Heartbeat).values(seen_at=func.now() - time))


def read(sessions: Sessions, reader: Callable[..., Any]) -> Any:
    with sessions() as session:
        return reader(session)


def count_sweeps(redis_url: str) -> int:
    assert wake.flush(5)
    with redis.Redis.from_url(redis_url) as client:
        return int(client.llen("cio"))


def test_a_worker_says_who_it_is(runtime: Runtime, rows: Callable[[], list[Heartbeat]]) -> None:
    released = replace(runtime, settings=runtime.settings.model_copy(update={"release": "2026-02-01"}))
    heartbeats.report(released)
    [row] = rows()
    assert (row.process, row.kind, row.version, row.release) == (runtime.worker, "worker", "0.1.0", "2026-02-01")


def test_a_worker_that_reports_is_alive_and_one_that_does_not_is_silent(runtime: Runtime) -> None:
    heartbeats.report(runtime)
    assert [row.process for row in read(runtime.sessions, heartbeats.list_alive)] == [runtime.worker]
    let_pass(runtime.sessions, heartbeats.SILENT_AFTER)
    assert read(runtime.sessions, heartbeats.list_alive) == []
    assert [row.process for row in read(runtime.sessions, heartbeats.list_silent)] == [runtime.worker]
    heartbeats.report(runtime)
    assert read(runtime.sessions, heartbeats.list_silent) == []


def test_beat_is_no_worker(runtime: Runtime) -> None:
    heartbeats.note_tick(runtime)
    assert read(runtime.sessions, heartbeats.list_alive) == []
    let_pass(runtime.sessions, timedelta(hours=1))
    assert read(runtime.sessions, heartbeats.list_silent) == []


def test_the_last_tick_of_beat_is_known(runtime: Runtime) -> None:
    assert read(runtime.sessions, heartbeats.last_tick) is None
    assert read(runtime.sessions, heartbeats.since_last_tick) is None
    heartbeats.note_tick(runtime)
    let_pass(runtime.sessions, timedelta(minutes=2))
    since = read(runtime.sessions, heartbeats.since_last_tick)
    assert timedelta(minutes=2) <= since < timedelta(minutes=3)
    heartbeats.note_tick(runtime)
    assert read(runtime.sessions, heartbeats.since_last_tick) < timedelta(minutes=1)


def test_a_worker_rings_for_the_sweep_while_beat_is_silent(runtime: Runtime, redis_url: str) -> None:
    heartbeats.note_tick(runtime)
    heartbeats.report(runtime)
    assert count_sweeps(redis_url) == 0
    let_pass(runtime.sessions, heartbeats.SILENT_AFTER + timedelta(seconds=1))
    heartbeats.report(runtime)
    assert count_sweeps(redis_url) == 1


def test_a_heart_reports_again_and_again(heart: Heart, rows: Callable[[], list[Heartbeat]]) -> None:
    [first] = eventually(rows)
    eventually(rows, lambda found: found[0].seen_at > first.seen_at)
    assert rows()[0].started_at == first.started_at


def test_a_heart_adds_what_was_counted(runtime: Runtime, heart: Heart) -> None:
    counters.add("webhooks", "a heart adds this")
    eventually(lambda: read(runtime.sessions, counters.read).get(("webhooks", "a heart adds this")), lambda n: n == 1)


def test_starting_a_heart_again_changes_nothing(heart: Heart) -> None:
    heart.start()


def test_a_heart_that_is_stopped_leaves_nothing_behind(runtime: Runtime, rows: Callable[[], list[Heartbeat]]) -> None:
    heart = Heart(runtime)
    heart.start()
    eventually(rows)
    counters.add("webhooks", "the last words")
    heart.stop()
    assert rows() == []
    assert read(runtime.sessions, counters.read)["webhooks", "the last words"] == 1


def test_a_heart_survives_an_outage_and_logs_it_once(runtime: Runtime, rows: Callable[[], list[Heartbeat]]) -> None:
    down, tries = make_sessions(make_engine(NOWHERE)), []
    sessions = runtime.sessions

    class Sometimes:
        """A database that is away for the first tries."""

        def begin(self) -> Any:
            tries.append(1)
            return (down if len(tries) < 6 else sessions).begin()

    with capture_logs() as lines:
        heart = Heart(replace(runtime, sessions=Sometimes()), every=OFTEN)  # type: ignore[arg-type]
        heart.start()
        eventually(rows)
        heart.stop()
    told = [line["event"] for line in lines if line["event"].startswith("heartbeat")]
    assert told == ["heartbeat_failing", "heartbeat_restored"]
    assert len(tries) >= 6


def test_a_heart_holds_no_connection_between_its_beats(runtime: Runtime) -> None:
    heart = Heart(runtime, every=timedelta(hours=1))
    heart.start()
    eventually(lambda: read(runtime.sessions, heartbeats.list_alive))
    pool = runtime.sessions.kw["bind"].pool
    eventually(pool.checkedout, lambda held: held == 0)
    heart.stop()


def test_a_clock_that_is_set_back_makes_no_worker_older(runtime: Runtime, rows: Callable[[], list[Heartbeat]]) -> None:
    heartbeats.report(runtime)
    let_pass(runtime.sessions, -timedelta(minutes=1))
    ahead = rows()[0].seen_at
    heartbeats.report(runtime)
    assert rows()[0].seen_at == ahead
