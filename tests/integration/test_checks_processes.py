"""Workers and beat, by their heartbeats and by who answers."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import func, update

from cio_tasks import heartbeats
from cio_tasks.checks import Check, Group, Status
from cio_tasks.checks.readings import Trouble
from cio_tasks.checks.workers import Answers, Heartbeats, Seen, judge_answers, judge_beat
from cio_tasks.db import Sessions
from cio_tasks.models import Heartbeat
from cio_tasks.runtime import Runtime
from cio_tasks.settings import Settings
from tests.checking import changed, look

TROUBLE = Trouble(Group.DATABASE, "away", "start it", is_told=True)


def let_pass(sessions: Sessions, seconds: float, **columns: str) -> None:
    with sessions.begin() as session:
        session.execute(update(Heartbeat).values(seen_at=func.now() - timedelta(seconds=seconds), **columns))


def celery(settings: Settings) -> dict[str, Check]:
    return look(settings, Group.CELERY, seconds=0.5)


def beat(settings: Settings) -> Check:
    return look(settings, Group.BEAT)["beat.tick"]


@pytest.fixture
def worker(runtime: Runtime) -> Runtime:
    """Return a worker that has reported, while beat ticks."""
    heartbeats.note_tick(runtime)
    heartbeats.report(runtime)
    return runtime


def test_a_worker_that_lives_is_told(worker: Runtime) -> None:
    checks = celery(worker.settings)
    assert checks["celery.workers"].status is Status.OK
    assert checks["celery.workers"].message.startswith("1 worker alive, last seen ")
    assert checks["celery.versions"].message == "all of this version, 0.1.0"


def test_without_a_worker_the_command_that_starts_one_is_told(settings: Settings) -> None:
    checks = celery(settings)
    assert checks["celery.workers"].status is Status.FAIL
    assert checks["celery.workers"].fix == "celery -A cio_tasks.celery_app worker"
    assert checks["celery.workers"].message == "no worker was seen in the last 30 s"
    assert checks["celery.ping"].status is Status.SKIP


@pytest.mark.parametrize(("seconds", "status"), [(29, "ok"), (31, "fail")])
def test_a_worker_that_was_not_seen_for_long_does_not_live(worker: Runtime, seconds: float, status: str) -> None:
    let_pass(worker.sessions, seconds)
    assert celery(worker.settings)["celery.workers"].status == status


def test_a_worker_that_was_killed_is_told(worker: Runtime) -> None:
    let_pass(worker.sessions, 125)
    checks = celery(worker.settings)
    assert checks["celery.workers"].message.endswith("the last one was 2 min ago, and ended without a word")
    assert checks["celery.silent"].status is Status.WARN


def test_an_old_death_is_no_news(worker: Runtime) -> None:
    let_pass(worker.sessions, 601)
    assert "celery.silent" not in celery(worker.settings)


def test_a_worker_of_another_version_is_a_warning(worker: Runtime) -> None:
    let_pass(worker.sessions, 1, version="0.0.9")
    check = celery(worker.settings)["celery.versions"]
    assert (check.status, check.message) == (Status.WARN, "workers run version 0.0.9, this is 0.1.0")


def test_two_releases_at_once_are_a_warning(worker: Runtime, settings: Settings) -> None:
    other = Runtime(changed(settings, release="blue"), worker.sessions, worker.client, "another")
    heartbeats.report(other)
    check = celery(worker.settings)["celery.versions"]
    assert (check.status, "different releases (CIO_RELEASE): blue, none" in check.message) == (Status.WARN, True)


def test_a_live_worker_that_does_not_hear_the_broker_is_a_failure(worker: Runtime) -> None:
    check = celery(worker.settings)["celery.ping"]
    assert check.status is Status.FAIL
    assert check.message.startswith("none of 1 live worker answered through the broker")


@pytest.mark.parametrize(
    ("answered", "alive", "status"),
    [
        (2, 2, "ok"),
        (3, 2, "ok"),
        (1, 2, "warn"),
        (0, 2, "fail"),
        (0, 0, "skip"),
        (1, 0, "warn"),
        (1, None, "ok"),
        (0, None, "fail"),
    ],
)
def test_who_answers_is_compared_with_who_lives(answered: int, alive: int | None, status: str) -> None:
    seen = Seen("0.1.0", None, timedelta(seconds=1))
    found = TROUBLE if alive is None else Heartbeats((seen,) * alive, (), None)
    check = judge_answers(Answers(answered, timedelta(seconds=0.4)), found)
    assert check.status == status
    assert status != "ok" or check.message.endswith(" answered in 400 ms")


def test_beat_that_ticks_is_well(worker: Runtime) -> None:
    assert (beat(worker.settings).status, beat(worker.settings).message) == (Status.OK, "the last tick was 0 s ago")


@pytest.mark.parametrize(
    ("scale", "seconds", "status"), [(1, 29, "ok"), (1, 31, "fail"), (0.1, 4.5, "ok"), (0.1, 6, "fail")]
)
def test_three_missed_ticks_are_a_failure(worker: Runtime, scale: float, seconds: float, status: str) -> None:
    let_pass(worker.sessions, seconds)
    heartbeats.report(worker)
    check = beat(changed(worker.settings, time_scale=scale))
    assert check.status == status
    assert check.fix == (None if status == "ok" else "celery -A cio_tasks.celery_app beat")


def test_beat_that_never_ticked_is_a_failure(settings: Settings) -> None:
    assert "no tick was ever worked on" in beat(settings).message


def test_without_a_worker_beat_cannot_be_seen(settings: Settings) -> None:
    seen = Heartbeats((), (), timedelta(hours=1))
    (check,) = judge_beat(seen, settings)
    assert (check.status, "without a worker none can be" in check.message) == (Status.FAIL, True)


def test_redis_of_nobody_is_told_once(settings: Settings) -> None:
    checks = look(changed(settings, redis_url=SecretStr("redis://127.0.0.1:1/0")), Group.CELERY, Group.REDIS)
    assert checks["celery.ping"].status is Status.SKIP
    assert checks["redis.reachable"].message == "Redis refuses connections"
