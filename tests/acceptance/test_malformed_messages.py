"""The broker is untrusted input: nothing that is found in the queue ends a worker or keeps a good message from running."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cio_tasks import counters
from cio_tasks.celeryconfig import QUEUE
from cio_tasks.models import Signup
from tests.acceptance.conftest import System
from tests.eventually import eventually
from tests.messages import MALFORMED, NO_JSON

EMPTIES = 10_000
FOREIGN: dict[str, Callable[[Any], object]] = {
    "string": lambda client: client.set(QUEUE, "x"),
    "hash": lambda client: client.hset(QUEUE, "a", "x"),
    "stream": lambda client: client.xadd(QUEUE, {"a": "x"}),
}


@pytest.fixture
def client(system: System) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(system.broker.url) as client:
        yield client


def delivers(system: System) -> bool:
    """Submit a signup and wait until it is synced."""
    signup_id = system.submit("ada@example.com")

    def is_synced() -> bool:
        with system.sessions() as session:
            return session.get_one(Signup, signup_id).customerio_synced

    return eventually(is_synced, seconds=10)


def count_refused(system: System) -> int:
    with system.sessions() as session:
        return sum(n for (name, _), n in counters.read(session).items() if name == "messages_refused")


def test_no_malformed_message_ends_the_worker_or_keeps_a_good_one_waiting(system: System, client: redis.Redis) -> None:
    worker = system.stack.own_processes[0]
    items = [*(json.dumps(document).encode() for document in MALFORMED.values()), *NO_JSON.values(), *[b""] * EMPTIES]
    client.rpush(QUEUE, *items)
    assert delivers(system)
    eventually(lambda: client.llen(QUEUE) == 0)
    assert worker.restarts == 0
    assert eventually(lambda: count_refused(system) == len(items), seconds=30)


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_queue_under_its_name_is_removed(system: System, client: redis.Redis, kind: str) -> None:
    client.delete(QUEUE)
    FOREIGN[kind](client)
    eventually(lambda: client.type(QUEUE) in {b"none", b"list"})
    assert delivers(system)
    assert system.stack.own_processes[0].restarts == 0
