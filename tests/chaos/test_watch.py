"""What the watch sees: jobs that should have been taken, and what is where it must not be."""

from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, func, text

from cio_tasks import gate
from cio_tasks.db import Sessions
from cio_tasks.gate import Reason
from cio_tasks.models import AuditEntry
from tests.chaos.leaks import TABLES, Canaries
from tests.chaos.watch import CLOSED, DUE
from tests.factories import Factory

SECRET = "w4Ke-me"
OLD = func.now() - timedelta(minutes=2)


def due(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {str(row.id) for row in connection.execute(DUE, {"stuck_after": 30})}


def test_a_job_whose_time_has_come_waits(engine: Engine, make: Factory) -> None:
    now, later, claimed, lost, done = (make.job(make.signup()).id for _ in range(5))
    make.set(later, next_retry_at=func.now() + timedelta(minutes=1))
    make.set(claimed, status="processing")
    make.set(lost, status="processing", updated_at=OLD)
    make.set(done, status="completed")
    assert due(engine) == {str(now), str(lost)}


def test_an_enriched_job_waits_only_behind_an_initial_one_that_has_ended(engine: Engine, make: Factory) -> None:
    signups = [make.signup(), make.signup()]
    behind, free = [make.confirm(signup) for signup in signups]
    first, second = [make.job(signup) for signup in signups]
    make.set(second.id, status="completed")
    assert due(engine) == {str(first.id), str(free.id)}
    assert str(behind.id) not in due(engine)


@pytest.mark.parametrize(("wait", "closed"), [(timedelta(minutes=1), True), (timedelta(0), False)])
def test_a_closed_gate_excuses_until_its_time_is_over(sessions: Sessions, wait: timedelta, closed: bool) -> None:
    with sessions.begin() as session:
        gate.close(session, Reason.OUTAGE, wait=wait, note="503")
    with sessions() as session:
        assert session.scalar(CLOSED) is closed


@pytest.mark.parametrize("table", TABLES)
def test_every_table_that_is_searched_exists(sessions: Sessions, table: str) -> None:
    with sessions() as session:
        assert session.scalar(text("SELECT to_regclass(:table) IS NOT NULL"), {"table": table})


def test_a_canary_in_a_table_is_found(engine: Engine, sessions: Sessions, make: Factory) -> None:
    canaries = Canaries({"the key": SECRET})
    make.signup()
    canaries.look_at_tables(engine)
    assert canaries.looked > 0
    assert canaries.found == set()

    with sessions.begin() as session:
        session.add(AuditEntry(action="odd", actor="ops", details={"note": f"{SECRET} of ada@example.com"}))
    canaries.look_at_tables(engine)
    assert canaries.found == {("audit_logs", "the key"), ("audit_logs", "an address")}


def test_a_canary_in_redis_is_found_in_whatever_it_is(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("string", SECRET)
        client.rpush("list", SECRET)
        client.sadd("set", SECRET)
        client.zadd("zset", {SECRET: 1})
        client.hset("hash", "field", SECRET)
        for key in ("string", "list", "set", "zset", "hash"):
            canaries = Canaries({"the key": SECRET})
            canaries.look_at_redis(client)
            assert canaries.found == {("redis", "the key")}
            client.delete(key)
        canaries = Canaries({"the key": SECRET})
        canaries.look_at_redis(client)
        assert canaries.found == set()


def test_a_canary_in_a_log_is_found_but_not_in_the_log_of_the_other_side(tmp_path: Path) -> None:
    for name in ("worker0.log", "web.log.1", "customerio.log", "notes.txt"):
        (tmp_path / name).write_text(f"line\nkey={SECRET}\n")
    canaries = Canaries({"the key": SECRET})
    canaries.look_at_logs(tmp_path)
    assert canaries.found == {("worker0.log", "the key"), ("web.log.1", "the key")}
