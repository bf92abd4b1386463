"""Redis: whether it answers, whether it may throw messages away, and what stands in the queue."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, RedisError, ResponseError
from redis.retry import Retry

from cio_tasks.celeryconfig import QUEUE
from cio_tasks.checks.readings import Trouble, Unanswered
from cio_tasks.checks.report import Check, failed, passed, skipped, warned
from cio_tasks.checks.spans import brief, many
from cio_tasks.errors import ConfigurationError
from cio_tasks.settings import Settings

KEEPS_ALL: Final = "noeviction"
FULL: Final = 0.9
"""The share of its memory from which on Redis may soon refuse messages."""
MEGABYTE: Final = 1_000_000
WHERE: Final = "look at REDIS_URL: ciosync config show --origin"
REASONS: Final = (
    ("connection refused", "Redis refuses connections", f"start it, or {WHERE}"),
    ("name or service not known", "Redis's host has no address", WHERE),
    ("name resolution", "Redis's host has no address", WHERE),
    ("timeout", "Redis gave no answer in time", f"is it running? {WHERE}"),
    ("timed out", "Redis gave no answer in time", f"is it running? {WHERE}"),
    ("noauth", "Redis wants a password", WHERE),
    ("wrongpass", "Redis refuses user or password", WHERE),
    ("max number of clients", "Redis has no connection left", "end idle ones, or raise its maxclients"),
    ("db index", "Redis has no database of this number", WHERE),
    ("protocol error", "what answers at REDIS_URL is not Redis", WHERE),
    ("ssl", "Redis and REDIS_URL do not agree about TLS", "rediss:// speaks TLS, redis:// does not"),
)
"""What its client and Redis say in their texts, which are never shown: they hold addresses."""


@dataclass(frozen=True, slots=True)
class Broker:
    """What Redis says of itself; memory in bytes, without a limit 0. None: this user may not know."""

    name: str
    latency: timedelta
    policy: str | None
    used: int | None
    limit: int | None
    kind: str
    """The type of what has the queue's name: `list`, or `none` while it is empty."""
    waiting: int


# --- reading ----------------------------------------------------------------------------------------------------------


def read_broker(settings: Settings, timeout: timedelta) -> Broker:
    """Return what there is to know of Redis.

    Raises:
        Unanswered: when it cannot be entered, or breaks off.
    """
    try:
        with connect(settings, timeout) as client:
            began = time.monotonic()
            client.ping()
            latency = timedelta(seconds=time.monotonic() - began)
            facts = _read_facts(client)
            kind = cast("bytes", client.type(QUEUE)).decode()
            waiting = cast("int", client.llen(QUEUE)) if kind == "list" else 0
    except (RedisError, OSError) as error:
        raise explain(error) from None
    return Broker(_name(facts), latency, facts.get("maxmemory_policy"), *_memory(facts), kind, waiting)


def connect(settings: Settings, timeout: timedelta) -> redis.Redis:
    """Return a client that tries once and waits at most `timeout` for anything.

    Raises:
        Unanswered: when the settings name no Redis that could be asked.
    """
    try:
        url = settings.required_redis_url()
        bounds = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), timeout.total_seconds())
        return redis.Redis.from_url(url, **bounds, retry=Retry(NoBackoff(), 0))
    except ConfigurationError as error:
        raise Unanswered(str(error), "set REDIS_URL, as .env.example shows; ciosync demo has its own") from None
    except ValueError:
        raise Unanswered("REDIS_URL is no address that can be used", WHERE) from None


def _read_facts(client: redis.Redis) -> dict[str, Any]:
    """Return what `INFO` tells, or nothing where it is not allowed, as hosts of Redis like to have it."""
    try:
        return cast("dict[str, Any]", client.info())
    except (NoPermissionError, ResponseError):
        return {}


def _name(facts: dict[str, Any]) -> str:
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts['redis_version']}" if "redis_version" in facts else "Redis"


def _memory(facts: dict[str, Any]) -> tuple[int | None, int | None]:
    return facts.get("used_memory"), facts.get("maxmemory")


def explain(error: Exception) -> Unanswered:
    """Return an error on the way to Redis in words that may be shown."""
    if isinstance(error, AuthenticationError):
        return Unanswered("Redis refuses user or password", WHERE)
    if isinstance(error, BusyLoadingError):
        return Unanswered("Redis is loading its data", "wait, and look again")
    said = str(error).lower()
    for fragment, message, fix in REASONS:
        if fragment in said:
            return Unanswered(message, fix)
    return Unanswered("Redis cannot be reached, or broke off", f"is it running? {WHERE}")


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(broker: Broker | Trouble, *, wake_window: int) -> Iterator[Check]:
    """Yield what is to be said of Redis."""
    if isinstance(broker, Trouble):
        yield broker.as_check("redis.reachable", "Redis")
        return
    yield passed("redis.reachable", f"{broker.name}, {brief(broker.latency)}")
    yield _judge_policy(broker)
    yield _judge_memory(broker)
    yield _judge_queue(broker, wake_window)


def _judge_policy(broker: Broker) -> Check:
    if broker.policy is None:
        return skipped("redis.policy", "Redis does not tell its maxmemory-policy")
    if broker.policy != KEEPS_ALL:
        message = f"maxmemory-policy is {broker.policy}: messages may be thrown away, and jobs start late"
        return warned("redis.policy", message, f"CONFIG SET maxmemory-policy {KEEPS_ALL}")
    return passed("redis.policy", f"maxmemory-policy {KEEPS_ALL}")


def _judge_memory(broker: Broker) -> Check:
    if broker.used is None:
        return skipped("redis.memory", "Redis does not tell its use of memory")
    used = f"{broker.used / MEGABYTE:.0f} MB"
    if not broker.limit:
        return passed("redis.memory", f"{used} in use, no limit")
    message = f"{used} of {broker.limit / MEGABYTE:.0f} MB in use"
    if broker.used >= FULL * broker.limit:
        return warned("redis.memory", message, "raise its maxmemory, or look for who else fills it")
    return passed("redis.memory", message)


def _judge_queue(broker: Broker, wake_window: int) -> Check:
    if broker.kind not in {"list", "none"}:
        message = f"what has the queue's name, {QUEUE}, is a {broker.kind} and no queue: nobody is woken"
        return failed("redis.queue", message, f"start a worker, which removes it, or: redis-cli DEL {QUEUE}")
    message = f"{many(broker.waiting, 'message')} waiting in the queue"
    if broker.waiting > wake_window:
        too_many = f"{message}, more than CIO_WAKE_WINDOW ({wake_window})"
        return warned("redis.queue", too_many, "are enough workers running? celery -A cio_tasks.celery_app worker")
    return passed("redis.queue", message)
